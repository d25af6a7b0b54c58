#!/usr/bin/env bash
# Builds the programs for release so that the same commit and the same compiler give the same bytes, in whatever directory
# and for whatever user: packaging/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
# Where the sources lie is in panic messages, and nowhere else that counts.
map="--remap-path-prefix=$PWD=/lictor --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
map+=" --remap-path-prefix=$(rustc --print sysroot)=/rust"
RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }$map" exec cargo build --release --locked -p lictor -p lictor-sidecar "$@"
