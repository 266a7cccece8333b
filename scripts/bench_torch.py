#!/usr/bin/env python3
"""Times mtl-zoo and PyTorch side by side on this machine.

    cargo build --release --benches --bins
    pip install -r scripts/requirements.txt
    python scripts/bench_torch.py --data DATA --backbone BACKBONE --checkpoint CHECKPOINT --rounds 3 --json result.json

a  one training step of MiniLM-L6, 32 texts of 64 tokens, no padding
b  joint training on eight real tasks, examples a second; PyTorch as its users write it: a task a batch of 32, padded to
   the longest, fused AdamW, SDPA; in f32 and bf16 autocast, with and without grouping by length
c  the same step with every task's gradient kept apart and their Gramian, 2 to 16 tasks; PyTorch: one backward a task
d  cost a token by tokens a step, by length, and by number of tasks
e  peak memory of a
f  seconds from the start of `mtl-zoo finetune` to the end of its first step, tokens cached
g  answers of all heads of CHECKPOINT: milliseconds for one text, texts a second for 10,000; PyTorch and ONNX Runtime

BACKBONE is all-MiniLM-L6-v2 as the Hub has it (scripts/get_minilm.py), DATA a folder with tweeteval/TASK,
banking77, clinc150, subjectivity and sentence_polarity as JSON lines with `text` and `label`. The sides run in turn,
ROUNDS times; ratios are medians over rounds. The floor is the step's arithmetic over the measured rate of matrix products.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
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
    return [sys.executable, __file__, "--worker", kind, *flags]


def ours(*flags):
    return [bench("step"), "--threads", str(THREADS), *flags]


def flops(tokens, length):
    """Arithmetic of the products of one training step: one forward pass and twice that backward."""
    layer = 2 * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER) + 4 * length * HIDDEN
    return 3 * tokens * LAYERS * layer


def part_a(args):
    sides = {"ours_f32": ours("--dtype", "f32"), "ours": ours("--dtype", "bf16"),
             "torch_f32": worker("step"), "torch_bf16": worker("step", "--bf16")}
    result = medians(values := in_turn(sides, args.rounds, "seconds"))
    rates = {dtype: statistics.median(run(ours("--rate", "--dtype", dtype))["flops"] for _ in range(3))
             for dtype in ("f32", "bf16")}
    result["torch_best"] = min(result["torch_f32"], result["torch_bf16"])
    result["floor_f32"], result["floor"] = (flops(2048, 64) / rates[dtype] for dtype in ("f32", "bf16"))
    result["gflops"] = {dtype: rate / 1e9 for dtype, rate in rates.items()}

    def ratio(other, own):
        return statistics.median(b / a for a, b in zip(values[own], values[other]))

    result["times_torch_f32"] = ratio("torch_f32", "ours")
    result["times_torch_bf16"] = ratio("torch_bf16", "ours")
    result["f32_times_torch_f32"] = ratio("torch_f32", "ours_f32")
    result["share_of_floor"] = result["floor"] / result["ours"]
    result["share_of_floor_f32"] = result["floor_f32"] / result["ours_f32"]
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


def part_b(args):
    with tempfile.TemporaryDirectory() as folder:
        recipe = mix_recipe(args, pathlib.Path(folder))
        own = [bench("mix"), recipe, "--threads", THREADS]
        torch = ["--data", str(args.data), "--backbone", str(args.backbone)]
        sides = {"ours_f32": [*own, "--set", "training.dtype=f32"], "ours": [*own, "--set", "training.dtype=bf16"],
                 "torch_f32": worker("mix", *torch), "torch_bf16": worker("mix", "--bf16", *torch),
                 "torch_f32_grouped": worker("mix", "--grouped", *torch),
                 "torch_bf16_grouped": worker("mix", "--bf16", "--grouped", *torch)}
        values = in_turn(sides, args.rounds, "examples_per_second")
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
        sides = {"joint": ours("--tasks", tasks), "rows": ours("--tasks", tasks, "--rows")}
        if tasks <= 4:
            sides |= {"torch_joint": worker("step", "--bf16", "--tasks", str(tasks)),
                      "torch_rows": worker("step", "--bf16", "--tasks", str(tasks), "--rows")}
        values = in_turn(sides, args.rounds, "seconds")
        result[str(tasks)] = medians(values) | {
            "ratio": statistics.median(a / b for a, b in zip(values["rows"], values["joint"]))}
        if tasks <= 4:
            result[str(tasks)]["torch_ratio"] = statistics.median(
                a / b for a, b in zip(values["torch_rows"], values["torch_joint"]))
    return result


def part_d(args):
    sides = {f"tokens {n}": ours("--tokens", n, "--steps", max(3, 16384 // n)) for n in (1024, 2048, 8192, 32768)}
    sides |= {f"length {n}": ours("--tokens", 4096, "--length", n, "--steps", 5) for n in (16, 64, 128, 512)}
    sides |= {f"tasks {n}": ours("--tasks", n) for n in (1, 4, 16)}
    return {name: 1e6 / rate for name, rate in medians(in_turn(sides, args.rounds, "tokens_per_second")).items()}


def part_e(args):
    sides = {"ours_f32": ours("--dtype", "f32", "--steps", 4), "ours": ours("--dtype", "bf16", "--steps", 4),
             "torch_f32": worker("step", "--steps", "4"), "torch_bf16": worker("step", "--bf16", "--steps", "4")}
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


# --- PyTorch, in a process of its own --------------------------------------------------------------------------------


def torch_model(torch, args, classes):
    from transformers import AutoModel, BertConfig, BertModel
    if args.worker == "mix":
        trunk = AutoModel.from_pretrained(args.backbone, attn_implementation="sdpa", add_pooling_layer=False)
    else:
        config = BertConfig(vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=LAYERS,
                            num_attention_heads=HEADS, intermediate_size=INNER)
        config._attn_implementation = "sdpa"
        trunk = BertModel(config, add_pooling_layer=False)
    heads = torch.nn.ModuleList(torch.nn.Linear(HIDDEN, count) for count in classes)
    return trunk.train(), heads.train()


def torch_step(args):
    import torch
    torch.set_num_threads(args.threads)
    trunk, heads = torch_model(torch, args, [4] * args.tasks)
    shared = list(trunk.parameters())
    parameters = shared + list(heads.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=5e-5, fused=True)
    rows = 32
    per_task = rows // args.tasks
    seconds = []
    for step in range(args.steps + 2):
        ids = torch.randint(0, VOCABULARY, (rows, 64))
        mask, labels = torch.ones_like(ids), torch.randint(0, 4, (rows,))
        start = time.perf_counter()
        own = [slice(i * per_task, (i + 1) * per_task) for i in range(args.tasks)]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            if args.rows:  # A forward pass a task, so that a task's backward pass goes through its own texts only.
                states = [trunk(ids[rows], attention_mask=mask[rows]).last_hidden_state.mean(1) for rows in own]
            else:
                joint = trunk(ids, attention_mask=mask).last_hidden_state.mean(1)
                states = [joint[rows] for rows in own]
            losses = [torch.nn.functional.cross_entropy(head(state), labels[rows])
                      for head, state, rows in zip(heads, states, own)]
        if args.rows:
            flat = []
            for loss in losses:
                gradients = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
                flat.append(torch.cat([(g if g is not None else torch.zeros_like(p)).reshape(-1)
                                       for g, p in zip(gradients, shared)]))
            stack = torch.stack(flat)
            stack @ stack.T
            offset, joint = 0, stack.sum(0)
            for p in shared:
                p.grad = joint[offset:offset + p.numel()].view_as(p)
                offset += p.numel()
            # The heads' gradients, from the graph that is still there.
            for head, loss in zip(heads, losses):
                for p, g in zip(head.parameters(), torch.autograd.grad(loss, list(head.parameters()),
                                                                         retain_graph=True)):
                    p.grad = g
        else:
            sum(losses).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step >= 2:
            seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds)}


def torch_mix(args):
    import random
    import torch
    from transformers import AutoTokenizer
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.backbone)
    tasks = []
    for name in TASKS:
        lines = (pathlib.Path(args.data) / name / "train.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        labels = sorted({str(row["label"]) for row in rows})
        ids = tokenizer([row["text"] for row in rows], truncation=True, max_length=128)["input_ids"]
        tasks.append([(tokens, labels.index(str(row["label"]))) for tokens, row in zip(ids, rows)])
    trunk, heads = torch_model(torch, args, [len({label for _, label in rows}) for rows in tasks])
    parameters = list(trunk.parameters()) + list(heads.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    chance = random.Random(0)
    batches = []
    for task, rows in enumerate(tasks):
        order = chance.sample(rows, len(rows))
        if args.grouped:
            # transformers' LengthGroupedSampler: sorted within pools of 50 batches.
            pools = [order[i:i + 50 * 32] for i in range(0, len(order), 50 * 32)]
            order = [row for pool in pools for row in sorted(pool, key=lambda row: -len(row[0]))]
        batches += [(task, order[i:i + 32]) for i in range(0, len(order), 32)]
    chance.shuffle(batches)
    examples, start = 0, None
    for step, (task, rows) in enumerate(batches[:args.steps + 2]):
        if step == 2:
            examples, start = 0, time.perf_counter()
        batch = tokenizer.pad({"input_ids": [tokens for tokens, _ in rows]}, return_tensors="pt")
        labels = torch.tensor([label for _, label in rows])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            states = trunk(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            loss = torch.nn.functional.cross_entropy(heads[task]((states * mask).sum(1) / mask.sum(1)), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        examples += len(rows)
    return {"examples_per_second": examples / (time.perf_counter() - start)}


def torch_predict(args):
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModel, AutoTokenizer
    torch.set_num_threads(args.threads)
    folder = args.checkpoint
    tokenizer = AutoTokenizer.from_pretrained(folder)
    trunk = AutoModel.from_pretrained(folder, attn_implementation="sdpa", add_pooling_layer=False).eval()
    names = json.loads((folder / "mtl_zoo.json").read_text())["heads"]
    weights = load_file(folder / "model.safetensors")

    class Heads(torch.nn.Module):
        """The trunk and all heads, mean pooling."""

        def __init__(self):
            super().__init__()
            self.trunk = trunk
            self.weight = torch.nn.Parameter(torch.cat([weights[f"heads.{name}.weight"] for name in names]).float())
            self.bias = torch.nn.Parameter(torch.cat([weights[f"heads.{name}.bias"] for name in names]).float())

        def forward(self, input_ids, attention_mask):
            states = self.trunk(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(states.dtype)
            return torch.nn.functional.linear((states * mask).sum(1) / mask.sum(1), self.weight, self.bias)

    model = Heads().eval()
    if args.onnx:
        import onnxruntime
        sample = tokenizer(["one text", "and another"], padding=True, return_tensors="pt")
        with tempfile.TemporaryDirectory() as work:
            path = os.path.join(work, "model.onnx")
            axes = {name: {0: "rows", 1: "tokens"} for name in ("input_ids", "attention_mask")}
            torch.onnx.export(model, (sample["input_ids"], sample["attention_mask"]), path, dynamo=False,
                              input_names=list(axes), output_names=["answers"], dynamic_axes=axes, opset_version=17)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = args.threads
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

        def answer(texts):
            batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="np")
            return session.run(None, {name: batch[name] for name in axes})[0]
    else:
        def answer(texts):
            batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
            with torch.inference_mode():
                return model(batch["input_ids"], batch["attention_mask"]).numpy()

    texts = args.texts.read_text(encoding="utf-8").split("\n")
    milliseconds = []
    for number in range(220):
        start = time.perf_counter()
        answer(texts[:1])
        if number >= 20:
            milliseconds.append((time.perf_counter() - start) * 1e3)
    start = time.perf_counter()
    order = sorted(texts, key=len)
    for first in range(0, len(order), 32):
        answer(order[first:first + 32])
    return {"milliseconds": statistics.median(milliseconds),
            "texts_per_second": len(texts) / (time.perf_counter() - start)}


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
    for flag in ("--worker", "--bf16", "--grouped", "--rows"):
        parser.add_argument(flag, help=argparse.SUPPRESS, **({} if flag == "--worker" else {"action": "store_true"}))
    parser.add_argument("--onnx", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--texts", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--tasks", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    THREADS = args.threads
    if args.worker:
        args.steps = args.steps or (30 if args.worker == "mix" else 8)
        result = {"step": torch_step, "mix": torch_mix, "predict": torch_predict}[args.worker](args)
        print(json.dumps(result | {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
        return
    parts = {"a": part_a, "b": part_b, "c": part_c, "d": part_d, "e": part_e, "f": part_f, "g": part_g}
    model = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    result = {"machine": f"{model[0]}, {args.threads} threads, {platform.system()}"}
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
