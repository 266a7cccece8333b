#!/usr/bin/env python3
"""Trains a recipe in PyTorch, the way a PyTorch user would: the twin that `mtl-zoo finetune` is compared with.

    pip install torch transformers numpy scikit-learn scipy seqeval
    python scripts/torch_twin.py RECIPE.toml --seed 0 --json

transformers' AutoModel with linear heads, padded batches, SDPA, AdamW with parameter groups. Same losses, same sampler
semantics and same choice of the best step as the product; different random numbers, so scores agree within seed noise.
"""

import argparse
import copy
import csv
import json
import pathlib
import sys
import time
import tomllib

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

IGNORE = -100
BUNDLED = pathlib.Path(__file__).resolve().parent.parent / "zoo" / "bundled" / "backbone"
TRAINING = dict(seed=0, epochs=3.0, steps=None, batch_tokens=1024, accumulate=1, learning_rate=5e-5,
                head_learning_rate=None, layer_decay=1.0, weight_decay=0.01, betas=[0.9, 0.999], epsilon=1e-8,
                schedule="linear", warmup=0.1, clip=1.0, evaluate_every=None, patience=None, threads=None)
TASK = dict(validation=0.1, test=None, format=None, columns={}, labels=None, limit=None, split_seed=0, pooling="mean",
            dropout=0.1, weight=1.0, class_weights=None, label_smoothing=0.0, metrics=None)
COLUMNS = dict(text="text", pair=None, label="label", tokens="tokens", tags="tags", separator=" ")
METRICS = {
    "classification": ["accuracy", "macro_f1"],
    "multi_label": ["macro_f1", "micro_f1", "accuracy"],
    "regression": ["pearson", "spearman", "mse"],
    "token_classification": ["entity_f1", "accuracy"],
}


# --- Data ------------------------------------------------------------------------------------------------------------


def read_rows(paths, task, folder):
    """The rows of one file or several, as dictionaries."""
    rows = []
    for path in [paths] if isinstance(paths, str) else paths:
        path = folder / path
        form = task["format"] or path.suffix.lstrip(".")
        with open(path, encoding="utf-8", newline="") as file:
            if form == "jsonl":
                rows += [json.loads(line) for line in file if line.strip()]
            elif form in ("tsv", "csv"):
                rows += csv.DictReader(file, delimiter="\t" if form == "tsv" else ",")
            else:
                raise SystemExit(f"{path}: format {form!r} is not supported here")
    return rows


def split_rows(task, folder):
    """Training, validation and test rows. Fractions come out of the training rows; `limit` acts on what is left."""
    rng = np.random.default_rng(task["split_seed"])
    train = read_rows(task["train"], task, folder)
    parts, count = {}, len(train)
    for split in ("validation", "test"):
        source = task[split]
        if source is None:
            parts[split] = []
        elif isinstance(source, float):
            train = [train[i] for i in rng.permutation(len(train))]
            take = max(1, round(source * count))
            parts[split], train = train[:take], train[take:]
        else:
            parts[split] = read_rows(source, task, folder)
    if task["limit"] is not None:
        train = [train[i] for i in rng.permutation(len(train))[:task["limit"]]]
    return {"train": train} | parts


def as_list(cell, separator):
    return [str(item) for item in cell] if isinstance(cell, list) else [item for item in cell.split(separator) if item]


def as_label(cell):
    return {True: "true", False: "false"}[cell] if isinstance(cell, bool) else str(cell)


def sort_labels(labels):
    """Numbers by value, anything else by its text."""
    try:
        return sorted(labels, key=float)
    except ValueError:
        return sorted(labels)


