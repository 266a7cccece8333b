#!/usr/bin/env python3
"""The PyTorch sides of bench_torch.py and bench_balance.py, each in a process of its own. Prints one line of JSON.

    python scripts/torch_workers.py step --tasks 4 --bf16 [--rows | --torchjd UPGrad]
    python scripts/torch_workers.py balance --tasks 4 --bf16
    python scripts/torch_workers.py mix --data DATA --backbone BACKBONE --bf16 --grouped
    python scripts/torch_workers.py predict --checkpoint CHECKPOINT --texts FILE --onnx

step     seconds of a training step: of the joint loss, with a gradient a task and their Gramian, or TorchJD's way
balance  the same for TorchJD's aggregators and the joint loss in turn, in the form of `cargo bench --bench balancing`
mix      examples a second of joint training on eight real tasks
predict  milliseconds for one text and texts a second for all heads of a checkpoint

Last run with PyTorch 2.15.0, transformers 5.23.0, TorchJD 0.18.0, ONNX Runtime 1.32.0.
"""

import argparse
import json
import os
import pathlib
import random
import resource
import statistics
import tempfile
import time

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModel, AutoTokenizer

from bench_torch import HIDDEN, TASKS, VOCABULARY
from torch_step import CLASSES, Joint, Rows, TorchJD, Training

# TorchJD's classes by the names of methods here.
AGGREGATORS = {"upgrad": "UPGrad", "mgda": "MGDA", "pcgrad": "PCGrad", "cagrad": "CAGrad", "nash_mtl": "NashMTL",
               "aligned_mtl": "AlignedMTL", "imtl_g": "IMTLG"}


# --- One step --------------------------------------------------------------------------------------------------------


def batches(args):
    """Random texts and labels. The first two steps touch memory for the first time and do not count."""
    rows = args.tokens // args.length
    for number in range(args.steps + 2):
        yield number >= 2, torch.randint(0, VOCABULARY, (rows, args.length)), torch.randint(0, CLASSES, (rows,))


def step(args):
    gradients = TorchJD(args.torchjd, args.tasks) if args.torchjd else Rows() if args.rows else Joint()
    training = Training(args, gradients)
    seconds = [(counts, training.step(ids, labels)) for counts, ids, labels in batches(args)]
    return {"seconds": statistics.median(value for counts, value in seconds if counts)}


def balance(args):
    equal, baseline, methods, missing = Training(args, Joint()), [], {}, {}
    for name in args.methods.split(","):
        try:
            training = Training(args, TorchJD(AGGREGATORS[name], args.tasks))
        except ImportError as error:
            missing[name] = str(error)
            continue
        pairs = [(counts, equal.step(ids, labels), training.step(ids, labels)) for counts, ids, labels in batches(args)]
        pairs = [(plain, own) for counts, plain, own in pairs if counts]
        baseline += [plain for plain, _ in pairs]
        methods[name] = {"seconds": statistics.median(own for _, own in pairs),
                         "ratio": statistics.median(own / plain for plain, own in pairs)}
    return {"tasks": args.tasks, "equal": statistics.median(baseline) if baseline else None, "methods": methods,
            "missing": missing}


# --- Training on real tasks ------------------------------------------------------------------------------------------


