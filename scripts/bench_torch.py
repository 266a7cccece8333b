#!/usr/bin/env python3
"""Times mtl-zoo and PyTorch side by side on this machine.

    cargo build --release --benches --bins
    pip install -r scripts/requirements.txt
    python scripts/bench_torch.py --data DATA --backbone BACKBONE --checkpoint CHECKPOINT --rounds 3 --json result.json

a  one training step of MiniLM-L6, 32 texts of 64 tokens, no padding
b  joint training on eight real tasks, examples a second; PyTorch as its users write it: a task a batch of 32, padded to
   the longest, fused AdamW, SDPA; in f32 and bf16 autocast, with and without grouping by length
c  the same step with every task's gradient kept apart and their Gramian, 2 to 16 tasks; PyTorch: one backward a task;
   TorchJD: `mtl_backward` and UPGrad on the shared parameters, bf16 autocast as PyTorch
d  cost a token by tokens a step, by length, and by number of tasks
e  peak memory of a and b
f  seconds from the start of `mtl-zoo finetune` to the end of its first step, tokens cached
g  answers of all heads of CHECKPOINT: milliseconds for one text, texts a second for 10,000; PyTorch and ONNX Runtime

BACKBONE is all-MiniLM-L6-v2 as the Hub has it (scripts/get_minilm.py), DATA a folder with tweeteval/TASK,
banking77, clinc150, subjectivity and sentence_polarity as JSON lines with `text` and `label`. The sides run in turn,
ROUNDS times; ratios are medians over rounds. The floor is the step's arithmetic over the rate of matrix products of its
shapes, from memory to memory, and what the optimizer moves over the bandwidth of memory; the kernel's floor takes
products at the rate they have with operands laid out in a core's caches. Both are measured after each step that is
compared with them.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TASKS = ["tweeteval/emotion", "tweeteval/irony", "tweeteval/offensive", "tweeteval/hate", "banking77", "clinc150",
         "subjectivity", "sentence_polarity"]
LAYERS, HIDDEN, INNER, HEADS, VOCABULARY = 6, 384, 1536, 12, 30522


def bench(name):
    """The newest build of one of our benchmarks."""
    built = [path for path in (ROOT / "target/release/deps").glob(f"{name}-*") if not path.suffix]
    if not built:
        sys.exit(f"no build of the benchmark `{name}`: run `cargo build --release --benches`")
    return str(max(built, key=lambda path: path.stat().st_mtime))


def run(command):
    """The JSON on the last line that a command prints."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def in_turn(sides, rounds, key):
    """Runs each side's command ROUNDS times, one after the other; all values by side."""
    values = {name: [] for name in sides}
    for number in range(rounds):
        for name, command in sides.items():
            values[name].append(run(command)[key])
            print(f"  round {number + 1}, {name}: {values[name][-1]:.4g}", file=sys.stderr, flush=True)
    return values


def medians(values):
    return {name: statistics.median(series) for name, series in values.items()}


def worker(kind, *flags):
    return [sys.executable, ROOT / "scripts/torch_workers.py", kind, "--threads", THREADS, *flags]


def ours(*flags):
    return [bench("step"), "--threads", str(THREADS), *flags]


def machine(threads):
    model = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    return f"{model[0]}, {threads} threads, {platform.system()}"


def flops(tokens, length):
    """Arithmetic of the products of one training step: one forward pass and twice that backward."""
    layer = 2 * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER) + 4 * length * HIDDEN
    return 3 * tokens * LAYERS * layer


def optimizer_bytes():
    """What AdamW has to move in a step: value and two moments of each number of the layers read and written, its gradient
    written and read once. Of the table of tokens only the rows of the batch are touched: left out."""
    layer = 4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER
    return 32 * LAYERS * layer


