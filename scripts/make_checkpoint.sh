#!/usr/bin/env bash
# Makes the published checkpoint that comes with mtl-zoo: zoo/bundled/checkpoints/sentiment.
#
#   bash scripts/make_checkpoint.sh
#
# Trains the committed recipe and writes what `push` would publish, with the findings of the committed study in its card. The
# same processor gives the same bytes; another one rounds differently.
set -euo pipefail
cd "$(dirname "$0")/.."

run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
cargo build --release --locked
target/release/mtl-zoo finetune sentiment --out "$run/sentiment"
target/release/mtl-zoo push "$run/sentiment" --out zoo/bundled/checkpoints/sentiment --study docs/examples/sentiment
