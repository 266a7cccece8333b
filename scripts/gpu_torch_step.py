#!/usr/bin/env python3
"""Seconds of one training step of a BERT on a CUDA device in PyTorch, as JSON: what `bin/step` of the bundle measures.

usage: gpu_torch_step.py [--size minilm|base] [--tokens N] [--length N] [--dtype f32|tf32|bf16] [--tasks N] [--rows]

Needs torch alone. Fused AdamW, clipping, SDPA in `nn.TransformerEncoderLayer`, bf16 by autocast. `--rows` takes a backward
pass a task and the Gramian of their gradients.
"""
import argparse
import json
import time

import torch
from torch import nn

SIZES = {"minilm": (6, 384, 1536, 12), "base": (12, 768, 3072, 12)}
VOCABULARY, CLASSES, POSITIONS = 30522, 4, 512


class Model(nn.Module):
    def __init__(self, size, tasks):
        super().__init__()
        layers, hidden, inner, heads = SIZES[size]
        self.words, self.positions, self.segments = (nn.Embedding(n, hidden) for n in (VOCABULARY, POSITIONS, 2))
        self.norm, self.dropout = nn.LayerNorm(hidden, 1e-12), nn.Dropout(0.1)
        layer = nn.TransformerEncoderLayer(hidden, heads, inner, 0.1, "gelu", 1e-12, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.heads = nn.ModuleList(nn.Linear(hidden, CLASSES) for _ in range(tasks))

    def forward(self, ids):
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.words(ids) + self.positions(places) + self.segments(torch.zeros_like(ids))
        return self.layers(self.dropout(self.norm(x))).mean(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="minilm")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--dtype", choices=["f32", "tf32", "bf16"], default="bf16")
    parser.add_argument("--tasks", type=int, default=1)
    parser.add_argument("--rows", action="store_true")
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = arguments.dtype == "tf32"
    model = Model(arguments.size, arguments.tasks).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), 5e-5, weight_decay=0.01, fused=True)
    shared = [p for name, p in model.named_parameters() if not name.startswith("heads.")]
    sequences = arguments.tokens // arguments.length
    autocast = torch.autocast("cuda", torch.bfloat16, enabled=arguments.dtype == "bf16")
    seconds = []
    for step in range(arguments.steps + 5):
        ids = torch.randint(VOCABULARY, (sequences, arguments.length), device="cuda")
        targets = torch.randint(CLASSES, (sequences,), device="cuda")
        torch.cuda.synchronize()
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            states = model(ids).chunk(arguments.tasks)
            losses = [nn.functional.cross_entropy(head(x), y)
                      for head, x, y in zip(model.heads, states, targets.chunk(arguments.tasks))]
        if arguments.rows:
            flat = []
            for loss in losses:
                gradients = torch.autograd.grad(loss, shared, retain_graph=True)
                flat.append(torch.cat([g.reshape(-1) for g in gradients]))
            stack = torch.stack(flat)
            stack @ stack.T
            joint, offset = stack.sum(0), 0
            for p in shared:
                p.grad = joint[offset:offset + p.numel()].view_as(p)
                offset += p.numel()
            for head, loss in zip(model.heads, losses):
                for p, g in zip(head.parameters(), torch.autograd.grad(loss, list(head.parameters()), retain_graph=True)):
                    p.grad = g
        else:
            (sum(losses) / arguments.tasks).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        float(losses[0])
        torch.cuda.synchronize()
        if step >= 5:
            seconds.append(time.perf_counter() - start)
    seconds.sort()
    median = seconds[len(seconds) // 2]
    print(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__, "seconds": median,
                      "best": seconds[0], "tokens_per_second": arguments.tokens / median,
                      "peak_bytes": torch.cuda.max_memory_allocated()}))


main()
