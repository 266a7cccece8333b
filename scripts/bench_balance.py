#!/usr/bin/env python3
"""Times a training step under every balancing method over one of equal weighting, beside TorchJD on the same machine.

    cargo build --release --benches
    pip install -r scripts/requirements.txt
    python scripts/bench_balance.py --json result.json > table.md

MiniLM-L6, 32 texts of 64 tokens divided among the tasks. Here: `cargo bench --bench balancing`, 4 and 8 tasks. TorchJD: 4
tasks, `mtl_backward` and an aggregator on the shared parameters over PyTorch's joint step (fused AdamW, SDPA, autocast).
Each method's steps and those of equal weighting take turns; a ratio is the median over pairs of steps. Published costs
are of PyTorch, of other models on other machines: an order of size, nothing to take a quotient with.
"""

import argparse
import json
import os
import pathlib
import sys

from bench_torch import ROOT, bench, machine, run

# Seconds over those of equal weighting: lowest, highest.
PUBLISHED = {
    "source": "measured by others on PyTorch implementations like those of LibMTL, other models and machines",
    "costs": [
        {"methods": ["uncertainty", "dwa", "rlw", "gls", "imtl_l", "stch"], "tasks": None, "times": [1.0, 1.0]},
        {"methods": ["pcgrad", "mgda", "cagrad"], "tasks": 3, "times": [2.4, 2.9]},
        {"methods": ["pcgrad"], "tasks": 40, "times": [35.0, 35.0]},
        {"methods": ["nash_mtl"], "tasks": None, "times": [3.5, 5.6]},
    ],
}


def published(method):
    """A cell of the table."""
    cells = []
    for cost in PUBLISHED["costs"]:
        if method in cost["methods"]:
            low, high = cost["times"]
            tasks = f" at {cost['tasks']} tasks" if cost["tasks"] else ""
            cells.append((f"{low:g}" if low == high else f"{low:g} to {high:g}") + tasks)
    return ", ".join(cells)


def table(result):
    """A row a method; ratios, and seconds in the row of equal weighting."""
    columns = [(f"mtl-zoo, {one['tasks']} tasks", one) for one in result["ours"].values()]
    if result.get("torchjd"):
        columns.append((f"TorchJD, {result['torchjd']['tasks']} tasks", result["torchjd"]))
    names = list(dict.fromkeys(name for _, side in columns for name in side["methods"]))
    lines = ["| Method | " + " | ".join(title for title, _ in columns) + " | Published |",
             "|---|" + "---:|" * len(columns) + "---|",
             "| `equal` | " + " | ".join(f"{side['equal']:.3f} s" for _, side in columns) + " | |"]
    for name in names:
        cells = [f"{side['methods'][name]['ratio']:.2f}" if name in side["methods"] else "" for _, side in columns]
        lines.append(f"| `{name}` | " + " | ".join(cells) + f" | {published(name)} |")
    lines += ["", "Times a step of equal weighting of the same program, whose seconds are in the first row. Published: "
              f"{PUBLISHED['source']}."]
    missing = (result.get("torchjd") or {}).get("missing", {})
    return "\n".join(lines + [f"TorchJD's {name} did not run: {reason}" for name, reason in missing.items()])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="4,8", help="numbers of tasks of our side (default: 4,8)")
    parser.add_argument("--torch-tasks", type=int, default=4, help="of TorchJD's; 0 leaves it out (default: 4)")
    parser.add_argument("--methods", help="only these of our side, separated by commas")
    parser.add_argument("--torch-methods", help="only these of TorchJD's, by our names")
    parser.add_argument("--tokens", type=int, default=2048, help="tokens a step (default: 2048)")
    parser.add_argument("--steps", type=int, default=7, help="steps a method (default: 7)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all numbers to a file")
    args = parser.parse_args()
    size = ["--tokens", args.tokens, "--steps", args.steps, "--threads", args.threads]
    result = {"machine": machine(args.threads), "tokens": args.tokens, "length": 64, "dtype": "bf16", "ours": {},
              "torchjd": None, "published": PUBLISHED}

    def side(command, methods):
        print(f"{' '.join(map(str, command))}", file=sys.stderr, flush=True)
        return run([*command, *size, *(["--methods", methods] if methods else [])])

    for tasks in args.tasks.split(","):
        result["ours"][tasks] = side([bench("balancing"), "--json", "--dtype", "bf16", "--tasks", tasks], args.methods)
    if args.torch_tasks:
        worker = [sys.executable, ROOT / "scripts/torch_workers.py", "balance", "--bf16", "--tasks", args.torch_tasks]
        result["torchjd"] = side(worker, args.torch_methods)
    print(table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
