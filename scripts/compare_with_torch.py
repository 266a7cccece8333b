#!/usr/bin/env python3
"""Fine-tunes the same tasks with mtl-zoo and with its PyTorch twin, and compares the test scores.

    python scripts/get_minilm.py BACKBONE
    python scripts/compare_with_torch.py --data DATA --backbone BACKBONE --seeds 0,1,2 --steps 300 --json result.json

Tasks: emotion, irony, offensive and hate from TweetEval (macro F1) and WNUT17's entities (entity F1); with `--eight`,
in place of the entities, Banking77, CLINC150, subjectivity and sentence polarity, as bench_torch.py times them. DATA
holds them as FOLDER/{train,val,test}.jsonl with `text` and `label`, TweetEval's in tweeteval/TASK, and wnut17 with
`tokens` and `tags`. A tenth of the training data takes the place of a missing val.jsonl.

The two differ in every random number, so scores can agree only within seed noise: the difference of the means is within
noise if Welch's t-test at 5 % finds none. Finished runs stay in the work folder, so an interrupted comparison goes on.
"""

import argparse
import hashlib
import json
import math
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

from scipy import stats

from bench_torch import TASKS as EIGHT

HERE = pathlib.Path(__file__).resolve().parent
FIVE = [*(name for name in EIGHT if name.startswith("tweeteval/")), "wnut17"]
RECIPE = """\
[backbone]
id = {backbone}

[training]
steps = {steps}
batch_tokens = {batch_tokens}
learning_rate = 1e-4
head_learning_rate = 1e-3
evaluate_every = {evaluate_every}
threads = {threads}

[sampling]
method = "power"
power = 0.5
"""
TASK = """
[tasks.{name}]
type = "{kind}"
train = {train}
validation = {validation}
test = {test}
metrics = {metrics}
"""


def write_recipe(args):
    """The recipe with absolute paths, in a folder whose name tells its content."""
    # A JSON string of a path is a TOML string as well.
    text = RECIPE.format(backbone=json.dumps(str(args.backbone.resolve())), steps=args.steps, threads=args.threads,
                         batch_tokens=args.batch_tokens, evaluate_every=max(1, math.ceil(args.steps / 2)))
    for name in EIGHT if args.eight else FIVE:
        folder = args.data.resolve() / name
        files = {split: folder / f"{split}.jsonl" for split in ("train", "val", "test")}
        for split, file in files.items():
            if not file.is_file() and split != "val":
                sys.exit(f"{file}: no such file; --data must hold {name}/")
        kind, metrics = (("token_classification", ["entity_f1", "accuracy"]) if name == "wnut17"
                         else ("classification", ["macro_f1", "accuracy"]))
        validation = json.dumps(str(files["val"])) if files["val"].is_file() else "0.1"
        text += TASK.format(name=name.split("/")[-1], kind=kind, metrics=json.dumps(metrics), validation=validation,
                            train=json.dumps(str(files["train"])), test=json.dumps(str(files["test"])))
    folder = args.work / hashlib.sha256(text.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "recipe.toml"
    recipe.write_text(text, encoding="utf-8")
    return recipe


def run(name, seed, command, folder):
    """The JSON that the command prints; kept, and read back where it is there already."""
    kept = folder / f"{name}-seed{seed}.json"
    if not kept.exists():
        print(f"{name}, seed {seed} …", file=sys.stderr, flush=True)
        started = time.time()
        with open(folder / f"{name}-seed{seed}.log", "w", encoding="utf-8") as log:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))} failed with {done.returncode}; see {log.name}")
        result = json.loads(done.stdout) | {"wall_seconds": time.time() - started}
        part = kept.with_suffix(".part")
        part.write_text(json.dumps(result, indent=2))
        part.rename(kept)
    return json.loads(kept.read_text())