def encode(rows, task, tokenizer, max_tokens):
    """Tokenizes the rows: `(ids, segments)` each, targets, and for words the places of their first tokens."""
    columns, kind = task["columns"], task["type"]
    if kind == "token_classification":
        texts = [as_list(row[columns["tokens"]], columns["separator"]) for row in rows]
        encoded = tokenizer(texts, is_split_into_words=True, truncation=True, max_length=max_tokens)
    else:
        texts = [row[columns["text"]] for row in rows]
        pairs = [row[columns["pair"]] for row in rows] if columns["pair"] else None
        encoded = tokenizer(texts, pairs, truncation=True, max_length=max_tokens)
    examples = []
    for index, row in enumerate(rows):
        ids = encoded["input_ids"][index]
        types = encoded["token_type_ids"][index] if "token_type_ids" in encoded else [0] * len(ids)
        if kind == "token_classification":
            tags, target = as_list(row[columns["tags"]], columns["separator"]), [IGNORE] * len(ids)
            seen = set()
            for place, word in enumerate(encoded.word_ids(index)):
                if word is not None and word not in seen:
                    seen.add(word)
                    target[place] = label_number(tags[word], task)
        elif kind == "classification":
            target = label_number(as_label(row[columns["label"]]), task)
        elif kind == "regression":
            target = float(row[columns["label"]])
        else:
            target = [0.0] * len(task["labels"])
            for label in as_list(row[columns["label"]], columns["separator"]):
                target[label_number(label, task)] = 1.0
        examples.append((ids, types, target))
    return examples


def label_number(label, task):
    """The number of a label; data may also hold the place of a label that the recipe lists."""
    labels = task["labels"]
    return labels.index(label) if label in labels or not label.isdigit() else int(label)


def find_labels(rows, task):
    """The labels of the training rows in their order; one unnamed output for regression."""
    columns, kind = task["columns"], task["type"]
    if kind == "regression":
        return [""]
    if kind == "classification":
        return sort_labels({as_label(row[columns["label"]]) for row in rows})
    column = columns["tags" if kind == "token_classification" else "label"]
    return sort_labels({label for row in rows for label in as_list(row[column], columns["separator"])})


def find_class_weights(task, examples):
    """The loss's class weights, or None."""
    given, labels = task["class_weights"], task["labels"]
    if given is None:
        return None
    if given != "balanced":
        return torch.tensor([float(given.get(label, 1.0)) for label in labels])
    targets = np.concatenate([np.ravel(target) for _, _, target in examples])
    if task["type"] == "multi_label":
        raise SystemExit('class_weights = "balanced" is not supported here for multi_label')
    counts = np.bincount(targets[targets != IGNORE].astype(np.int64), minlength=len(labels))
    return torch.tensor(counts.sum() / (len(labels) * np.maximum(counts, 1)), dtype=torch.float32)


def target_tensor(kind, targets):
    """The targets of several examples; tags of all real tokens one after the other."""
    if kind == "token_classification":
        return torch.tensor([tag for tags in targets for tag in tags])
    return torch.tensor(targets, dtype=torch.long if kind == "classification" else torch.float32)


# --- Sampling --------------------------------------------------------------------------------------------------------


def shares(sampling, sizes, names):
    """Each task's share of the rows."""
    sizes, method = np.array(sizes, float), sampling.get("method", "proportional")
    if method == "proportional":
        weights = sizes
    elif method == "uniform":
        weights = np.ones_like(sizes)
    elif method == "temperature":
        weights = sizes ** (1.0 / sampling.get("temperature", 2.0))
    elif method == "power":
        weights = np.minimum(sizes, sampling.get("cap") or np.inf) ** sampling.get("power", 0.5)
    elif method == "fixed":
        weights = np.array([float(sampling["weights"][name]) for name in names])
    else:
        raise SystemExit(f"sampling.method {method!r} is not supported here")
    return weights / weights.sum()


