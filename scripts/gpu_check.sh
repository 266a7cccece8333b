#!/usr/bin/env bash
# Checks and measures mtl-zoo on this machine's GPU, from the bundle that gpu_bundle.sh made. Needs an NVIDIA driver and the
# CUDA 13 libraries cuBLAS and cuRAND (those of a Python torch will do); nothing else.
#
#     gpu_check.sh [--parts device,parity,training,sanitizer,speed] [--out DIR]
#
# device     the card, the driver, and what `--device auto` says
# parity     every op, gradients, AdamW, all balancing methods and training steps against the CPU (the test programs)
# training   one run of the recipe `sentiment` on the CPU and one on the card: losses of the first 20 steps
# sanitizer  compute-sanitizer over the ops' tests, if it is there
# speed      seconds a step by size, format and tasks, and of the same step in PyTorch, if Python has it with CUDA
#
# Writes result.json and table.txt to DIR (default: gpu_check). Each part has ten minutes at most; the exit code says whether
# all that ran passed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
parts=device,parity,training,sanitizer,speed
out=gpu_check
while [ $# -gt 0 ]; do
    case $1 in
        --parts) parts=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        *) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
export MTL_ZOO_TEST_ROOT=$here MTL_ZOO_BUNDLED=$here/zoo/bundled MTL_ZOO_NEEDS_CUDA=1
python=$(command -v python3 || true)
if [ -z "${CUDA_LIB_PATH:-}" ] && [ -n "$python" ]; then
    CUDA_LIB_PATH=$("$python" -c '
import glob, os
try:
    import nvidia
    print(":".join(glob.glob(os.path.join(list(nvidia.__path__)[0], "*", "lib"))))
except ImportError:
    pass')
    export CUDA_LIB_PATH
fi

failed=0
: > "$out/rows"
quote() { local text=${1//\\/\\\\}; text=${text//\"/\\\"}; printf '"%s"' "${text//$'\n'/ }"; }
# row PART NAME OK VALUE: OK is true, false or null; VALUE is JSON.
row() {
    printf '{"part":%s,"name":%s,"ok":%s,"value":%s}\n' "$(quote "$1")" "$(quote "$2")" "$3" "$4" >> "$out/rows"
    printf '%-10s %-44s %-5s %s\n' "$1" "$2" "$3" "$4" | tee -a "$out/table"
    [ "$3" != false ] || failed=1
}
# Runs one program of a part, with its output in a file; the part's ten minutes are counted from its start.
within() {
    local left=$((600 - SECONDS + began)) log=$out/$1.log
    shift
    [ "$left" -gt 0 ] || return 124
    timeout "$left" "$@" > "$log" 2>&1
}
# tests PART PROGRAM: one row a test.
tests() {
    within "$1-$2" "$here/bin/$2" --test-threads=1 --nocapture
    local code=$? log=$out/$1-$2.log
    # With --nocapture what a test prints may stand between its name and its result.
    local results
    results=$(awk '/^test .* \.\.\. /{name=$2} /(^| )ok$/{if(name!=""){print name,"true";name=""}} /(^| )FAILED$/{if(name!=""){print name,"false";name=""}}' "$log")
    while read -r name ok; do [ -n "$name" ] && row "$1" "$2: $name" "$ok" null; done <<< "$results"
    case $code in
        0) row "$1" "$2" true "$(grep -c 'true$' <<< "$results")" ;;
        124) row "$1" "$2" false '"ten minutes were too short"' ;;
        *) row "$1" "$2" false "$(quote "exit code $code: $(tail -n 3 "$log")")" ;;
    esac
}

part_device() {
    local line
    line=$(nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader 2>&1 | head -n 1)
    row device nvidia-smi "$([ -n "$line" ] && echo true || echo false)" "$(quote "$line")"
    row device bundle null "$(quote "$(cat "$here/version")")"
    within device-cuda "$here/bin/mtl-zoo" finetune "$here/zoo/recipes/sentiment.toml" --device cuda --dry-run --json
    local code=$?
    line=$(grep -o '"device": *"[^"]*"' "$out/device-cuda.log" | head -n 1)
    row device "mtl-zoo --device cuda" "$([ $code = 0 ] && echo true || echo false)" "$(quote "${line:-$(tail -n 3 "$out/device-cuda.log")}")"
    within device-range "$here/bin/mtl-zoo" finetune "$here/zoo/recipes/sentiment.toml" --device cuda:99 --dry-run
    line=$(grep -m 1 'cuda:99' "$out/device-range.log")
    row device "cuda:99 is refused" "$([ -n "$line" ] && echo true || echo false)" "$(quote "$line")"
}

