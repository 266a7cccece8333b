#!/usr/bin/env python3
"""Writes a recipe of four TweetEval tasks: emotion, irony, offensive, hate (Barbieri et al. 2020).

    python scripts/tweeteval_recipe.py --data DIR --backbone bundled --out work/tweeteval.toml
    mtl-zoo study work/tweeteval.toml --seeds 3
    python scripts/compare_balance.py work/tweeteval.toml --seeds 0,1,2

DIR has a folder a task with train.jsonl, val.jsonl and test.jsonl; a line holds `text` and `label`, a number. With --most, the
first so many validation and test rows of each task are copied beside the recipe, and only those are scored.
"""

import argparse
import json
import pathlib

TASKS = ["emotion", "irony", "offensive", "hate"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the tasks' folders")
    parser.add_argument("--backbone", default="bundled", help="a card's name, a folder or a Hub id (default: bundled)")
    parser.add_argument("--limit", type=int, default=1500, help="training rows a task (default: 1500)")
    parser.add_argument("--most", type=int, help="validation and test rows a task (default: all)")
    parser.add_argument("--epochs", type=float, default=2, help="default: 2")
    parser.add_argument("--batch-tokens", type=int, default=1024, help="default: 1024")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the recipe")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)

    def file(task, split):
        source = args.data.resolve() / task / f"{split}.jsonl"
        if args.most is None or split == "train":
            return source
        part = args.out.parent.resolve() / f"{task}.{split}.jsonl"
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
        part.write_text("".join(lines[: args.most]), encoding="utf-8")
        return part

    text = f"""[backbone]
id = {json.dumps(args.backbone)}
max_tokens = 64

[training]
epochs = {args.epochs}
learning_rate = 1e-4
batch_tokens = {args.batch_tokens}
dtype = "bf16"
"""
    for task in TASKS:
        text += f"""
[tasks.{task}]
type = "classification"
train = {json.dumps(str(file(task, "train")))}
validation = {json.dumps(str(file(task, "val")))}
test = {json.dumps(str(file(task, "test")))}
limit = {args.limit}
metrics = ["macro_f1", "accuracy"]
"""
    args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