class Sampler:
    """Draws tasks by smooth weighted round robin and their rows in shuffled passes, as many as fit into a batch."""

    def __init__(self, examples, share, batch_tokens, seed):
        self.examples, self.share, self.batch_tokens = examples, share, batch_tokens
        self.rng = np.random.default_rng(seed)
        self.credit = np.zeros(len(share))
        self.orders = [[] for _ in share]
        self.pending = None  # A task and its row that did not fit into the last batch.

    def draw(self):
        self.credit += self.share
        task = int(np.argmax(self.credit))
        self.credit[task] -= 1.0
        if not self.orders[task]:
            self.orders[task] = list(self.rng.permutation(len(self.examples[task])))
        return task, self.examples[task][self.orders[task].pop()]

    def batch(self):
        """The rows of one step, a list a task."""
        chosen, tokens = [[] for _ in self.share], 0
        while True:
            task, example = self.pending or self.draw()
            length = len(example[0])
            if tokens > 0 and tokens + length > self.batch_tokens:
                self.pending = task, example
                return chosen
            self.pending = None
            chosen[task].append(example)
            tokens += length


def steps_per_epoch(examples, share, batch_tokens):
    """Steps in which as many rows are drawn as all tasks have together."""
    mean_tokens = sum(p * np.mean([len(ids) for ids, _, _ in rows]) for p, rows in zip(share, examples))
    return max(1, round(sum(map(len, examples)) * mean_tokens / batch_tokens))


# --- The model -------------------------------------------------------------------------------------------------------


def pad(sequences, dtype=torch.long):
    """Ids and segments of each sequence as `[sequences, longest]`, and the mask of the tokens that are real."""
    shape = len(sequences), max(len(ids) for ids, _ in sequences)
    ids, types, mask = (torch.zeros(shape, dtype=dtype) for _ in range(3))
    for row, (tokens, segments) in enumerate(sequences):
        ids[row, :len(tokens)] = torch.as_tensor(tokens, dtype=dtype)
        types[row, :len(tokens)] = torch.as_tensor(segments, dtype=dtype)
        mask[row, :len(tokens)] = 1
    return ids, types, mask


def pool(states, mask, pooling, pooled=None):
    """One state a sequence, of its real tokens."""
    if pooling == "cls":
        return states[:, 0]
    if pooling == "mean":
        mask = mask.unsqueeze(-1).to(states.dtype)
        return (states * mask).sum(1) / mask.sum(1)
    if pooling == "max":
        return states.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(1)
    if pooling == "pooler":
        return pooled
    raise ValueError(f"unknown pooling {pooling!r}")


def task_loss(kind, logits, targets, class_weights=None, label_smoothing=0.0):
    """The mean loss of a task. `logits` are `[examples, outputs]`, an example being a token in token classification."""
    if kind in ("classification", "token_classification"):
        if (targets == IGNORE).all():
            return logits.sum() * 0.0
        return F.cross_entropy(logits, targets, weight=class_weights, ignore_index=IGNORE,
                               label_smoothing=label_smoothing)
    if kind == "multi_label":
        return F.binary_cross_entropy_with_logits(logits, targets, weight=class_weights)
    if kind == "regression":
        return F.mse_loss(logits.squeeze(-1), targets)
    raise ValueError(f"unknown type {kind!r}")


# --- The optimizer ---------------------------------------------------------------------------------------------------


def layer_factor(name, layers, decay):
    """Factor on the backbone's learning rate: 1 at the top layer and the pooler, `decay` less with each layer down."""
    if name.startswith("embeddings."):
        return decay ** layers
    if name.startswith("encoder.layer."):
        return decay ** (layers - 1 - int(name.split(".")[2]))
    return 1.0


def parameter_groups(backbone, heads, learning_rate, head_learning_rate, weight_decay, layer_decay):
    """AdamW's groups: a rate a layer and one for the heads, no decay of biases and LayerNorms."""
    layers = backbone.config.num_hidden_layers
    groups = {}
    for prefix, module in (("", backbone), ("heads.", heads)):
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            rate = head_learning_rate if prefix else learning_rate * layer_factor(name, layers, layer_decay)
            decay = 0.0 if name.endswith("bias") or "LayerNorm" in name else weight_decay
            groups.setdefault((rate, decay), []).append(parameter)
    return [dict(params=params, lr=rate, weight_decay=decay) for (rate, decay), params in groups.items()]


