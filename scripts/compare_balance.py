#!/usr/bin/env python3
"""Trains a recipe with every balancing method over several seeds and compares the test scores with equal weighting.

    cargo build --release
    python scripts/compare_balance.py sentiment --seeds 0,1,2 --set training.dtype=bf16 --json result.json > table.md

The default is all methods of `mtl-zoo list balance` but `fixed`, which needs weights, and `search`, whose trials take two
more runs: name it in --methods. The row `single` is each task alone. All rows have the same number of steps and of tokens a
step; those of `single` go to one task, so that it sees more of it than the other rows do.

A score is that of a task's first metric on its test rows; an undefined one (all predictions the same) counts as 0. The
change against equal weighting is the mean over tasks of each score's change in percent of equal weighting's mean, errors
negated. A star says that Welch's t-test against equal weighting gives less than 0.05 after Holm's correction for all rows
of that column; it is not corrected for the number of columns. No star says nothing: few seeds find large differences only.

FILE is written after each run; started again, the script goes on with the runs that are not in it. Runs' folders are
removed. Last run with SciPy 1.17.1.
"""

import argparse
import json
import math
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

from scipy import stats

ROOT = pathlib.Path(__file__).resolve().parent.parent
ERRORS = {"mse", "mae"}  # Metrics of which less is better.


# --- Runs ------------------------------------------------------------------------------------------------------------


class Failed(Exception):
    """What the program said."""


def call(command):
    """The JSON document that a command prints."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        said = [line for line in lines if line.startswith("error")] or lines[-1:]
        raise Failed(said[0] if said else f"exit status {done.returncode}")
    return json.loads(done.stdout)


class Runs:
    """Runs by row and seed, in a file that says of what recipe they are."""

    def __init__(self, path, program, recipe, flags):
        self.path, self.command = path, [program, "finetune", recipe, *flags, "--json"]
        self.dry = call([*self.command, "--balance", "equal", "--dry-run"])
        about = {"program": subprocess.check_output([program, "--version"], text=True).strip(),
                 "recipe": self.dry["recipe"]}
        self.document = about | {"runs": {}}
        if path and path.exists():
            self.document = json.loads(path.read_text(encoding="utf-8"))
            if any(self.document.get(key) != value for key, value in about.items()):
                sys.exit(f"{path} holds runs of another recipe, other settings or another version: name another file")
        self.tasks = {name: task["metrics"][0] for name, task in self.dry["recipe"]["tasks"].items()}
        self.failed = {}

    def save(self):
        if self.path:
            part = self.path.with_name(self.path.name + ".part")
            part.write_text(json.dumps(self.document, indent=1) + "\n", encoding="utf-8")
            part.replace(self.path)

    def scores(self, row, seed, flags):
        """Test score of each task's main metric in one run, or None if it failed."""
        kept = self.document["runs"].setdefault(row, {})
        if str(seed) not in kept:
            if row in self.failed:
                return None
            print(f"{row}, seed {seed}: ", end="", file=sys.stderr, flush=True)
            started = time.time()
            try:
                with tempfile.TemporaryDirectory() as work:
                    result = call([*self.command, *flags, "--seed", seed, "--out", f"{work}/run"])
            except Failed as failure:
                self.failed[row] = str(failure)
                print(failure, file=sys.stderr)
                return None
            kept[str(seed)] = {key: result[key] for key in ("tasks", "steps", "seconds")}
            self.save()
            print(f"{time.time() - started:.0f} s", file=sys.stderr)
        return {name: scores["test"][self.tasks[name]] for name, scores in kept[str(seed)]["tasks"].items()}


def alone(runs):
    """Flags of a task's run by itself: as many steps as all tasks together, scored as often."""
    training = runs.dry["recipe"]["training"]
    steps = runs.dry["steps"]
    rounds = 1 if training.get("steps") else max(1, training["epochs"])
    every = training.get("evaluate_every") or math.ceil(steps / rounds)
    return ["--balance", "equal", "--set", f"training.steps={steps}", "--set", f"training.evaluate_every={every}"]


def collect(runs, methods, seeds):
    """Test scores a row, task and seed: {row: {task: [score]}}; rows of which a run failed are left out."""
    rows = {}
    for seed in seeds:
        for row in methods:
            if row == "single":
                each = [runs.scores(f"single {name}", seed, ["--tasks", name, *alone(runs)]) for name in runs.tasks]
                test = {name: value for one in each if one for name, value in one.items()}
            else:
                test = runs.scores(row, seed, ["--balance", row])
            if row == "equal" and not test:
                sys.exit("equal weighting failed: there is nothing to compare with")
            if test and len(test) == len(runs.tasks):
                for name, value in test.items():
                    rows.setdefault(row, {}).setdefault(name, []).append(value or 0.0)
    return {row: tasks for row, tasks in rows.items() if all(len(values) == len(seeds) for values in tasks.values())}


# --- Statistics and the table ----------------------------------------------------------------------------------------


