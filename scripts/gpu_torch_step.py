#!/usr/bin/env python3
"""Seconds of one training step of a BERT in PyTorch, as JSON: what `bin/step` of the bundle measures.

usage: gpu_torch_step.py [--size tiny|minilm|base] [--tokens N] [--length N] [--lengths FILE] [--dtype f32|tf32|bf16|f16]
                         [--tasks N] [--rows] [--compile] [--steps N] [--device cuda|cpu]

Needs torch alone. Fused AdamW, clipping, one product for queries, keys and values, scaled_dot_product_attention (which takes
flash attention where nothing is masked), bf16 or f16 by autocast, with a GradScaler for f16; torch.compile on request.

`--lengths` takes a JSON file of lengths, an array a task. Sequences of all tasks are drawn in turn and grouped by length, as
transformers' LengthGroupedSampler does: pools of 50 batches, sorted, cut where a batch with its padding would exceed --tokens.
Tokens a second are those of sequences, not of padding. `--rows` takes a backward pass a task and the Gramian of the gradients.
"""
import argparse
import contextlib
import itertools
import json
import random
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy, gelu, scaled_dot_product_attention

SIZES = {"tiny": (2, 32, 64, 2), "minilm": (6, 384, 1536, 12), "base": (12, 768, 3072, 12)}
VOCABULARY, CLASSES, POSITIONS, DROPOUT = 30522, 4, 512, 0.1
FORMATS = {"bf16": torch.bfloat16, "f16": torch.float16}
POOL = 50


class Layer(nn.Module):
    def __init__(self, hidden, inner, heads):
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(DROPOUT)
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, inner), nn.Linear(inner, hidden)
        self.first, self.second = nn.LayerNorm(hidden, 1e-12), nn.LayerNorm(hidden, 1e-12)

    def forward(self, x, mask):
        rows, length, hidden = x.shape
        q, k, v = self.qkv(x).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=DROPOUT)
        x = self.first(x + self.dropout(self.out(y.transpose(1, 2).reshape(rows, length, hidden))))
        return self.second(x + self.dropout(self.down(gelu(self.up(x)))))


class Model(nn.Module):
    """Mean of each sequence's last states; `mask` says which tokens are no padding, None that all are."""

    def __init__(self, size):
        super().__init__()
        layers, hidden, inner, heads = SIZES[size]
        self.words, self.positions, self.segments = (nn.Embedding(n, hidden) for n in (VOCABULARY, POSITIONS, 2))
        self.norm, self.dropout = nn.LayerNorm(hidden, 1e-12), nn.Dropout(DROPOUT)
        self.layers = nn.ModuleList(Layer(hidden, inner, heads) for _ in range(layers))

    def forward(self, ids, mask):
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.dropout(self.norm(self.words(ids) + self.positions(places) + self.segments(torch.zeros_like(ids))))
        allowed = None if mask is None else mask[:, None, None, :]
        for layer in self.layers:
            x = layer(x, allowed)
        if mask is None:
            return x.mean(1)
        kept = mask.unsqueeze(-1).to(x.dtype)
        return (x * kept).sum(1) / kept.sum(1)


