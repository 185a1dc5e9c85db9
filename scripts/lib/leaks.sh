# shellcheck shell=bash
# Finds what tests leave behind. Sourced by scripts/test and scripts/matrix.

# A directory that tests make theirs in, so that a server they leave can be told from other people's. Sets BASE and TMPDIR.
# Short, because the path of a Unix socket has 107 characters at most.
make_base() {
  BASE=$(mktemp -d /tmp/rct.XXXXXX)
  # One test runs the program as another user, who must be able to get there.
  chmod 711 "$BASE"
  export TMPDIR=$BASE
  # Tests must not see the clusters of whoever runs them.
  unset RCLUSTER_NAME RCLUSTER_HOME
}

# Processes of the tests, known by their working directory: below our TMPDIR, or cargo's own directory for tests.
leaked() {
  local link cwd pid
  for link in /proc/[0-9]*/cwd; do
    cwd=$(readlink -- "$link" 2>/dev/null) || continue
    case ${cwd% (deleted)}/ in
      "$BASE"/* | "$1"/target/tmp/*)
        pid=${link#/proc/}
        pid=${pid%/cwd}
        printf '  %s  %s  in %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)" "$cwd"
        ;;
    esac
  done
}

# Says on standard error what is left and fails, or removes BASE. What was told to end at the close of the last test may need a
# moment. Reported, not ended: whoever looks into a leak needs the processes alive.
no_leaks() {
  local left
  for _ in {1..20}; do
    left=$(leaked "$1")
    if [[ -z $left ]]; then
      rm -rf -- "$BASE"
      return
    fi
    sleep 0.1
  done
  printf '%s: the tests left processes behind:\n%s\n' "$(basename -- "$0")" "$left" >&2
  return 1
}

# Adds the closing lines of all test programs in a file to one: 12 passed, 0 failed, 0 skipped.
closing_line() {
  awk '/^test result: / { for (i = 2; i <= NF; i++) { if ($i == "passed;") p += $(i-1); if ($i == "failed;") f += $(i-1); if ($i == "ignored;") s += $(i-1) } }
       END { printf "%d passed, %d failed, %d skipped\n", p, f, s }' "$@"
}
