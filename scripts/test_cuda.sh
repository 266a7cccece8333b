#!/usr/bin/env bash
# Runs the tests of CUDA devices: on the card of this machine, or where there is none on the emulator (tests/cuda_emulator). On the
# emulator they run twice, the second time with the threads of each block in the opposite order, so that races show.
#
#     scripts/test_cuda.sh [cargo test's arguments]
#
# CUDA_EMULATOR=1 takes the emulator even where there is a card; ADDRESS_SANITIZER=1 with it checks shared and local arrays too.
set -euo pipefail
cd "$(dirname "$0")/.."
test=(cargo test --release --features cuda --test cuda --test cuda_training --test ops "$@")
export MTL_ZOO_TEST_DEVICE=cuda
ranks=(cargo test --release --features nccl --test parallel nccl::)
if [ -z "${CUDA_EMULATOR:-}" ] && nvidia-smi -L 2> /dev/null | grep -q GPU; then
    MTL_ZOO_NEEDS_CUDA=1 exec "${test[@]}"
fi
if [ ! -e "${CUDA_HOME:-/usr/local/cuda}/include/cuda.h" ] || ! command -v g++ > /dev/null || ! command -v python3 > /dev/null; then
    echo "skipped: no CUDA device, and no emulator, which needs g++, python3 and a CUDA toolkit (CUDA_HOME)"
    exit 0
fi
echo "no card: kernels run on the CPU (tests/cuda_emulator)"
# The emulator knows kernels by name: their machine code is not needed.
export MTL_ZOO_CUDA_ARCHITECTURES=${MTL_ZOO_CUDA_ARCHITECTURES:-none} MTL_ZOO_NEEDS_CUDA=1
variables=$(scripts/cuda_emulator.sh)
"${test[@]}" --no-run
"${ranks[@]}" --no-run
eval "$variables"
"${test[@]}"
"${ranks[@]}"
CUDA_EMULATOR_ORDER=backwards "${test[@]}"
