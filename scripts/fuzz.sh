#!/usr/bin/env bash
# Runs each fuzz target for SECONDS (600 unless given) and fails on the first finding.
#
#   scripts/fuzz.sh [SECONDS] [TARGET...]      targets: recipe data checkpoint pytorch
#
# Needs cargo-fuzz (`cargo install cargo-fuzz`) and a C++ compiler. It builds with the installed stable toolchain;
# where AddressSanitizer's library is missing, `SANITIZER=none scripts/fuzz.sh` finds panics, hangs and memory hogs.
# New inputs are collected in fuzz/corpus/, findings in fuzz/artifacts/. Run one again with
# `RUSTC_BOOTSTRAP=1 cargo fuzz run TARGET fuzz/artifacts/TARGET/FILE`.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-600}
[ $# -gt 0 ] && shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(recipe data checkpoint pytorch)

# cargo-fuzz passes unstable flags to the compiler.
export RUSTC_BOOTSTRAP=1

# The targets write small files: in memory, and gone at the end.
shm=/dev/shm
[ -w "$shm" ] || shm=${TMPDIR:-/tmp}
TMPDIR=$(mktemp -d "$shm/mtl-zoo-fuzz.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

options=(--sanitizer "${SANITIZER:-address}")
[ -z "${FUZZ_TARGET_DIR:-}" ] || options+=(--target-dir "$FUZZ_TARGET_DIR")

for target in "${targets[@]}"; do
    echo "== fuzzing $target for $seconds s"
    mkdir -p "fuzz/corpus/$target"
    cargo fuzz run "${options[@]}" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=16384 -print_final_stats=1
done
echo "== no finding"
