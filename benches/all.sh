#!/usr/bin/env bash
# Measures everything again and writes benches/RESULTS.md, benches/growth.svg and benches/fleet.svg.
#
#   benches/all.sh [FLOOR]     FLOOR: folder with libfuse_floor.c and fsbench.c [default: ../shared/bench]
#
# To be run as root on a machine that does nothing else, with two CPUs. Building takes long, measuring some minutes.
# AKVFS_TEST_PYTHON names a Python with Microsoft's client.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --bin akvfs --bench rows
# Of the build's messages, the one that names the program.
rows=$(cargo build --release --bench rows --message-format=json 2>/dev/null |
    python3 -c 'import json, sys; print([made["executable"] for made in map(json.loads, sys.stdin)
        if made.get("executable") and made["target"]["name"] == "rows"][0])')
results=$(mktemp)
trap 'rm -f "$results"' EXIT

# The cost in requests, and a day of outage.
costs() {
    cargo test --lib -- cache::tests::load --skip fleet --nocapture --test-threads 1 2>/dev/null |
        grep -E '^(test .* \.\.\. )?[^ ].*: ' | grep -v '^test result' | sed -E 's/^test [^ ]+ \.\.\. /- /; t; s/^/- /'
}

# A thousand machines, minute by minute.
fleet() {
    cargo test --lib -- cache::tests::load::a_fleet_of_a_thousand_machines --exact --ignored --nocapture 2>/dev/null |
        sed -n '/machines that start/,/^| after 2/p'
}

{
    echo '# Results'
    echo
    echo "$(date -u +%F), $(nproc) CPUs ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)), Linux $(uname -r)," \
        "$(rustc --version | cut -d' ' -f1,2), load $(cut -d' ' -f1-3 /proc/loadavg) at the start, commit $(git rev-parse --short HEAD)."
    echo
    echo 'Made by `benches/all.sh`. Both sides of a row take turns in one run; only their ratio means something. Figures'
    echo 'are medians.'
    echo
    echo '## Beside a filesystem in C that answers from memory (`benches/floor.sh`)'
    echo
    ROUNDS=${ROUNDS:-5} benches/floor.sh "${1:-../shared/bench}"
    echo
    echo '## Beside what it has to be measured by (`cargo bench --bench rows`)'
    echo
    AKVFS=$PWD/target/release/akvfs "$rows" benches/growth.svg
    echo
    echo '![Costs against the number of secrets](growth.svg)'
    echo
    echo '## In simulated time (`cargo test --lib cache::tests::load -- --include-ignored --nocapture`)'
    echo
    costs
    echo
    minutes=$(fleet)
    echo "$minutes"
    "$rows" fleet benches/fleet.svg <<<"$minutes"
    echo
    echo '![A fleet, minute by minute](fleet.svg)'
} >"$results"
cp "$results" benches/RESULTS.md
grep -c '| yes |' benches/RESULTS.md | sed 's/$/ figures are met/'
grep -F '**no**' benches/RESULTS.md || true
