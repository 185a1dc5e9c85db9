# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # root is set, and the rest read, by whoever sources this
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
  DIST=${RCLUSTER_DIST:-$root/target/dist}
  STAGE=$DIST/stage
}

# $1: where the documentation goes, with all that its pages link to. Links to sources are plain words there.
install_docs() {
  local dir=$1
  install -d "$dir/docs" "$dir/examples/pytest" "$dir/examples/jest"
  install -m 644 CHANGELOG.md LICENSE-APACHE LICENSE-MIT action.yml "$dir"
  sed -E 's/\[([^]]+)\]\((src|scripts)\/[^)]*\)/\1/g' README.md >"$dir/README.md"
  chmod 644 "$dir/README.md"
  install -m 644 docs/*.* "$dir/docs"
  install -m 644 examples/*.rs "$dir/examples"
  install -m 644 examples/pytest/*.* "$dir/examples/pytest"
  install -m 644 examples/jest/*.* "$dir/examples/jest"
}

# $1: a directory. Prints the links of the pages in it that lead to no file.
dead_links() {
  local page link
  find "$1" -name '*.md' | LC_ALL=C sort | while read -r page; do
    grep -o '](\([^)]*\))' "$page" | sed -e 's/^](//' -e 's/)$//' -e 's/#.*//' | LC_ALL=C sort -u | while read -r link; do
      [[ -z $link || $link == *://* || -e $(dirname -- "$page")/$link ]] || echo "$page: $link"
    done
  done
}

# The formula of the tarball $1, on standard output.
formula() {
  local name digest url arch
  name=$(basename -- "$1")
  digest=$(sha256sum "$1" | cut -d ' ' -f 1)
  url=${RCLUSTER_RELEASE_URL:-file://$DIST}/$name
  case $name in *-aarch64-*) arch=arm64 ;; *) arch=x86_64 ;; esac
  sed -e "s|@URL@|$url|" -e "s|@SHA256@|$digest|" -e "s|@VERSION@|$VERSION|" -e "s|@ARCH@|$arch|" \
    -e "s|@HOMEPAGE@|${RCLUSTER_HOMEPAGE:-https://rcluster.invalid}|" -e '/^# Template/d' \
    "$root/scripts/packaging/homebrew/rcluster.rb.in"
}

# Writes the checksums of all that is to be handed out.
checksums() {
  (
    cd -- "$DIST" || exit
    rm -f SHA256SUMS
    find . -maxdepth 1 -type f -name '*rcluster*' -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS.new
    mv SHA256SUMS.new SHA256SUMS
  )
}
