#!/usr/bin/env bash
# Builds the programs for release so that the same commit and the same compiler give the same bytes, in whatever directory
# and for whatever user: packaging/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
# Where sources lie is in the messages of panics. Of two that fit the last one counts.
map=
for pair in "$PWD=/lictor" "$target=/lictor/target" "${CARGO_HOME:-$HOME/.cargo}=/cargo" "$(rustc --print sysroot)=/rust"; do
    map+=" --remap-path-prefix=$pair"
done
RUSTFLAGS="${RUSTFLAGS:-}$map" exec cargo build --release --locked -p lictor -p lictor-sidecar "$@"
