# shellcheck shell=bash
# Installs the programs that tests call beside a server: other shells, and readers of manual pages. Sourced after lib/server.sh.

# ensure_tools PROGRAM…: each is there afterwards, or a sentence and exit 10 say what to run. On Debian most packages are called as
# their program is.
ensure_tools() {
  local program packages=() missing=()
  for program in "$@"; do
    has "$program" && continue
    missing+=("$program")
    case $program in
      man) packages+=(man-db) ;;
      script) packages+=(bsdutils) ;;
      *) packages+=("$program") ;;
    esac
  done
  ((${#missing[@]} > 0)) || return 0
  local lack="the tests need ${missing[*]}"
  has apt-get || die $UNFIT "$lack; install them and run this again"
  if ((EUID != 0)) || [[ -z ${ASSUME_YES:-} ]]; then
    die $UNFIT "$lack; run as root: apt-get install ${packages[*]}"
  fi
  bash "$LIB/install-server" apt "${packages[@]}" >&2 || die 1 "installing ${packages[*]} failed; the lines above say why"
  hash -r
}
