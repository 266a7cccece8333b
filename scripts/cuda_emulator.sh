#!/usr/bin/env bash
# Builds the CUDA emulator (tests/cuda_emulator) with this checkout's kernels, and prints the variables that make a program
# find it in place of the driver:
#
#     eval "$(scripts/cuda_emulator.sh)" && cargo test --release --features cuda --test cuda
#
# With ADDRESS_SANITIZER=1 kernels also run under AddressSanitizer, which sees the bounds of shared and local arrays.
# Needs g++, python3, CUDA's headers (CUDA_HOME), and candle-kernels' sources (cargo fetch).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
emulator=$root/tests/cuda_emulator
flags=(-std=c++17 -O2 -g1 -fPIC -w)
out=${CARGO_TARGET_DIR:-$root/target}/cuda_emulator
if [ -n "${ADDRESS_SANITIZER:-}" ]; then
    flags+=(-fsanitize=address -fno-omit-frame-pointer)
    out=$out-sanitized
fi
mkdir -p "$out"
exec 9> "$out/.lock"
flock 9

headers=${CUDA_HOME:-/usr/local/cuda}/include
[ -e "$headers/cuda.h" ] || { echo "no $headers/cuda.h: set CUDA_HOME to a CUDA toolkit" >&2; exit 1; }
candle=$(cd "$root" && cargo metadata --format-version 1 --features cuda | python3 -c '
import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(next(os.path.dirname(p["manifest_path"]) for p in packages if p["name"] == "candle-kernels"))')/src

# Compiles again what is older than its source or anything in the emulator.
newest=$(find "$emulator" "$0" -type f -printf '%T@\n' | sort -n | tail -1)
stale() { # object, sources
    local object=$1 source
    shift
    [ -e "$object" ] && [ "$(echo "$(stat -c %.Y "$object") > $newest" | bc)" = 1 ] || return 0
    for source in "$@"; do [ "$object" -nt "$source" ] || return 0; done
    return 1
}
objects=()
kernels() { # name, file
    local object=$out/$1.o
    objects+=("$object")
    stale "$object" "$2" $(find "$(dirname "$2")" -name '*.cuh') || return 0
    g++ "${flags[@]}" -E -P -x c++ -DEMULATED_FILE="$1" -include "$emulator/shim/device.h" -I "$emulator/shim" \
        -I "$root/src" "$2" -o "$out/$1.ii"
    python3 "$emulator/register.py" "$out/$1.ii" "$out/$1.cpp"
    g++ "${flags[@]}" -c "$out/$1.cpp" -o "$object"
}
for name in affine binary cast fill indexing reduce ternary unary; do kernels candle_$name "$candle/$name.cu"; done
while read -r file; do
    name=${file#"$root/src/"}
    kernels "$(echo "${name%.cu}" | tr / _)" "$file"
done < <(find "$root/src" -name '*.cu' | sort)
for part in engine memory pinned driver products cublas cublaslt curand nccl; do
    object=$out/$part.o
    # Products take most of the time.
    [ $part = products ] && fast=(-O3 -march=native) || fast=()
    if stale "$object" "$emulator/$part.cpp"; then g++ "${flags[@]}" "${fast[@]}" -I "$headers" -c "$emulator/$part.cpp" -o "$object"; fi
    case $part in engine | memory | pinned | driver | products) objects+=("$object") ;; esac
done
library() { g++ "${flags[@]}" -shared -Wl,-soname,"$1" "${@:2}" -o "$out/.new" && mv "$out/.new" "$out/$1"; }
library libcuda.so.1 "${objects[@]}" -Wl,--no-undefined
for pair in cublas:13 cublasLt:13 curand:10 nccl:2; do
    name=${pair%:*}
    library "lib$name.so.${pair#*:}" "$out/${name,,}.o" -L"$out" -l:libcuda.so.1 -Wl,-rpath,"$out"
done

echo "export CUDA_LIB_PATH=$out LD_LIBRARY_PATH=$out\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH} CUDA_LAZY_DEBUG=1"
if [ -n "${ADDRESS_SANITIZER:-}" ]; then
    echo "export LD_PRELOAD=$(g++ -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0"
fi
