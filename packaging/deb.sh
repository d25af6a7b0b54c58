#!/usr/bin/env bash
# Makes the Debian package: the program, its manual pages and completions, the unit, and a configuration that opens nothing.
#
#   packaging/deb.sh                     builds it for release, into target/debian/
#   packaging/deb.sh -o DIR PROGRAM ...  around a program that was built before, into DIR; what follows is for cargo-deb
#
# What is in it is said in cli/Cargo.toml. The same commit gives the same bytes: packaging/README.md.
set -euo pipefail
output=
while getopts o: flag; do
    case $flag in
    o) output=$(realpath "$OPTARG") ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
program=${1:+$(realpath "$1")}
shift $(($# > 0))
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
# The time of the commit; where there is none, that of the sources.
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat --format=%Y Cargo.lock)}"
export SOURCE_DATE_EPOCH

cargo deb --version >/dev/null 2>&1 || cargo install cargo-deb --version 3.8.0 --locked
if [ -z "$program" ]; then
    packaging/build.sh
    program=$target/release/lictor
fi

# What cargo-deb takes from, as if it had been built there.
stage=$(mktemp -d)
trap 'rm -r "$stage"' EXIT
mkdir -p "$stage/release/completions"
install -m 755 "$program" "$stage/release/lictor"
lictor=$stage/release/lictor
"$lictor" man "-output=$stage/release/man" >/dev/null
# cargo-deb compresses only those that no build made.
gzip -9 --no-name "$stage"/release/man/*.1
"$lictor" completion bash >"$stage/release/completions/lictor"
"$lictor" completion zsh >"$stage/release/completions/_lictor"
"$lictor" completion fish >"$stage/release/completions/lictor.fish"
CARGO_TARGET_DIR=$stage cargo deb --package lictor --no-build --no-strip --quiet --output "${output:-$target/debian/}" "$@"