def part_a(args):
    sides = {"ours_f32": ours("--dtype", "f32"), "ours": ours("--dtype", "bf16"),
             "torch_f32": worker("step"), "torch_bf16": worker("step", "--bf16")}
    series = in_turn(sides, args.rounds, "seconds")
    result = medians(series)
    result["torch_best"] = min(result["torch_f32"], result["torch_bf16"])
    for suffix, dtype in (("_f32", "f32"), ("", "bf16")):
        # Rates drift with the clock and with who else computes: each step is compared with what is measured after it.
        rates = run(ours("--dtype", dtype, "--rates", "--steps", 20))
        beside, bandwidth = rates["beside"], rates["bytes"]
        result["gigabytes" + suffix] = bandwidth / 1e9
        for index, kind in ((1, "floor"), (2, "kernel_floor")):
            floors = [flops(2048, 64) / one[index] + optimizer_bytes() / bandwidth for one in beside]
            result[kind + suffix] = statistics.median(floors)
            result[f"share_of_{kind}{suffix}"] = statistics.median(
                floor / seconds for floor, (seconds, *_) in zip(floors, beside))
            result[f"{kind}_gflops{suffix}"] = statistics.median(one[index] for one in beside) / 1e9
        result["beside_floor" + suffix] = statistics.median(one[0] for one in beside)

    def ratio(other, own):
        return statistics.median(b / a for a, b in zip(series[own], series[other]))

    result["times_torch_f32"] = ratio("torch_f32", "ours")
    result["times_torch_bf16"] = ratio("torch_bf16", "ours")
    result["f32_times_torch_f32"] = ratio("torch_f32", "ours_f32")
    return result


def mix_recipe(args, folder):
    text = (f"[backbone]\nid = {json.dumps(str(args.backbone.resolve()))}\n[training]\nsteps = 1000\n"
            "batch_tokens = 2048\nlearning_rate = 1e-4\n")
    for name in TASKS:
        train = args.data.resolve() / name / "train.jsonl"
        text += (f'[tasks.{name.split("/")[-1]}]\ntype = "classification"\ntrain = {json.dumps(str(train))}\n')
    path = folder / "mix.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mix_sides(args, folder):
    """Commands that train on the real tasks."""
    own = [bench("mix"), mix_recipe(args, pathlib.Path(folder)), "--threads", THREADS]
    torch = ["--data", str(args.data), "--backbone", str(args.backbone)]
    return {"ours_f32": [*own, "--set", "training.dtype=f32"], "ours": [*own, "--set", "training.dtype=bf16"],
            "torch_f32": worker("mix", *torch), "torch_bf16": worker("mix", "--bf16", *torch),
            "torch_f32_grouped": worker("mix", "--grouped", *torch),
            "torch_bf16_grouped": worker("mix", "--bf16", "--grouped", *torch)}


def part_b(args):
    with tempfile.TemporaryDirectory() as folder:
        values = in_turn(mix_sides(args, folder), args.rounds, "examples_per_second")
    result = medians(values)
    best = max((name for name in result if name.startswith("torch")), key=result.get)
    result["torch_best"] = result[best]
    result["torch_best_is"] = best
    result["times_torch_f32"] = statistics.median(a / b for a, b in zip(values["ours"], values["torch_f32"]))
    result["times_torch_best"] = statistics.median(a / b for a, b in zip(values["ours"], values[best]))
    return result


def part_c(args):
    result = {}
    for tasks in (2, 4, 8, 16):
        # Our joint steps and those with rows take turns in one process.
        torch, sides, runs = worker("step", "--bf16", "--tasks", tasks), {}, []
        if tasks <= 8:
            sides |= {"torch_joint": torch, "torchjd_rows": [*torch, "--torchjd", "UPGrad"]}
        if tasks <= 4:
            sides["torch_rows"] = [*torch, "--rows"]
        values = {name: [] for name in sides}
        for _ in range(args.rounds):
            runs.append(run(ours("--tasks", tasks, "--rows", "--steps", 24)))
            print(f"  {tasks} tasks, ours: {runs[-1]['ratio']:.4g}", file=sys.stderr, flush=True)
            for name, series in in_turn(sides, 1, "seconds").items():
                values[name] += series
        own = {name: statistics.median(one[key] for one in runs)
               for name, key in (("joint", "joint"), ("rows", "seconds"), ("ratio", "ratio"))}
        result[str(tasks)] = own | medians(values)
        for rows, joint, ratio in (("torch_rows", "torch_joint", "torch_ratio"),
                                   ("torchjd_rows", "torch_joint", "torchjd_ratio")):
            if rows in values:
                result[str(tasks)][ratio] = statistics.median(a / b for a, b in zip(values[rows], values[joint]))
    return result