def equal_batches(arguments):
    """Each batch: lengths, and the task of every row."""
    rows = arguments.tokens // arguments.length
    tasks = [task for task in range(arguments.tasks)
             for _ in range(task * rows // arguments.tasks, (task + 1) * rows // arguments.tasks)]
    while True:
        yield [arguments.length] * rows, tasks


def grouped_batches(arguments, lengths):
    chance = random.Random(0)
    turns = itertools.cycle(range(len(lengths)))
    while True:
        drawn, total = [], 0
        while total < POOL * arguments.tokens:
            task = next(turns)
            drawn.append((chance.choice(lengths[task]), task))
            total += drawn[-1][0]
        drawn.sort(reverse=True)
        batches = [[]]
        for row in drawn:
            longest = batches[-1][0][0] if batches[-1] else row[0]
            if padded(longest) * (len(batches[-1]) + 1) > arguments.tokens:
                batches.append([])
            batches[-1].append(row)
        chance.shuffle(batches)
        for batch in batches:
            yield [length for length, _ in batch], [task for _, task in batch]


def padded(length):
    """A multiple of 8, which tensor cores and attention kernels prefer."""
    return -(-length // 8) * 8


def flops(size, lengths):
    """Of the layers' products, as benches/minilm counts them: without padding."""
    layers, hidden, inner, _ = SIZES[size]
    products = 2 * (4 * hidden * hidden + 2 * hidden * inner) * sum(lengths)
    return 3 * layers * (products + 4 * hidden * sum(n * n for n in lengths))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="minilm")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--lengths")
    parser.add_argument("--dtype", choices=["f32", "tf32", *FORMATS], default="bf16")
    parser.add_argument("--tasks", type=int, default=1)
    parser.add_argument("--rows", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    device = arguments.device
    torch.backends.cuda.matmul.allow_tf32 = arguments.dtype == "tf32"
    batches = equal_batches(arguments)
    if arguments.lengths:
        with open(arguments.lengths, encoding="utf-8") as file:
            lengths = json.load(file)
        arguments.tasks, batches = len(lengths), grouped_batches(arguments, lengths)
    trunk = Model(arguments.size).to(device)
    hidden = SIZES[arguments.size][1]
    heads = nn.ModuleList(nn.Linear(hidden, CLASSES) for _ in range(arguments.tasks)).to(device)
    shared = list(trunk.parameters())
    parameters = shared + list(heads.parameters())
    optimizer = torch.optim.AdamW(parameters, 5e-5, weight_decay=0.01, fused=True)
    scaler = torch.amp.GradScaler(device, enabled=arguments.dtype == "f16")
    narrow = FORMATS.get(arguments.dtype)
    autocast = torch.autocast(device, narrow) if narrow else contextlib.nullcontext()
    model = torch.compile(trunk, dynamic=bool(arguments.lengths)) if arguments.compile else trunk

    def synchronize():
        if device == "cuda":
            torch.cuda.synchronize()

    def row_gradients(losses):
        flat = []
        for loss in losses:
            gradients = torch.autograd.grad(scaler.scale(loss), shared, retain_graph=True)
            flat.append(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        stack = torch.stack(flat)
        stack @ stack.T
        joint, offset = stack.sum(0), 0
        for parameter in shared:
            parameter.grad = joint[offset:offset + parameter.numel()].view_as(parameter)
            offset += parameter.numel()
        for head, loss in zip(heads, losses):
            own = list(head.parameters())
            for parameter, gradient in zip(own, torch.autograd.grad(scaler.scale(loss), own, retain_graph=True)):
                parameter.grad = gradient

    # Memory, kernels and compiled code are made in the first steps.
    warm = 15 if arguments.compile else 5
    seconds, tokens, padding, arithmetic = [], 0, 0, 0
    for step in range(arguments.steps + warm):
        rows, tasks = next(batches)
        longest = padded(max(rows)) if arguments.lengths else arguments.length
        ids = torch.randint(VOCABULARY, (len(rows), longest)).to(device)
        mask = None
        if arguments.lengths:
            mask = (torch.arange(longest) < torch.tensor(rows)[:, None]).to(device)
        targets = torch.randint(CLASSES, (len(rows),)).to(device)
        places = [torch.tensor([i for i, own in enumerate(tasks) if own == task]).to(device)
                  for task in range(arguments.tasks)]
        synchronize()
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            states = model(ids, mask)
            losses = [cross_entropy(head(states[at]), targets[at]) for head, at in zip(heads, places) if len(at)]
        if arguments.rows:
            row_gradients(losses)
        else:
            scaler.scale(sum(losses) / arguments.tasks).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        scaler.step(optimizer)
        scaler.update()
        losses[0].item()
        synchronize()
        if step >= warm:
            seconds.append(time.perf_counter() - start)
            tokens += sum(rows)
            padding += len(rows) * longest - sum(rows)
            arithmetic += flops(arguments.size, rows)
    steps = len(seconds)
    seconds.sort()
    median = seconds[steps // 2]
    on_card = device == "cuda"
    print(json.dumps({"device": torch.cuda.get_device_name() if on_card else "cpu", "torch": torch.__version__,
                      "seconds": median, "best": seconds[0], "tokens_per_second": tokens / steps / median,
                      "flops_per_second": arithmetic / steps / median, "padding": padding / (padding + tokens),
                      "peak_bytes": torch.cuda.max_memory_allocated() if on_card else None}))


if __name__ == "__main__":
    main()
