#!/usr/bin/env bash
# Runs the tests of several ranks over MPI: processes of the CPU, started by mpirun, in 2 and 4 ranks.
#
#     scripts/test_parallel.sh [cargo test's arguments]
#
# Needs an MPI library with mpirun and mpicc, and libclang, which makes the bindings: on Debian, libopenmpi-dev, openmpi-bin
# and libclang-dev.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in mpirun mpicc; do
    if ! command -v "$tool" > /dev/null; then
        echo "skipped: no $tool (on Debian: libopenmpi-dev and openmpi-bin)"
        exit 0
    fi
done
if [ -z "${LIBCLANG_PATH:-}" ] && ! ls /usr/lib/*/libclang*.so* /usr/lib/llvm-*/lib/libclang*.so* > /dev/null 2>&1; then
    echo "skipped: no libclang, which makes the bindings of MPI (on Debian: libclang-dev)"
    exit 0
fi
exec cargo test --release --features mpi --test parallel "$@"