def rate_factor(schedule, step, steps, warmup):
    """Factor on the learning rates at a step, as transformers' schedules have it."""
    if step < warmup:
        return step / max(1, warmup)
    done = (step - warmup) / max(1, steps - warmup)
    return {"linear": 1.0 - done, "cosine": 0.5 * (1.0 + np.cos(np.pi * done)), "constant": 1.0}[schedule]


def freeze(backbone, what):
    """Turns off training of a part: "none", "embeddings", "all", or a number n: the embeddings and n layers."""
    if what == "none":
        return
    if what == "all":
        parts = [backbone]
    else:
        parts = [backbone.embeddings, *backbone.encoder.layer[:0 if what == "embeddings" else what]]
    for part in parts:
        part.requires_grad_(False)


# --- Metrics ---------------------------------------------------------------------------------------------------------


def score(task, logits, targets):
    """The task's metrics. An undefined one (a constant prediction has no correlation) is None."""
    from scipy import stats
    from seqeval.metrics import f1_score as entity_f1
    from sklearn import metrics as sk

    kind = task["type"]
    if kind == "regression":
        expected, predicted = np.array(targets), np.stack(logits)[:, 0].astype(np.float64)
    elif kind == "classification":
        expected, predicted = np.array(targets), np.stack(logits).argmax(1)
    elif kind == "multi_label":
        expected, predicted = np.array(targets), (np.stack(logits) > 0).astype(float)
    else:
        expected = [[tag for tag in tags if tag != IGNORE] for tags in targets]
        predicted = [[int(row.argmax()) for row, tag in zip(rows, tags) if tag != IGNORE]
                     for rows, tags in zip(logits, targets)]
        words = [[[task["labels"][tag] for tag in tags] for tags in side] for side in (expected, predicted)]
        flat = [[tag for tags in side for tag in tags] for side in words]
        functions = {"entity_f1": lambda: entity_f1(*words, zero_division=0),
                     "accuracy": lambda: sk.accuracy_score(*flat)}
        return {name: defined(functions[name]) for name in task["metrics"]}

    functions = {
        "accuracy": lambda: sk.accuracy_score(expected, predicted),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(expected, predicted),
        "macro_f1": lambda: sk.f1_score(expected, predicted, average="macro", zero_division=0),
        "micro_f1": lambda: sk.f1_score(expected, predicted, average="micro", zero_division=0),
        "weighted_f1": lambda: sk.f1_score(expected, predicted, average="weighted", zero_division=0),
        "matthews": lambda: sk.matthews_corrcoef(expected, predicted),
        "pearson": lambda: stats.pearsonr(expected, predicted)[0],
        "spearman": lambda: stats.spearmanr(expected, predicted)[0],
        "mse": lambda: sk.mean_squared_error(expected, predicted),
        "mae": lambda: sk.mean_absolute_error(expected, predicted),
        "r2": lambda: sk.r2_score(expected, predicted),
    }
    return {name: defined(functions[name]) for name in task["metrics"]}


def defined(compute):
    value = float(compute())
    return value if np.isfinite(value) else None


def mean_primary(scores, tasks):
    """What picks the best step: the mean over tasks of the first metric, errors negated, undefined ones as 0."""
    values = []
    for name, task in tasks.items():
        metric = task["metrics"][0]
        value = scores[name][metric] or 0.0
        values.append(-value if metric in ("mse", "mae") else value)
    return float(np.mean(values))


# --- The run ---------------------------------------------------------------------------------------------------------


