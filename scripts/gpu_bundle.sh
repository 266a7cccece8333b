#!/usr/bin/env bash
# Makes a bundle for a machine with a GPU, but without Rust, sources or network: the program and its tests and benchmarks with
# the feature `cuda`, their data, and gpu_check.sh to run there.
#
#     scripts/gpu_bundle.sh [OUT.tar.xz]      at most 60 MB, by default target/gpu_bundle.tar.xz
#
# There:  tar xf gpu_bundle.tar.xz && gpu_bundle/gpu_check.sh
#
# Needs what `cargo build --features cuda` needs (docs/gpu.md). candle's own kernels are compiled for the oldest card that ours
# are for; newer cards take them too.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
archive=${1:-$target/gpu_bundle.tar.xz}
most=$((60 * 1000 * 1000))
bundle=$target/gpu_bundle
rm -rf "$bundle"
mkdir -p "$bundle"/{bin,zoo,tests}
cd "$root"
architectures=${MTL_ZOO_CUDA_ARCHITECTURES:-75,80,90}
[ "$architectures" != none ] || { echo "MTL_ZOO_CUDA_ARCHITECTURES=none: no kernels for a card" >&2; exit 1; }
export MTL_ZOO_CUDA_ARCHITECTURES=$architectures CUDA_COMPUTE_CAP=${architectures%%,*}

# Of each built file that can be run: its name in Cargo.toml and its path.
built() {
    cargo "$@" --release --features cuda --message-format=json-render-diagnostics | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable"):
        print(message["target"]["name"], message["executable"])'
}
{
    built build --bin mtl-zoo --bench step --bench balancing
    built test --no-run --test cuda --test cuda_training --test ops
} | while read -r name path; do
    cp "$path" "$bundle/bin/$name"
    strip "$bundle/bin/$name"
done
for name in mtl-zoo cuda cuda_training ops step balancing; do
    [ -x "$bundle/bin/$name" ] || { echo "no build of \`$name\`" >&2; exit 1; }
done

cp -r tests/golden "$bundle/tests/"
cp -r zoo/recipes "$bundle/zoo/"
mkdir -p "$bundle/zoo/bundled"
cp -r zoo/bundled/backbone zoo/bundled/data "$bundle/zoo/bundled/"
cp scripts/gpu_check.sh scripts/gpu_torch_step.py "$bundle/"
git -C "$root" rev-parse --short HEAD > "$bundle/version" 2>/dev/null || echo unknown > "$bundle/version"

# One large dictionary: the programs have most of their code in common.
tar -C "$target" -cf - gpu_bundle | xz --lzma2=preset=6,dict=256MiB > "$archive"
size=$(stat -c %s "$archive")
echo "$archive: $((size / 1000000)) MB"
[ "$size" -le "$most" ] || { echo "more than $((most / 1000000)) MB" >&2; exit 1; }
