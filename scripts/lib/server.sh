# shellcheck shell=bash
# Finds or installs a Redis or Valkey server. Sourced by scripts/quickstart and scripts/test; sets SERVER (and CLI).
#
# Whoever sources this may set ASSUME_YES=1 (install without asking) and NEED_CLI=1 (redis-cli must be there too).

LIB=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# 10 is rcluster's own code for an unfit environment.
UNFIT=10

die() {
  local code=$1
  shift
  printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
  exit "$code"
}

has() { command -v -- "$1" >/dev/null 2>&1; }

# Where cargo really puts what it builds of $1, whatever CARGO_TARGET_DIR or a config file says.
target_dir() {
  (cd -- "$1" && cargo metadata --locked --offline --no-deps --format-version 1) | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# The server that rcluster itself would take, if it is new enough; else TOO_OLD tells which is not. Says nothing.
find_server() {
  SERVER='' CLI='' TOO_OLD=''
  local name version names=(redis-server valkey-server)
  [[ -z ${RCLUSTER_SERVER:-} ]] || names=("$RCLUSTER_SERVER")
  for name in "${names[@]}"; do
    has "$name" || continue
    # "Redis server v=7.0.15 sha=…", "Valkey server v=8.0.1 sha=…"
    version=$("$name" --version 2>/dev/null | sed -n 's/.*[[:space:]]v=\([0-9][0-9.]*\).*/\1/p')
    if [[ -n $version ]] && new_enough "$version"; then
      SERVER=$(command -v -- "$name")
    else
      TOO_OLD="$name ${version:-of unknown version} is too old: rcluster needs 6.2 or newer"
    fi
    break
  done
  for name in redis-cli valkey-cli; do
    if has "$name"; then
      CLI=$(command -v -- "$name")
      break
    fi
  done
  [[ -n $SERVER ]] && [[ -z ${NEED_CLI:-} || -n $CLI ]]
}

new_enough() {
  local major=${1%%.*} rest=${1#*.}
  ((major > 6 || (major == 6 && ${rest%%.*} >= 2)))
}

# Sets MANAGER and PACKAGES: what to install here, and with what. Fails where no known package manager has a server.
choose_package() {
  MANAGER='' PACKAGES=()
  local package
  if has apt-get; then
    # Debian 11 and Ubuntu 22.04 have only a redis-server older than 6.2. Each package brings its cli along.
    for package in redis-server valkey-server; do
      if new_enough "$(candidate "$package")"; then
        MANAGER=apt PACKAGES=("$package")
        return
      fi
    done
  elif has dnf; then
    for package in redis valkey; do
      if dnf -q list "$package" >/dev/null 2>&1; then
        MANAGER=dnf PACKAGES=("$package")
        return
      fi
    done
  elif has apk; then
    for package in redis valkey; do
      if [[ -n $(apk search -q -e "$package" 2>/dev/null) ]]; then
        MANAGER=apk PACKAGES=("$package")
        if [[ $package == valkey ]]; then PACKAGES+=(valkey-cli); fi
        return
      fi
    done
  fi
  if has brew; then
    MANAGER=brew PACKAGES=(redis)
    return
  fi
  return 1
}

# The version apt would install, without its epoch; 0 if none. On a machine whose lists were never fetched apt knows no package:
# redis-server is then tried after the update that the installation begins with.
candidate() {
  local version
  version=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p')
  if [[ -z $version && $1 == redis-server ]] && ! LC_ALL=C apt-cache policy bash 2>/dev/null | grep -q '://'; then
    version=6.2
  fi
  printf '%s\n' "${version:-0}"
}

# Makes sure that SERVER is set, or ends with a sentence and 10.
ensure_server() {
  find_server && return
  # Where a server was chosen, or is there already, another one beside it would not be used.
  if [[ -n $TOO_OLD ]]; then
    die $UNFIT "$TOO_OLD; name a newer one with RCLUSTER_SERVER=/path/to/redis-server"
  fi
  if [[ -n ${RCLUSTER_SERVER:-} && -z $SERVER ]]; then
    die $UNFIT "the server '$RCLUSTER_SERVER' was not found; correct RCLUSTER_SERVER or --server, or leave it out"
  fi
  local lack='redis-server or valkey-server is not installed'
  [[ -n $SERVER ]] && lack='redis-cli is not installed'
  choose_package ||
    die $UNFIT "$lack, and no package manager known to this script (apt, dnf, apk, brew) offers one of 6.2 or newer; install one and run this again"

  install_packages "$lack" "${PACKAGES[@]}"
  find_server || die $UNFIT "${PACKAGES[*]} was installed, but ${TOO_OLD:-$lack}"
}

# install_packages LACK PACKAGE…: with MANAGER, asking first where somebody can answer; or ends with LACK, a hint and 10.
install_packages() {
  local lack=$1
  shift
  # brew refuses root and needs none; the others are run by a helper that also keeps services off.
  local command=(bash "$LIB/install-server" "$MANAGER" "$@") rights=()
  if [[ $MANAGER == brew ]]; then
    command=(brew install "$@")
  elif ((EUID != 0)); then
    rights=(sudo)
  fi
  local shown="${rights[*]:+${rights[*]} }${command[*]}"

  if [[ -n ${ASSUME_YES:-} ]]; then
    # Nobody is there to type a password.
    if [[ -n ${rights[*]} ]] && ! { has sudo && sudo -n true 2>/dev/null; }; then
      die $UNFIT "$lack, and installing it needs root; run: $shown"
    fi
  elif [[ -t 0 && -t 2 ]]; then
    if [[ -n ${rights[*]} ]] && ! has sudo; then
      die $UNFIT "$lack, and installing it needs root; as root run: ${command[*]}"
    fi
    local answer=''
    printf '%s; install %s now? No service is enabled or started.\n  %s\n[y/N] ' "$lack" "$*" "$shown" >&2
    read -r answer || true
    [[ $answer == [yY] || $answer == [yY][eE][sS] ]] || die $UNFIT "nothing was installed; to do it yourself, run: $shown"
  else
    die $UNFIT "$lack; run: $shown"
  fi

  "${rights[@]}" "${command[@]}" >&2 || die 1 "installing $* failed; the lines above say why"
  hash -r
}

# tmux, the terminal that the tests of `watch` look at.
ensure_tmux() {
  has tmux && return
  local lack='tmux is not installed, and the tests of watch need it' name
  MANAGER=''
  for name in apt-get:apt dnf:dnf apk:apk brew:brew; do
    if has "${name%:*}"; then
      MANAGER=${name#*:}
      break
    fi
  done
  [[ -n $MANAGER ]] || die $UNFIT "$lack; install it and run this again"
  install_packages "$lack" tmux
  has tmux || die $UNFIT "$lack"
}

# cargo, and the linker that it calls. Nothing is installed: how Rust gets onto a machine is its owner's choice.
ensure_cargo() {
  # A fresh rustup puts cargo where only new shells look.
  if ! has cargo && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
  fi
  has cargo || die $UNFIT "cargo is not installed; install Rust as https://rustup.rs says, then run this again"
  has cc || has gcc || has clang || die $UNFIT "a C linker is not installed, and Rust needs one; install gcc (Debian: apt-get install gcc libc6-dev), then run this again"
}
