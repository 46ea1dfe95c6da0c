#!/bin/sh
# make bench: builds the measuring programs, lays out an install root, prints figures. Nothing here passes or fails.
# With the stock rules in ../shared/ossec-ruleset (or STOCK_RULES=folder) these are measured, else our own.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cargo build --release --quiet --manifest-path bench/Cargo.toml --target-dir "$target/bench"
cargo build --release --quiet --package rules --example speed
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sh install.sh --stage "$folder/root" --type local --bin-dir "$target/release" >/dev/null
stock=${STOCK_RULES:-../shared/ossec-ruleset}
rules=etc
if [ -f "$stock/ossec-full.conf" ]; then
    rules=$stock
    rm -f "$folder/root/etc/decoder.xml" "$folder/root/rules"/*.xml
    cp "$stock/decoder.xml" "$folder/root/etc/"
    cp "$stock/rules"/*.xml "$folder/root/rules/"
    [ -f "$folder/root/rules/local_rules.xml" ] || echo '<group name="local,"></group>' >"$folder/root/rules/local_rules.xml"
    { echo '<ossec_config>' && sed -n '/<rules>/,/<\/rules>/p' "$stock/ossec-full.conf" && echo '</ossec_config>'; } >"$folder/ossec.conf"
    cp "$folder/ossec.conf" "$folder/root/etc/ossec.conf"
fi
echo "Rules: $rules. $(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg): the feeder shares them with the daemon."
"$target/bench/release/oxsec-bench" "$folder/root" "$target/release/examples/speed" "$rules" \
    "${GOLDEN_DIR:-../shared/golden}/analysis/loghub_logs.jsonl"
for type in server agent; do
    sh install.sh --stage "$folder/$type" --type $type --manager 127.0.0.1 --bin-dir "$target/release" >/dev/null
done
"$target/bench/release/oxsec-bench" wire "$folder/server" "$folder/agent"
echo "Changes in realtime, then scans, beside AIDE and samhain where they are installed: twenty minutes; BENCH_FILES=no leaves it out."
[ "${BENCH_FILES:-yes}" = no ] && exit
for what in realtime scan; do "$target/bench/release/oxsec-bench" $what "$folder/root" "$folder/files"; done