part_parity() {
    tests parity cuda
    tests parity cuda_training
}

part_training() {
    local device
    for device in cpu cuda; do
        rm -rf "$out/run-$device"
        within "training-$device" "$here/bin/mtl-zoo" finetune "$here/zoo/recipes/sentiment.toml" --device $device \
            --out "$out/run-$device" --dtype f32 --set training.steps=20 --set training.evaluate_every=20 \
            --set backbone.dropout=0 --set backbone.attention_dropout=0
        local code=$?
        [ $code = 0 ] || { row training "20 steps on $device" false "$(quote "exit code $code: $(tail -n 3 "$out/training-$device.log")")"; return; }
        sed -n 's/.*"step":\([0-9]*\),"loss":\([-0-9.e]*\),.*/\1 \2/p' "$out/run-$device/metrics.jsonl" > "$out/losses-$device"
    done
    local worst
    worst=$(paste -d' ' "$out/losses-cpu" "$out/losses-cuda" | awk '
        $1 != $3 { bad = 1 }
        { d = $4 / $2 - 1; if (d < 0) d = -d; if (!(d <= w)) w = d; n++ }
        END { if (bad || n != 20) print "nan"; else print w }')
    row training "largest relative difference of 20 losses" \
        "$(awk -v w="$worst" 'BEGIN { print (w != "nan" && w + 0 < 1e-3) ? "true" : "false" }')" "$(quote "$worst")"
}

part_sanitizer() {
    local sanitizer
    sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null || true)
    if [ -z "$sanitizer" ]; then
        row sanitizer "compute-sanitizer" null '"not here"'
        return
    fi
    local program
    for program in cuda cuda_training; do
        within "sanitizer-$program" "$sanitizer" --error-exitcode 9 "$here/bin/$program" --test-threads=1
        case $? in
            0) row sanitizer "$program" true null ;;
            124) row sanitizer "$program" null '"ten minutes were too short; nothing was found so far"' ;;
            *) row sanitizer "$program" false "$(quote "$(grep -m 3 '=========' "$out/sanitizer-$program.log")")" ;;
        esac
    done
}

part_speed() {
    local torch=
    [ -z "$python" ] || ! "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null || torch=yes
    [ -n "$torch" ] || row speed "PyTorch" null '"not here, or without CUDA"'
    local size tokens dtype tasks rows arguments name
    for size in minilm base; do
        for tokens in 1024 8192; do
            for dtype in f32 tf32 bf16; do
                for rows in "" 4 16; do
                    # The tasks' gradients apart are measured where they matter: at one length, in bf16.
                    [ -z "$rows" ] || { [ $dtype = bf16 ] && [ $tokens = 8192 ]; } || continue
                    tasks=${rows:-1}
                    arguments=(--tokens $tokens --tasks "$tasks" --steps 20 --dropout 0.1 --device cuda)
                    [ $size = minilm ] || arguments+=(--base)
                    case $dtype in tf32) arguments+=(--dtype f32 --tf32) ;; *) arguments+=(--dtype $dtype) ;; esac
                    [ -z "$rows" ] || arguments+=(--rows)
                    name="$size, $tokens tokens, $dtype${rows:+, $rows tasks apart}"
                    local slug=${name// /-}
                    if within "speed-$slug" "$here/bin/step" "${arguments[@]}"; then
                        row speed "mtl-zoo: $name" true "$(tail -n 1 "$out/speed-$slug.log")"
                    else
                        row speed "mtl-zoo: $name" false "$(quote "$(tail -n 3 "$out/speed-$slug.log")")"
                    fi
                    if [ -n "$torch" ]; then
                        if within "torch-$slug" "$python" "$here/gpu_torch_step.py" --size $size --tokens $tokens --dtype $dtype \
                            --tasks "$tasks" ${rows:+--rows}; then
                            row speed "PyTorch: $name" null "$(tail -n 1 "$out/torch-$slug.log")"
                        else
                            row speed "PyTorch: $name" null "$(quote "$(tail -n 3 "$out/torch-$slug.log")")"
                        fi
                    fi
                done
            done
        done
    done
}

: > "$out/table"
for part in ${parts//,/ }; do
    began=$SECONDS
    case $part in
        device | parity | training | sanitizer | speed) "part_$part" ;;
        *) echo "no part \`$part\`" >&2; exit 2 ;;
    esac
done
{
    echo '['
    sed '$!s/$/,/' "$out/rows"
    echo ']'
} > "$out/result.json"
mv "$out/table" "$out/table.txt"
rm "$out/rows"
echo "results: $out/result.json, $out/table.txt"
exit $failed