class MultiTask(nn.Module):
    """A backbone and a linear head a task."""

    def __init__(self, backbone, tasks):
        super().__init__()
        self.backbone, self.tasks = backbone, tasks
        width = backbone.config.hidden_size
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(task["labels"])) for name, task in tasks.items()})
        for head in self.heads.values():
            nn.init.normal_(head.weight, 0.0, 0.02)
            nn.init.zeros_(head.bias)

    def logits(self, batch, chunk=16):
        """The logits of `{task: examples}`: `[outputs]` a sequence, or `[tokens, outputs]` in token classification.

        Sequences of about the same length go through the backbone together, so that little is padding."""
        flat = [(name, place, example) for name, examples in batch.items() for place, example in enumerate(examples)]
        flat.sort(key=lambda item: len(item[2][0]))
        answers = {name: [None] * len(examples) for name, examples in batch.items()}
        for start in range(0, len(flat), chunk):
            part = flat[start:start + chunk]
            ids, types, mask = pad([(ids, types) for _, _, (ids, types, _) in part])
            out = self.backbone(input_ids=ids, token_type_ids=types, attention_mask=mask)
            for name in {name for name, _, _ in part}:
                rows = [row for row, item in enumerate(part) if item[0] == name]
                task, features = self.tasks[name], out.last_hidden_state[rows]
                is_tags = task["type"] == "token_classification"
                if not is_tags:
                    pooled = out.pooler_output[rows] if task["pooling"] == "pooler" else None
                    features = pool(features, mask[rows], task["pooling"], pooled)
                logits = self.heads[name](F.dropout(features, task["dropout"], self.training))
                for row, values in zip(rows, logits):
                    _, place, (tokens, _, _) = part[row]
                    answers[name][place] = values[:len(tokens)] if is_tags else values
        return answers


@torch.no_grad()
def evaluate(model, name, examples):
    """The metrics of one task on some examples."""
    model.eval()
    logits = model.logits({name: examples}, chunk=64)[name]
    return score(model.tasks[name], [rows.numpy() for rows in logits], [target for _, _, target in examples])


def load_recipe(path):
    """The recipe with its defaults; refuses what this script cannot do."""
    recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    backbone = dict(id="bundled", max_tokens=128, dropout=None, attention_dropout=None, freeze="none")
    backbone |= recipe.get("backbone", {})
    training = TRAINING | recipe.get("training", {})
    if training["accumulate"] != 1 or training["patience"] is not None:
        raise SystemExit("training.accumulate and training.patience are not supported here")
    balance = recipe.get("balance", {"method": "equal"})
    if balance["method"] not in ("equal", "fixed"):
        raise SystemExit(f"balance.method {balance['method']!r} is not supported here")
    tasks = {}
    for name, given in recipe["tasks"].items():
        if "card" in given:
            raise SystemExit(f"tasks.{name}.card is not supported here: write the fields themselves")
        task = TASK | given
        task["columns"] = COLUMNS | task["columns"]
        task["metrics"] = task["metrics"] or METRICS[task["type"]]
        task["weight"] *= balance.get("weights", {}).get(name, 1.0)
        tasks[name] = task
    return backbone, training, recipe.get("sampling", {}), tasks


def load_backbone(settings, pooler):
    from transformers import AutoModel, AutoTokenizer

    folder = BUNDLED if settings["id"] == "bundled" else pathlib.Path(settings["id"])
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no folder; backbone.id must be a local folder here")
    dropouts = {"hidden_dropout_prob": settings["dropout"],
                "attention_probs_dropout_prob": settings["attention_dropout"]}
    dropouts = {key: value for key, value in dropouts.items() if value is not None}
    backbone = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa", **dropouts)
    if not pooler:
        backbone.pooler = None
    freeze(backbone, settings["freeze"])
    return backbone, AutoTokenizer.from_pretrained(folder)