def part_d(args):
    sides = {f"tokens {n}": ours("--tokens", n, "--steps", max(3, 16384 // n)) for n in (1024, 2048, 8192, 32768)}
    sides |= {f"length {n}": ours("--tokens", 4096, "--length", n, "--steps", 5) for n in (16, 64, 128, 512)}
    sides |= {f"tasks {n}": ours("--tasks", n) for n in (1, 4, 16)}
    return {name: 1e6 / rate for name, rate in medians(in_turn(sides, args.rounds, "tokens_per_second")).items()}


def part_e(args):
    sides = {"ours_f32": ours("--dtype", "f32", "--steps", 4), "ours": ours("--dtype", "bf16", "--steps", 4),
             "torch_f32": worker("step", "--steps", "4"), "torch_bf16": worker("step", "--bf16", "--steps", "4")}
    with tempfile.TemporaryDirectory() as folder:
        sides |= {f"mix_{name}": command for name, command in mix_sides(args, folder).items() if "grouped" not in name}
        return {name: value / 2**20 for name, value in medians(in_turn(sides, 1, "peak_bytes")).items()}


def part_f(args):
    seconds = []
    for _ in range(args.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "run"
            start = time.perf_counter()
            program = subprocess.Popen(
                [ROOT / "target/release/mtl-zoo", "finetune", ROOT / "zoo/recipes/sentiment.toml", "--out", out],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            metrics = out / "metrics.jsonl"
            while not (metrics.exists() and metrics.stat().st_size):
                time.sleep(0.002)
            seconds.append(time.perf_counter() - start)
            program.kill()
            program.wait()
    return {"seconds": statistics.median(seconds[1:]), "first": seconds[0]}


def part_g(args):
    with tempfile.TemporaryDirectory() as folder:
        texts = pathlib.Path(folder) / "texts"
        rows = (ROOT / "zoo/bundled/data").glob("*.tsv")
        lines = [line.split("\t")[0] for path in sorted(rows) for line in path.read_text("utf-8").splitlines()[1:]]
        one = "the sound is clear and the case looks good, but after two weeks the left side stopped working"
        texts.write_text("\n".join([one, *(lines * 10)[:9999]]), encoding="utf-8")
        flags = ["--checkpoint", str(args.checkpoint), "--texts", str(texts)]
        sides = {"ours": [bench("predict"), args.checkpoint, texts, "--threads", THREADS],
                 "torch": worker("predict", *flags), "onnxruntime": worker("predict", "--onnx", *flags)}
        result = {name: {"milliseconds": [], "texts_per_second": []} for name in sides}
        for _ in range(args.rounds):
            for name, command in sides.items():
                answer = run(command)
                for key, values in result[name].items():
                    values.append(answer[key])
        return {name: {key: statistics.median(values) for key, values in keys.items()}
                for name, keys in result.items()}


def main():
    global THREADS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, help="folder with the eight tasks (part b)")
    parser.add_argument("--backbone", type=pathlib.Path, help="all-MiniLM-L6-v2 (part b)")
    parser.add_argument("--checkpoint", type=pathlib.Path, help="a checkpoint of the bundled recipe (part g)")
    parser.add_argument("--parts", default="a,b,c,d,e,f,g")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all numbers to a file")
    args = parser.parse_args()
    THREADS = args.threads
    parts = {"a": part_a, "b": part_b, "c": part_c, "d": part_d, "e": part_e, "f": part_f, "g": part_g}
    result = {"machine": machine(args.threads)}
    if args.json and args.json.exists():
        result = json.loads(args.json.read_text()) | result
    for name in args.parts.split(","):
        print(f"part {name}", file=sys.stderr, flush=True)
        result[name] = parts[name](args)
        print(name, json.dumps(result[name], indent=2))
        if args.json:
            args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
