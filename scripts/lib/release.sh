# shellcheck shell=bash
# What scripts/release, scripts/package and scripts/packaging/check have in common. Sets VERSION, TARGET, NAME, DIST, STAGE and
# SOURCE_DATE_EPOCH; needs $root, and lib/server.sh for `die` and `has`.

MUSL=$(uname -m)-unknown-linux-musl

# Whether a program that needs no library of the machine can be built here.
has_musl() {
  [[ -d $(rustc --print target-libdir --target "$MUSL" 2>/dev/null) ]] && has musl-gcc
}

# The version of the package, as cargo sees it.
version() {
  local id
  id=$(cargo pkgid --manifest-path "$root/Cargo.toml") || return
  printf '%s\n' "${id##*[#@]}"
}

# $1: the target wanted, or nothing: static if it can be.
choose_target() {
  VERSION=$(version) || die 1 'cargo does not know the version'
  if [[ -n $1 ]]; then
    TARGET=$1
  elif has_musl; then
    TARGET=$MUSL
  else
    TARGET=$(rustc -vV | sed -n 's/^host: //p')
  fi
  # The moment that all files are said to be of: of two builds of one commit both are the same.
  if [[ -z ${SOURCE_DATE_EPOCH:-} ]]; then
    SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$root/CHANGELOG.md")
  fi
  export SOURCE_DATE_EPOCH
  DIST=$root/target/dist
  STAGE=$DIST/stage
}

# Writes the checksums of all that is to be handed out.
checksums() {
  (
    cd -- "$DIST"
    rm -f SHA256SUMS
    find . -maxdepth 1 -type f -name '*rcluster*' -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS.new
    mv SHA256SUMS.new SHA256SUMS
  )
}
