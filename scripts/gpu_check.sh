#!/usr/bin/env bash
# Checks and measures mtl-zoo on this machine's GPU, from the bundle that gpu_bundle.sh made. Needs an NVIDIA driver and the
# CUDA 13 libraries cuBLAS and cuRAND (those of a Python torch will do); nothing else.
#
#     gpu_check.sh [--parts device,parity,training,scores,sanitizer,speed,balancing] [--quick] [--out DIR]
#
# device     the card, the driver, and what `--device auto` says; without a device that computes nothing else is run
# parity     every op against closed forms, finite differences and computation in f64; every op, gradients, AdamW, all balancing
#            methods and training steps against the CPU (the test programs)
# training   one run of the recipe `sentiment` on the CPU and one on the card: losses of the first 20 steps
# scores     that recipe to its end in f32 on the CPU and in bf16 on the card, three seeds each: test scores
# sanitizer  compute-sanitizer over the tests: memory, races, barriers; if it is there
# speed      seconds a step, tokens a second and model FLOPs utilisation by size, format and lengths, beside PyTorch, if Python
#            has it with CUDA
# balancing  a step of balancing methods over one of equal weighting, BERT-base, 4 tasks
#
# Writes result.json and table.txt to DIR (default: gpu_check). Each part has ten minutes at most; the exit code says whether
# all that ran passed. --quick takes a few small steps of everything: to try this script, not the card.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
all=device,parity,training,scores,sanitizer,speed,balancing
parts=$all
out=gpu_check
quick=
usage() { sed -n '2,22s/^# \{0,1\}//p' "$0" >&2; exit 2; }
while [ $# -gt 0 ]; do
    case $1 in
        --parts) parts=${2:-}; shift 2 || usage ;;
        --out) out=${2:-}; shift 2 || usage ;;
        --quick) quick=yes; shift ;;
        *) usage ;;
    esac
done
for part in ${parts//,/ }; do
    case ,$all, in *,"$part",*) ;; *) echo "no part \`$part\`" >&2; usage ;; esac