def train(recipe_path, seed=None, log=print):
    """Trains the recipe; returns the scores of the best step and how long it all took."""
    started = time.time()
    settings, training, sampling, tasks = load_recipe(recipe_path)
    seed = training["seed"] if seed is None else seed
    if training["threads"]:
        torch.set_num_threads(training["threads"])
    torch.manual_seed(seed)
    pooler = any(task["pooling"] == "pooler" for task in tasks.values() if task["type"] != "token_classification")
    backbone, tokenizer = load_backbone(settings, pooler)

    data = {}
    for name, task in tasks.items():
        rows = split_rows(task, recipe_path.parent)
        task["labels"] = task["labels"] or find_labels(rows["train"], task)
        data[name] = {split: encode(part, task, tokenizer, settings["max_tokens"]) for split, part in rows.items()}
        task["loss_weights"] = find_class_weights(task, data[name]["train"])
        log(f"{name}: {', '.join(f'{len(part)} {split}' for split, part in data[name].items())} rows, "
            f"{len(task['labels'])} outputs")

    model = MultiTask(backbone, tasks)
    rows = [data[name]["train"] for name in tasks]
    share = shares(sampling, [len(part) for part in rows], list(tasks))
    sampler = Sampler(rows, share, training["batch_tokens"], seed)
    epoch = steps_per_epoch(rows, share, training["batch_tokens"])
    steps = training["steps"] or max(1, round(training["epochs"] * epoch))
    every = training["evaluate_every"] or epoch
    warmup = int(training["warmup"] * steps + 0.5)
    rate = training["learning_rate"]
    groups = parameter_groups(backbone, model.heads, rate, training["head_learning_rate"] or rate,
                              training["weight_decay"], training["layer_decay"])
    optimizer = torch.optim.AdamW(groups, betas=tuple(training["betas"]), eps=training["epsilon"], fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_factor(training["schedule"], step, steps, warmup))
    parameters = [p for p in model.parameters() if p.requires_grad]
    for parameter in parameters:  # Heads of absent tasks have zero gradients, not none.
        parameter.grad = torch.zeros_like(parameter)

    best, best_step, best_state, best_scores, spent = -np.inf, 0, None, {}, 0.0
    for step in range(1, steps + 1):
        begun = time.time()
        model.train()
        batch = {name: examples for name, examples in zip(tasks, sampler.batch()) if examples}
        total = 0.0
        for name, logits in model.logits(batch).items():
            task = tasks[name]
            targets = target_tensor(task["type"], [target for _, _, target in batch[name]])
            logits = (torch.cat if task["type"] == "token_classification" else torch.stack)(logits)
            loss = task_loss(task["type"], logits, targets, task["loss_weights"], task["label_smoothing"])
            total = total + task["weight"] * loss / len(tasks)
        total.backward()
        if training["clip"] > 0:
            nn.utils.clip_grad_norm_(parameters, training["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        schedule.step()
        spent += time.time() - begun
        if step % every == 0 or step == steps:
            scores = {name: evaluate(model, name, data[name]["validation"]) for name in tasks}
            value = mean_primary(scores, tasks)
            log(f"step {step}/{steps}: loss {total.item():.4f}, mean validation score {value:.4f}, "
                f"{spent / step:.2f} s a step")
            if value > best:
                best, best_step, best_scores = value, step, scores
                best_state = copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    result = {}
    for name in tasks:
        result[name] = {"validation": best_scores[name]}
        if data[name]["test"]:
            result[name]["test"] = evaluate(model, name, data[name]["test"])
    return {"tasks": result, "seconds": time.time() - started, "steps": steps, "best_step": best_step,
            "seconds_per_step": spent / steps}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=pathlib.Path)
    parser.add_argument("--seed", type=int, help="instead of the recipe's training.seed")
    parser.add_argument("--threads", type=int, help="threads of PyTorch; its own choice if absent")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    result = train(args.recipe, args.seed, lambda line: print(line, file=sys.stderr, flush=True))
    if args.json:
        print(json.dumps(result, indent=2))
        return
    for name, splits in result["tasks"].items():
        for split, scores in splits.items():
            values = ", ".join(f"{k} {'undefined' if v is None else f'{v:.4f}'}" for k, v in scores.items())
            print(f"{name} {split}: {values}")


if __name__ == "__main__":
    main()