def changes(tasks, equal, metrics):
    """Mean change over tasks a seed, in percent of equal weighting's means; None where one of those is not above 0."""
    means = {name: statistics.mean(equal[name]) for name in metrics}
    if min(means.values()) <= 0:
        return None
    signs = {name: -1 if metric in ERRORS else 1 for name, metric in metrics.items()}
    return [statistics.mean(100 * signs[name] * (value - means[name]) / means[name]
                            for name, value in zip(metrics, values))
            for values in zip(*(tasks[name] for name in metrics))]


def welch(values, others):
    """p of Welch's t-test; None with one seed, or without any spread."""
    if min(len(values), len(others)) < 2 or max(statistics.stdev(values), statistics.stdev(others)) == 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # One side without spread.
        return float(stats.ttest_ind(values, others, equal_var=False).pvalue)


def holm(probabilities):
    """Holm's adjusted p by name; those without a test stay None and do not count."""
    tested = sorted((p, name) for name, p in probabilities.items() if p is not None)
    adjusted, largest = dict.fromkeys(probabilities), 0.0
    for at, (p, name) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - at) * p))
        adjusted[name] = largest
    return adjusted


def summary(rows, metrics):
    """{row: {column: values, mean, sd, p and Holm's p against equal weighting}}; the last column is `change`."""
    result = {row: {} for row in rows}
    for column in [*metrics, "change"]:
        values = {row: tasks[column] if column in metrics else changes(tasks, rows["equal"], metrics)
                  for row, tasks in rows.items()}
        if values["equal"] is None:
            continue
        tests = {row: welch(own, values["equal"]) for row, own in values.items() if row != "equal"}
        corrected = holm(tests)
        for row, own in values.items():
            result[row][column] = {"values": own, "mean": statistics.mean(own), "p": tests.get(row),
                                   "sd": statistics.stdev(own) if len(own) > 1 else None, "holm": corrected.get(row)}
    return result


def table(results, metrics, seeds):
    """Markdown."""
    def cell(one, form):
        if one is None:
            return "–"
        spread = "" if one["sd"] is None else f" ± {one['sd']:{form.lstrip('+')}}"
        star = " \\*" if one["holm"] is not None and one["holm"] < 0.05 else ""
        return f"{round(one['mean'], 6) + 0.0:{form}}{spread}{star}"  # No minus before a zero.

    lines = ["| Method | " + " | ".join(f"{name} ({metric})" for name, metric in metrics.items()) + " | Δm, % |",
             "|---|" + "---:|" * (len(metrics) + 1)]
    for row, columns in results.items():
        cells = [cell(columns[name], ".4f") for name in metrics] + [cell(columns.get("change"), "+.2f")]
        lines.append(f"| `{row}` | " + " | ".join(cells) + " |")
    return "\n".join(lines + [
        "", f"Test scores, mean ± standard deviation over seeds {', '.join(map(str, seeds))}; Δm: mean change over tasks "
        "against `equal`, errors negated. \\*: Welch's t-test against `equal` below 0.05 after Holm's correction over the "
        "rows of the column."] + (["", "`search` had its trials before the run."] if "search" in results else []))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a file, or the name of a recipe card")
    parser.add_argument("--methods", help="separated by commas (default: all but fixed and search)")
    parser.add_argument("--no-single", action="store_true", help="no runs of tasks alone")
    parser.add_argument("--seeds", default="0,1,2", help="separated by commas (default: 0,1,2)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="passed on to every run")
    parser.add_argument("--threads", type=int, help="passed on")
    parser.add_argument("--mtl-zoo", type=pathlib.Path, default=ROOT / "target/release/mtl-zoo",
                        help="the program (default: the release build)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="keeps finished runs, and the table's numbers")
    args = parser.parse_args()
    known = [method["name"] for method in call([args.mtl_zoo, "list", "balance", "--json"])]
    known = [name for name in known if name not in ("equal", "fixed")]
    chosen = args.methods.split(",") if args.methods else [name for name in known if name != "search"]
    if unknown := [name for name in chosen if name not in ("equal", *known)]:
        sys.exit(f"--methods: `{unknown[0]}` is none of {', '.join(known)}")
    methods = ["equal", *([] if args.no_single else ["single"]), *(name for name in known if name in chosen)]
    seeds = [int(seed) for seed in args.seeds.split(",")]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # So that the program ends too and its folder goes.
    flags = [part for value in args.set for part in ("--set", value)]
    flags += ["--threads", args.threads] if args.threads else []
    try:
        runs = Runs(args.json, args.mtl_zoo, args.recipe, flags)
    except Failed as failure:
        sys.exit(f"{args.recipe}: {failure}")
    if without := [name for name, task in runs.dry["recipe"]["tasks"].items() if not task.get("test")]:
        sys.exit(f"{args.recipe}: task `{without[0]}` has no test rows to compare on")
    rows = collect(runs, methods, seeds)
    results = summary(rows, runs.tasks)
    print(table(results, runs.tasks, seeds))
    for row, message in runs.failed.items():
        print(f"\n`{row}` failed: {message}")
    runs.document |= {"seeds": seeds, "steps": runs.dry["steps"], "metrics": runs.tasks, "table": results,
                      "failed": runs.failed}
    runs.save()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nstopped; with --json, the same command goes on with the next run")