done
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
export MTL_ZOO_TEST_ROOT=$here MTL_ZOO_BUNDLED=$here/zoo/bundled MTL_ZOO_NEEDS_CUDA=1
recipe=$here/zoo/recipes/sentiment.toml
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
: > "$out/table"
quote() { local text=${1//\\/\\\\}; text=${text//\"/\\\"}; printf '"%s"' "$(printf %s "$text" | tr '\n\t\r' '   ' | tr -d '\000-\037')"; }
# row PART NAME OK VALUE: OK is true, false or null; VALUE is JSON.
row() {
    printf '{"part":%s,"name":%s,"ok":%s,"value":%s}\n' "$(quote "$1")" "$(quote "$2")" "$3" "$4" >> "$out/rows"
    printf '%-10s %-52s %-5s %s\n' "$1" "$2" "$3" "$4" | tee -a "$out/table"
    [ "$3" != false ] || failed=1
}
# Runs one program of a part, with its output in a file; the part's ten minutes are counted from its start.
within() {
    local left=$((600 - SECONDS + began)) log=$out/$1.log
    shift
    : > "$log"
    [ "$left" -gt 0 ] || return 124
    timeout "$left" "$@" > "$log" 2>&1
}
# Why a program failed: its exit code, and what it said last.
why() { [ "$1" != 124 ] && quote "exit code $1: $(tail -n 3 "$2")" || quote "ten minutes were too short"; }
# number KEY FILE: of the JSON object in a file's last line.
number() { tail -n 1 "$2" | grep -o "\"$1\": *[-0-9.e+]*" | head -n 1 | sed 's/.*: *//'; }
# calculate EXPRESSION [NAME=NUMBER…]: by awk; `null` where a number is absent.
calculate() {
    local expression=$1 pair arguments=()
    shift
    for pair in "$@"; do
        [ -n "${pair#*=}" ] || { echo null; return; }
        arguments+=(-v "$pair")
    done
    awk "${arguments[@]}" "BEGIN { printf \"%.4g\", $expression }"
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
        *) row "$1" "$2" false "$(why $code "$log")" ;;
    esac
}

part_device() {
    local line code
    line=$(nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader 2>&1 | head -n 1)
    row device nvidia-smi null "$(quote "$line")"
    row device bundle null "$(quote "$(cat "$here/version")")"
    within device-cuda "$here/bin/mtl-zoo" finetune "$recipe" --device cuda --dry-run --json
    code=$?
    card=$(grep -o '"device": *"[^"]*"' "$out/device-cuda.log" | head -n 1 | sed 's/^"device": *"//; s/"$//')
    if [ $code != 0 ] || [ -z "$card" ]; then
        row device "mtl-zoo --device cuda" false "$(quote "$(cat "$out/device-cuda.log")")"
        { echo; echo "mtl-zoo finds no CUDA device here, so nothing else was run:"; sed 's/^/    /' "$out/device-cuda.log"; } >&2
        return 1
    fi
    row device "mtl-zoo --device cuda" true "$(quote "$card")"
    within device-range "$here/bin/mtl-zoo" finetune "$recipe" --device cuda:99 --dry-run
    line=$(grep -m 1 'cuda:99' "$out/device-range.log")
    row device "cuda:99 is refused" "$([ -n "$line" ] && echo true || echo false)" "$(quote "$line")"
}

part_parity() {
    MTL_ZOO_TEST_DEVICE=cuda tests parity ops
    tests parity cuda
    tests parity cuda_training
}

# finetune NAME DEVICE DTYPE SEED [ARGUMENTS]: a run of the recipe in $out/NAME, of a few short texts a step if it has to be quick.
finetune() {
    local name=$1 device=$2 dtype=$3 seed=$4
    shift 4
    rm -rf "${out:?}/$name"
    [ -z "$quick" ] || set -- "$@" --set backbone.max_tokens=6 --set training.batch_tokens=60
    within "$name" "$here/bin/mtl-zoo" finetune "$recipe" --device "$device" --dtype "$dtype" --seed "$seed" --out "$out/$name" "$@"
}

part_training() {
    local device code worst steps=20
    [ -z "$quick" ] || steps=2
    for device in cpu cuda; do
        finetune "training-$device" $device f32 0 --set training.steps=$steps --set training.evaluate_every=$steps \
            --set backbone.dropout=0 --set backbone.attention_dropout=0
        code=$?
        [ $code = 0 ] || { row training "$steps steps on $device" false "$(why $code "$out/training-$device.log")"; return; }
        sed -n 's/.*"step":\([0-9]*\),"loss":\([-0-9.e]*\),.*/\1 \2/p' "$out/training-$device/metrics.jsonl" > "$out/losses-$device"
    done
    worst=$(paste -d' ' "$out/losses-cpu" "$out/losses-cuda" | awk -v steps=$steps '
        $1 != $3 { bad = 1 }
        { d = $4 / $2 - 1; if (d < 0) d = -d; if (!(d <= w)) w = d; n++ }
        END { if (bad || n != steps) print "nan"; else print w + 0 }')
    row training "largest relative difference of $steps losses" \
        "$(awk -v w="$worst" 'BEGIN { print (w != "nan" && w + 0 < 1e-3) ? "true" : "false" }')" "$(quote "$worst")"
}

# The main test score of each task, in order, one line a run.
part_scores() {
    local seed device code dtype seeds="0 1 2"
    [ -z "$quick" ] || seeds=0
    for device in cuda cpu; do
        [ $device = cpu ] && dtype=f32 || dtype=bf16
        : > "$out/scores-$device"
        for seed in $seeds; do
            finetune "scores-$device-$seed" $device $dtype "$seed" ${quick:+--set training.steps=1}
            code=$?
            [ $code = 0 ] || { row scores "seed $seed on $device" false "$(why $code "$out/scores-$device-$seed.log")"; return; }
            grep '"test"' "$out/scores-$device-$seed/metrics.jsonl" | grep -o '"pearson":[-0-9.e]*' | sed 's/.*://' \
                | paste -sd' ' >> "$out/scores-$device"
        done
        row scores "$dtype on $device, a line a seed" null "$(quote "$(paste -sd';' "$out/scores-$device")")"
    done
    # The means of a task may differ by what seeds make of them: three standard errors of the difference, and 0.005 at least.
    local verdict
    verdict=$(awk '
        { for (i = 1; i <= NF; i++) { s[FILENAME, i] += $i; q[FILENAME, i] += $i * $i }; n[FILENAME]++; if (NF > tasks) tasks = NF }
        END {
            a = ARGV[1]; b = ARGV[2]; ok = tasks > 0
            for (i = 1; i <= tasks; i++) {
                v = 0
                for (f = 1; f <= 2; f++) {
                    k = n[ARGV[f]]; m = s[ARGV[f], i] / k
                    if (k > 1) v += (q[ARGV[f], i] - k * m * m) / (k - 1) / k
                }
                d = s[b, i] / n[b] - s[a, i] / n[a]
                noise = 3 * sqrt(v > 0 ? v : 0); if (noise < 0.005) noise = 0.005
                if (!(d <= noise && -d <= noise)) ok = 0
                text = text (i > 1 ? "; " : "") sprintf("%+.4f of %.4f", d, noise)
            }
            print (ok ? "true" : "false"), text
        }' "$out/scores-cpu" "$out/scores-cuda")
    row scores "bf16 on the card less f32 on the CPU, a task" "${verdict%% *}" "$(quote "${verdict#* }")"
}

part_sanitizer() {
    local sanitizer code program tool
    sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null || true)
    if [ -z "$sanitizer" ]; then
        row sanitizer "compute-sanitizer" null '"not here"'
        return
    fi
    for tool in racecheck synccheck memcheck; do
        for program in cuda cuda_training; do
            # Races are looked for where the kernels are, and every step of a run has the same ones.
            [ $tool = memcheck ] || [ $program = cuda ] || continue
            within "sanitizer-$tool-$program" "$sanitizer" --tool $tool --error-exitcode 9 "$here/bin/$program" --test-threads=1
            code=$?
            case $code in
                0) row sanitizer "$tool: $program" true null ;;
                124) row sanitizer "$tool: $program" null '"ten minutes were too short; nothing was found so far"' ;;
                *) row sanitizer "$tool: $program" false "$(quote "$(grep -m 3 '=========' "$out/sanitizer-$tool-$program.log")")" ;;
            esac
        done
    done
}