def mix(args):
    tokenizer = AutoTokenizer.from_pretrained(args.backbone)
    tasks = []
    for name in TASKS:
        lines = (args.data / name / "train.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        labels = sorted({str(row["label"]) for row in rows})
        ids = tokenizer([row["text"] for row in rows], truncation=True, max_length=128)["input_ids"]
        tasks.append([(tokens, labels.index(str(row["label"]))) for tokens, row in zip(ids, rows)])
    trunk = AutoModel.from_pretrained(args.backbone, attn_implementation="sdpa", add_pooling_layer=False).train()
    classes = [len({label for _, label in rows}) for rows in tasks]
    heads = torch.nn.ModuleList(torch.nn.Linear(HIDDEN, count) for count in classes).train()
    parameters = list(trunk.parameters()) + list(heads.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    chance = random.Random(0)
    order = []
    for task, rows in enumerate(tasks):
        rows = chance.sample(rows, len(rows))
        if args.grouped:
            # transformers' LengthGroupedSampler: sorted within pools of 50 batches.
            pools = [rows[i:i + 50 * 32] for i in range(0, len(rows), 50 * 32)]
            rows = [row for pool in pools for row in sorted(pool, key=lambda row: -len(row[0]))]
        order += [(task, rows[i:i + 32]) for i in range(0, len(rows), 32)]
    chance.shuffle(order)
    examples, start = 0, None
    for number, (task, rows) in enumerate(order[:args.steps + 2]):
        if number == 2:
            examples, start = 0, time.perf_counter()
        batch = tokenizer.pad({"input_ids": [tokens for tokens, _ in rows]}, return_tensors="pt")
        labels = torch.tensor([label for _, label in rows])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            states = trunk(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            loss = cross_entropy(heads[task]((states * mask).sum(1) / mask.sum(1)), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        examples += len(rows)
    return {"examples_per_second": examples / (time.perf_counter() - start)}


# --- Prediction ------------------------------------------------------------------------------------------------------


class AllHeads(torch.nn.Module):
    """A checkpoint's trunk and all its heads, mean pooling."""

    def __init__(self, folder):
        from safetensors.torch import load_file
        super().__init__()
        names = json.loads((folder / "mtl_zoo.json").read_text(encoding="utf-8"))["heads"]
        weights = load_file(folder / "model.safetensors")
        # In f32 as ours, whatever the checkpoint keeps.
        self.trunk = AutoModel.from_pretrained(folder, attn_implementation="sdpa", add_pooling_layer=False).float()
        self.weight = torch.nn.Parameter(torch.cat([weights[f"heads.{name}.weight"] for name in names]).float())
        self.bias = torch.nn.Parameter(torch.cat([weights[f"heads.{name}.bias"] for name in names]).float())

    def forward(self, input_ids, attention_mask):
        states = self.trunk(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return torch.nn.functional.linear((states * mask).sum(1) / mask.sum(1), self.weight, self.bias)


def onnx_session(model, sample, threads):
    """The model in ONNX Runtime, and the names of its inputs."""
    import onnxruntime
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, "model.onnx")
        axes = {name: {0: "rows", 1: "tokens"} for name in ("input_ids", "attention_mask")}
        torch.onnx.export(model, (sample["input_ids"], sample["attention_mask"]), path, dynamo=False,
                          input_names=list(axes), output_names=["answers"], dynamic_axes=axes, opset_version=17)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]), list(axes)


def predict(args):
    tokenizer = AutoTokenizer.from_pretrained(args.checkpoint)
    model = AllHeads(args.checkpoint).eval()
    if args.onnx:
        sample = tokenizer(["one text", "and another"], padding=True, return_tensors="pt")
        session, names = onnx_session(model, sample, args.threads)

        def answer(texts):
            batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="np")
            return session.run(None, {name: batch[name] for name in names})[0]
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    for work in (step, balance, mix, predict):
        kind = kinds.add_parser(work.__name__)
        kind.set_defaults(work=work)
        kind.add_argument("--threads", type=int, default=os.cpu_count())
        if work in (step, balance):
            kind.add_argument("--tasks", type=int, default=1 if work is step else 4)
            kind.add_argument("--tokens", type=int, default=2048)
            kind.add_argument("--length", type=int, default=64)
        if work is not predict:
            kind.add_argument("--bf16", action="store_true", help="autocast")
            kind.add_argument("--steps", type=int, default={step: 8, balance: 7, mix: 30}[work])
        if work is step:
            kind.add_argument("--rows", action="store_true", help="a gradient a task, and their Gramian")
            kind.add_argument("--torchjd", metavar="CLASS", help="an aggregator of TorchJD")
        elif work is balance:
            kind.add_argument("--methods", default=",".join(AGGREGATORS))
        elif work is mix:
            kind.add_argument("--data", type=pathlib.Path, required=True)
            kind.add_argument("--backbone", type=pathlib.Path, required=True)
            kind.add_argument("--grouped", action="store_true", help="by length")
        elif work is predict:
            kind.add_argument("--checkpoint", type=pathlib.Path, required=True)
            kind.add_argument("--texts", type=pathlib.Path, required=True)
            kind.add_argument("--onnx", action="store_true", help="ONNX Runtime")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    result = args.work(args)
    print(json.dumps(result | {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
