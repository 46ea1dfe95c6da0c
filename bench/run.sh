#!/bin/sh
# make bench: builds the measuring program, lays out an install root, prints figures. Nothing here passes or fails.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --quiet --manifest-path bench/Cargo.toml --target-dir target/bench
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sh install.sh --stage "$folder/root" --type local --no-build >/dev/null
target/bench/release/oxsec-bench "$folder/root"