def compare(ours, theirs):
    """Means, standard deviations and whether the difference of the means is within noise (None with one seed)."""
    sides = []
    for values in (ours, theirs):
        sides.append((statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None))
    (our_mean, our_sd), (their_mean, their_sd) = sides
    result = {"mtl_zoo": {"values": ours, "mean": our_mean, "sd": our_sd},
              "torch": {"values": theirs, "mean": their_mean, "sd": their_sd},
              "difference": our_mean - their_mean, "noise": None, "within_noise": None}
    if our_sd is not None and their_sd is not None:
        a, b = our_sd ** 2 / len(ours), their_sd ** 2 / len(theirs)
        if a + b > 0:  # Welch and Satterthwaite's degrees of freedom.
            freedom = (a + b) ** 2 / (a ** 2 / (len(ours) - 1) + b ** 2 / (len(theirs) - 1))
            result["noise"] = float(stats.t.ppf(0.975, freedom)) * math.sqrt(a + b)
        else:
            result["noise"] = 0.0
        result["within_noise"] = abs(result["difference"]) <= result["noise"]
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder with the tasks")
    parser.add_argument("--backbone", type=pathlib.Path, required=True, help="a folder as the Hub has it")
    parser.add_argument("--eight", action="store_true", help="eight classification tasks in place of the five")
    parser.add_argument("--seeds", default="0,1,2", help="seeds, separated by commas (default: 0,1,2)")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="of mtl-zoo; PyTorch stays in f32")
    parser.add_argument("--mtl-zoo", type=pathlib.Path, default=HERE.parent / "target" / "release" / "mtl-zoo",
                        help="the program (default: the release build)")
    parser.add_argument("--work", type=pathlib.Path, default=HERE.parent / "target" / "compare_with_torch",
                        help="where runs are kept")
    parser.add_argument("--only", choices=["mtl-zoo", "torch"], help="run one side and compare nothing")
    parser.add_argument("--json", type=pathlib.Path, metavar="OUT", help="write all numbers to a file")
    args = parser.parse_args()
    seeds = [int(seed) for seed in args.seeds.split(",")]
    recipe = write_recipe(args)
    own = "mtl-zoo" if args.dtype == "f32" else f"mtl-zoo-{args.dtype}"
    folder, results = recipe.parent, {"mtl-zoo": [], "torch": []}
    for seed in seeds:
        if args.only != "torch":
            out = folder / f"{own}-seed{seed}"
            if out.exists() and not (folder / f"{own}-seed{seed}.json").exists():
                shutil.rmtree(out)  # An interrupted run starts again.
            command = [args.mtl_zoo, "finetune", recipe, "--seed", str(seed), "--json", "--out", out,
                       "--set", f"training.dtype={args.dtype}"]
            results["mtl-zoo"].append(run(own, seed, command, folder))
        if args.only != "mtl-zoo":
            command = [sys.executable, HERE / "torch_twin.py", recipe, "--seed", str(seed), "--json"]
            results["torch"].append(run("torch", seed, command, folder))
    if args.only:
        for seed, result in zip(seeds, results[args.only]):
            scores = {name: next(iter(task["test"].values())) for name, task in result["tasks"].items()}
            scores = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
            print(f"seed {seed}: {scores}; {result['seconds']:.0f} s")
        return

    table = {}
    width = 2 + max(map(len, results["torch"][0]["tasks"]))
    print(f"{'task':<{width}}{'metric':<12}{'mtl-zoo':>18}{'PyTorch':>18}{'difference':>12}{'noise':>9}  within noise")
    for name, first in results["torch"][0]["tasks"].items():
        metric = next(iter(first["test"]))
        row = compare(*([result["tasks"][name]["test"][metric] or 0.0 for result in results[side]]
                        for side in ("mtl-zoo", "torch")))
        table[name] = {"metric": metric} | row

        def cell(side):
            return f"{row[side]['mean']:.4f}" + ("" if row[side]["sd"] is None else f" ± {row[side]['sd']:.4f}")

        noise = "" if row["noise"] is None else f"{row['noise']:.4f}"
        verdict = {True: "yes", False: "NO", None: "one seed"}[row["within_noise"]]
        print(f"{name:<{width}}{metric:<12}{cell('mtl_zoo'):>18}{cell('torch'):>18}{row['difference']:>+12.4f}{noise:>9}"
              f"  {verdict}")
    seconds = {side: statistics.mean(result["seconds"] for result in runs) for side, runs in results.items()}
    print(f"mean seconds a run: mtl-zoo {seconds['mtl-zoo']:.0f}, PyTorch {seconds['torch']:.0f}")
    if args.json:
        document = {"seeds": seeds, "steps": args.steps, "batch_tokens": args.batch_tokens, "threads": args.threads,
                    "dtype": args.dtype, "tasks": table, "seconds": seconds, "runs": results}
        args.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