# Products of bf16 or f16 with sums in f32 that a card can do, in TFLOP/s without sparsity, from NVIDIA's data sheets.
peak() {
    case $1 in
        *B200*) echo 2250 ;;
        *H200*NVL* | *H100*NVL*) echo 835 ;;
        *H100*PCIe*) echo 756 ;;
        *GH200* | *H200* | *H100*) echo 989 ;;
        *A100* | *A800*) echo 312 ;;
        *A30*) echo 165 ;;
        *A40*) echo 150 ;;
        *A10G*) echo 70 ;;
        *A10*) echo 125 ;;
        *L40S*) echo 362 ;;
        *L40*) echo 181 ;;
        *L4*) echo 121 ;;
        *"RTX 6000 Ada"*) echo 364 ;;
        *"RTX 5090"*) echo 210 ;;
        *"RTX 4090"*) echo 165 ;;
        *"RTX 3090"*) echo 71 ;;
        *T4*) echo 65 ;;
    esac
}

# measure NAME SIZE DTYPE [ARGUMENTS]: a row of bin/step; the result is in $out/speed-….log, named by $log.
measure() {
    local name=$1 size=$2 dtype=$3 code
    shift 3
    log=$out/speed-${name//[ ,]/-}.log
    local arguments=(--steps $steps --dropout 0.1 --device cuda "$@")
    [ "$size" = minilm ] || arguments+=(--base)
    case $dtype in tf32) arguments+=(--dtype f32 --tf32) ;; *) arguments+=(--dtype "$dtype") ;; esac
    within "speed-${name//[ ,]/-}" "$here/bin/step" "${arguments[@]}"
    code=$?
    [ $code = 0 ] && row speed "mtl-zoo: $name" true "$(tail -n 1 "$log")" || row speed "mtl-zoo: $name" false "$(why $code "$log")"
}
# torch NAME SIZE DTYPE [ARGUMENTS]: the same in PyTorch, as it is and compiled, and how many times the tokens a second of its
# better one mtl-zoo has.
torch() {
    local name=$1 size=$2 dtype=$3 mode best=0 rate own=$log file
    shift 3
    [ -n "$torch" ] || return 0
    for mode in "" --compile; do
        file=torch-${name//[ ,]/-}${mode:+-compiled}
        within "$file" "$python" "$here/gpu_torch_step.py" --size "$size" --dtype "$dtype" --steps $steps $mode "$@"
        local code=$?
        if [ $code = 0 ]; then
            row speed "PyTorch${mode:+, compiled}: $name" null "$(tail -n 1 "$out/$file.log")"
            rate=$(number tokens_per_second "$out/$file.log")
            best=$(calculate "a > b ? a : b" a="$best" b="$rate")
        else
            row speed "PyTorch${mode:+, compiled}: $name" null "$(why $code "$out/$file.log")"
        fi
    done
    [ "$best" = 0 ] || row speed "mtl-zoo over PyTorch, tokens a second: $name" null \
        "$(calculate "a / b" a="$(number tokens_per_second "$own")" b="$best")"
}

part_speed() {
    local size tokens dtype name log torch= steps=20 most=8192
    [ -z "$python" ] || ! "$python" -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null || torch=yes
    [ -n "$torch" ] || row speed "PyTorch" null '"not here, or without CUDA"'
    [ -z "$quick" ] || steps=1 most=48
    within lengths "$here/bin/step" --lengths-of "$recipe" || { row speed "lengths" false "$(why $? "$out/lengths.log")"; return; }
    tail -n 1 "$out/lengths.log" > "$out/lengths.json"
    # What counts first: BERT-base in bf16, 4 tasks, with the lengths of real sentences and with equal ones.
    size=base dtype=bf16
    [ -z "$quick" ] || size=minilm
    measure "$size, $most tokens, $dtype, 4 tasks, real lengths" $size $dtype --tokens $most --lengths "$out/lengths.json"
    torch "$size, $most tokens, $dtype, 4 tasks, real lengths" $size $dtype --tokens $most --lengths "$out/lengths.json"
    measure "$size, $most tokens, $dtype, 4 tasks" $size $dtype --tokens $most --tasks 4 ${quick:+--length 12}
    local rate
    rate=$(number flops_per_second "$log")
    row speed "model FLOPs utilisation: $size, $most tokens, $dtype" null \
        "$(calculate "f / p / 1e12" f="$rate" p="$(peak "$card")")"
    torch "$size, $most tokens, $dtype, 4 tasks" $size $dtype --tokens $most --tasks 4
    measure "$size, $most tokens, $dtype, 4 tasks apart" $size $dtype --tokens $most --tasks 4 --rows ${quick:+--length 12}
    torch "$size, $most tokens, $dtype, 4 tasks apart" $size $dtype --tokens $most --tasks 4 --rows
    [ -z "$quick" ] || return 0
    for size in base minilm; do
        for tokens in 8192 1024; do
            for dtype in bf16 f16 tf32 f32; do
                name="$size, $tokens tokens, $dtype"
                measure "$name" $size $dtype --tokens $tokens
                [ $dtype != bf16 ] || torch "$name" $size $dtype --tokens $tokens
            done
        done
    done
}

part_balancing() {
    local code steps=9 tokens=8192 methods=mgda,pcgrad,cagrad,nash_mtl,upgrad,aligned_mtl,imtl_g,fairgrad,famo,uncertainty
    [ -z "$quick" ] || steps=1 tokens=64 methods=upgrad
    within balancing "$here/bin/balancing" --device cuda $([ -n "$quick" ] || echo --base) --tasks 4 --tokens $tokens --steps $steps \
        --methods $methods --json ${quick:+--length 16}
    code=$?
    [ $code = 0 ] || { row balancing "methods over equal weighting" false "$(why $code "$out/balancing.log")"; return; }
    row balancing "seconds of a step, and over equal weighting" null "$(tail -n 1 "$out/balancing.log")"
}

card=
began=$SECONDS
if part_device; then
    for part in ${parts//,/ }; do
        began=$SECONDS
        [ "$part" = device ] || "part_$part"
    done
fi
{
    echo '['
    sed '$!s/$/,/' "$out/rows"
    echo ']'
} > "$out/result.json"
mv "$out/table" "$out/table.txt"
rm "$out/rows"
echo "results: $out/result.json, $out/table.txt"
exit $failed
