#!/usr/bin/env bash
# What akvfs adds to the cost of a FUSE filesystem in C that does nothing but answer from memory.
#
#   benches/floor.sh [FLOOR]     FLOOR: folder with libfuse_floor.c and fsbench.c [default: ../shared/bench]
#
# Both are mounted at once and measured in turns, in one run: figures are medians, and only their ratio
# means something. Prints the same kind of table as `cargo bench --bench rows`. Needs root, two CPUs, gcc, curl, python3 and libfuse3-dev. Other
# load on the machine shows up in the figures.
set -euo pipefail
cd "$(dirname "$0")/.."
floor=$(realpath "${1:-../shared/bench}")
rounds=${ROUNDS:-7}
akvfs=${AKVFS:-target/release/akvfs}

work=$(mktemp -d)
cleanup() {
    for mount in "$work"/*/; do umount -l "$mount" 2>/dev/null || true; done
    [ -z "$(jobs -p)" ] || kill $(jobs -p) 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap cleanup EXIT

# shellcheck disable=SC2046
gcc -O2 "$floor/libfuse_floor.c" -o "$work/floor-fs" $(pkg-config --cflags --libs fuse3)
gcc -O2 -pthread "$floor/fsbench.c" -o "$work/fsbench"
# Opens, reads and closes one file now and then, as most programs do.
cat >"$work/paced.py" <<'PYTHON'
import os, statistics, sys, time
names = [os.path.join(sys.argv[1], name) for name in sorted(os.listdir(sys.argv[1]))][:1000]
took = []
for name in names:
    time.sleep(0.001)
    start = time.perf_counter_ns()
    file = os.open(name, os.O_RDONLY); os.read(file, 65536); os.close(file)
    took.append(time.perf_counter_ns() - start)
print(statistics.median(took) / 1000)
PYTHON

# Lists a directory of which the kernel has dropped what it kept, as it does when the listing's ttl is over.
cat >"$work/told.py" <<'PYTHON'
import os, subprocess, sys
directory = os.open(sys.argv[2], os.O_RDONLY)
os.posix_fadvise(directory, 0, 0, os.POSIX_FADV_DONTNEED)
subprocess.run([sys.argv[1], "ls", "-n", "1", sys.argv[2]], check=True)
PYTHON

# mount_both NAME COUNT HOW-THE-FLOOR-OPENS FLAGS...: a vault with COUNT secrets of 32 bytes, its values at
# $work/values-NAME; the floor at $work/floor-NAME.
mount_both() {
    local at=$1 count=$2 open=$3 vault=$work/vault-$1 name
    shift 3
    mkdir "$work/akvfs-$at" "$work/floor-$at"
    "$akvfs" emulator --control "$vault.control" --ca-out "$vault.pem" --token-out "$vault.token" >"$vault.line" &
    until [ -s "$vault.line" ]; do sleep 0.05; done
    for name in $(seq -f %05g 0 $((count - 1))); do
        printf 'next\nunix-socket = "%s"\nurl = "http://vault/secrets/secret-%s"\ndata = "{\\"value\\":\\"%032d\\"}"\noutput = "/dev/null"\n' \
            "$vault.control" "$name" 1
    done | tail -n +2 >"$vault.curl"
    curl -sS --config "$vault.curl"
    "$akvfs" mount "$(python3 -c 'import json, sys; print(json.load(sys.stdin)["url"])' <"$vault.line")" "$work/akvfs-$at" \
        --foreground --log-level error --ca-bundle "$vault.pem" --token-file "$vault.token" \
        --no-verify-challenge-resource --ttl 1day "$@" &
    daemon=$!
    until mountpoint -q "$work/akvfs-$at"; do sleep 0.05; done
    mkdir "$work/values-$at"
    mount --bind "$work/akvfs-$at/values" "$work/values-$at" # as deep a path as the floor's
    "$work/floor-fs" "$work/floor-$at" --files "$count" --ttl 86400 --open "$open" --readdirplus &
    stand_in=$!
    until mountpoint -q "$work/floor-$at"; do sleep 0.05; done
    cat "$work/values-$at"/* "$work/floor-$at"/* >/dev/null
}

# report WHAT GOAL FLOOR-FIGURES AKVFS-FIGURES
report() {
    python3 - "$@" <<'PYTHON'
import statistics, sys
what, goal = sys.argv[1], float(sys.argv[2])
floor, ours = [statistics.median(map(float, figures.split())) for figures in sys.argv[3:5]]
met = "yes" if round(ours / floor, 2) <= goal else "**no**"
print(f"| {what} | µs | {floor:.2f} | {ours:.2f} | {ours / floor:.2f} | ≤ {goal} × | {met} |")
PYTHON
}

# compare WHAT GOAL NAME COMMAND...: the directory is the command's last word.
compare() {
    local what=$1 goal=$2 at=$3 round theirs='' ours=''
    shift 3
    for round in $(seq "$rounds"); do
        theirs+=" $("$@" "$work/floor-$at")"
        ours+=" $("$@" "$work/values-$at")"
    done
    report "$what" "$goal" "$theirs" "$ours"
}

pin() { for process in "$daemon" "$stand_in"; do taskset -apc "$1" "$process" >/dev/null; done; }

echo '| what | unit | floor | akvfs | ratio | goal | met |'
echo '|---|---|---|---|---|---|---|'
mount_both small 1000 direct
pin 1
compare 'cached open+read+close, one CPU' 1.05 small taskset -c 1 "$work/fsbench" orc -s 32
compare 'cached stat, one CPU' 1.05 small taskset -c 1 "$work/fsbench" stat
pin 0
compare 'cached open+read+close, across CPUs' 0.5 small taskset -c 1 "$work/fsbench" orc -s 32
pin 0-1
compare 'cached open+read+close, unpinned' 0.5 small "$work/fsbench" orc -s 32
compare 'cached open+read+close, 4 clients' 1.05 small "$work/fsbench" orc -s 32 -t 4
compare 'cached stat, 4 clients' 1.05 small "$work/fsbench" stat -t 4
pin 1
compare 'cached open+read+close, 1 ms apart, one CPU' 1.05 small taskset -c 1 python3 "$work/paced.py"
pin 0-1
compare 'cached open+read+close, 1 ms apart, unpinned' 1.05 small python3 "$work/paced.py"
mount_both kept 1000 keep --page-cache
pin 1
compare 'open+read+close with `--page-cache`, one CPU' 1.05 kept taskset -c 1 "$work/fsbench" orc -s 32
pin 0-1
compare 'open+read+close with `--page-cache`, 4 clients' 1.05 kept "$work/fsbench" orc -s 32 -t 4
mount_both large 10000 direct
pin 1
compare 'listing with stat, per entry of 10,000' 1.05 large taskset -c 1 "$work/fsbench" ls -n 3
compare 'the same, of which the kernel has kept nothing' 1.05 large taskset -c 1 python3 "$work/told.py" "$work/fsbench"
