#!/usr/bin/env python3
"""Writes tests/golden/training*.safetensors: 25 joint training steps in PyTorch, dropout off, to compare losses with.

    pip install torch transformers numpy safetensors
    python scripts/make_training_goldens.py            # both
    python scripts/make_training_goldens.py training   # or training_bundled

`training` has a small random BERT of its own (`param.NAME`), `training_bundled` starts from zoo/bundled/backbone. Four
tasks, one of each head. All is computed in f64 and stored as f32; PyTorch's own f32 is within 2e-7 of the losses. Compare
with 1e-5 or so, and the final parameters too: AdamW that skips untouched word rows is off by only 3e-4, a missing weight
decay by 4e-6 (final parameters: 3e-5). Metadata: `config` (config.json's text) and `settings` (JSON). The pooler is not
used and is no parameter. Per step k, with T = 4 tasks always:

    loss = 1/T * sum over the tasks of the batch of weight_t * L_t
    gradients of absent heads are zero (not missing: AdamW's moments and weight decay go on), so are untouched word rows
    clip_grad_norm_ at 1.0 over all parameters; AdamW; rate of a group at step k = its rate * rate_factor[k]

Tensors:

    head.TASK.weight [outputs, hidden], head.TASK.bias [outputs]     initial heads
    batch.I.ids, .type_ids [N], .starts [S + 1]                      u32, sequences end to end
    batch.I.task.TASK.sequences [2]                                  u32, first and end; absent tasks have no tensors
    batch.I.task.TASK.targets    classes [S_t] i64, numbers [S_t] f32, 0 or 1 [S_t, labels] f32,
                                 tags of tokens [N_t] i64 (-100: none)
    loss, loss.TASK (NaN if absent), gradient_norm (before clipping), rate_factor   [steps] f32
    final.NAME, final.heads.TASK.weight/bias   after the last step (bundled: the small ones)
    rows, final_rows.embeddings.word_embeddings.weight   bundled only: rows of the word embeddings, some never touched
"""

import argparse
import json
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file
from torch import nn
from transformers import BertConfig, BertModel, get_linear_schedule_with_warmup

from torch_twin import IGNORE, pad, parameter_groups, pool, task_loss

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
BUNDLED = ROOT / "zoo" / "bundled" / "backbone"

STEPS = 25
SMALL = dict(hidden_size=32, num_attention_heads=4, num_hidden_layers=2, intermediate_size=64, vocab_size=100,
             max_position_embeddings=64, type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12,
             initializer_range=0.1, pad_token_id=0)
TASKS = {
    "topic": dict(type="classification", outputs=3, class_weights=[1.0, 2.0, 0.5], label_smoothing=0.1,
                  pooling="mean", weight=1.0),
    "score": dict(type="regression", outputs=1, pooling="cls", weight=0.5),
    "marks": dict(type="multi_label", outputs=4, pooling="max", weight=2.0),
    "tags": dict(type="token_classification", outputs=5, weight=1.0),
}
# Warm-up: 10 % of 25 steps is 2.5, taken as 3 (a half rounds away from zero).
SETTINGS = dict(steps=STEPS, warmup_steps=3, schedule="linear", optimizer="adamw", betas=[0.9, 0.999], epsilon=1e-8,
                weight_decay=0.01, layer_decay=0.9, clip=1.0, head_learning_rate=1e-3, dropout=0.0, tasks=TASKS)


def small_backbone():
    config = BertConfig(**SMALL)
    torch.manual_seed(5)
    backbone = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        for name, value in backbone.named_parameters():
            if name.endswith("bias") or "LayerNorm" in name:
                value.normal_(0.0, config.initializer_range)
            if name.endswith("LayerNorm.weight"):
                value.add_(1.0)
    text = {"architectures": ["BertModel"], "model_type": "bert", "position_embedding_type": "absolute",
            "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    return backbone, json.dumps(text | SMALL, indent=2)


def bundled_backbone():
    text = (BUNDLED / "config.json").read_text()
    backbone = BertModel(BertConfig(**json.loads(text)), add_pooling_layer=False)
    stored = {k.removeprefix("bert."): v.float() for k, v in load_file(BUNDLED / "model.safetensors").items()}
    missing, unexpected = backbone.load_state_dict(stored, strict=False)
    assert not missing, missing
    assert all(k.startswith("pooler.") or k.endswith("position_ids") for k in unexpected), unexpected
    return backbone, text


def make_batches(rng, vocabulary):
    """Batches in which ids come back from step to step and targets follow from the ids, so that losses fall."""
    words = rng.choice(np.arange(1, vocabulary), min(vocabulary - 1, 200), replace=False)
    lengths = [1, 2, 3, 5, 7, 9, 12, 16, 20, 24]
    for index in range(STEPS):
        absent = "score" if index % 4 == 2 else "marks" if index % 7 == 3 else None
        sequences, tasks = [], {}
        for name, task in TASKS.items():
            if name == absent:
                continue
            first, targets = len(sequences), []
            for _ in range(rng.integers(2, 6)):
                length = int(rng.choice(lengths))
                ids, types = rng.choice(words, length), np.zeros(length, np.int64)
                if name in ("topic", "score") and length > 4 and rng.random() < 0.5:
                    types[length // 2:] = 1
                sequences.append((ids, types))
                if name == "topic":
                    targets.append(ids[0] % 3)
                elif name == "score":
                    targets.append(float(ids.mean() / vocabulary * 4 - 2))
                elif name == "marks":
                    targets.append([float((ids % 4 == label).any()) for label in range(4)])
                else:
                    tags = np.where(rng.random(length) < 0.7, ids % 5, IGNORE)
                    tags[0] = ids[0] % 5 if length < 3 else IGNORE
                    targets.extend(tags)
            kind = np.int64 if task["type"].endswith("classification") else np.float32
            tasks[name] = (first, len(sequences), np.array(targets, kind))
        yield sequences, tasks


def train(backbone, heads, batches, settings, dtype):
    """Runs all steps; returns the losses, gradient norms and rate factors."""
    backbone.to(dtype).eval()
    heads.to(dtype)
    parameters = [*backbone.parameters(), *heads.parameters()]
    groups = parameter_groups(backbone, heads, settings["learning_rate"], settings["head_learning_rate"],
                              settings["weight_decay"], settings["layer_decay"])
    optimizer = torch.optim.AdamW(groups, betas=tuple(settings["betas"]), eps=settings["epsilon"])
    schedule = get_linear_schedule_with_warmup(optimizer, settings["warmup_steps"], settings["steps"])
    curves = {name: [] for name in ["loss", *(f"loss.{t}" for t in TASKS), "gradient_norm", "rate_factor"]}
    for sequences, tasks in batches:
        ids, types, mask = pad(sequences)
        states = backbone(input_ids=ids, token_type_ids=types, attention_mask=mask).last_hidden_state
        total = 0.0
        for name, task in TASKS.items():
            if name not in tasks:
                curves[f"loss.{name}"].append(float("nan"))
                continue
            first, end, targets = tasks[name]
            if task["type"] == "token_classification":
                features = states[first:end][mask[first:end].bool()]
            else:
                features = pool(states[first:end], mask[first:end], task["pooling"])
            targets = torch.from_numpy(targets)
            weights = task.get("class_weights")
            loss = task_loss(task["type"], heads[name](features),
                             targets.to(dtype) if targets.is_floating_point() else targets,
                             None if weights is None else torch.tensor(weights, dtype=dtype),
                             task.get("label_smoothing", 0.0))
            curves[f"loss.{name}"].append(loss.item())
            total = total + task["weight"] * loss / len(TASKS)
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        total.backward()
        norm = nn.utils.clip_grad_norm_(parameters, settings["clip"])
        curves["loss"].append(total.item())
        curves["gradient_norm"].append(norm.item())
        curves["rate_factor"].append(schedule.lr_lambdas[0](schedule.last_epoch))
        optimizer.step()
        schedule.step()
    return {name: np.array(values, np.float32) for name, values in curves.items()}


def write(name):
    make, rate = (bundled_backbone, 5e-5) if name == "training_bundled" else (small_backbone, 5e-4)
    bundled = make is bundled_backbone
    settings = SETTINGS | dict(learning_rate=rate)
    backbone, config = make()
    torch.manual_seed(7)
    heads = nn.ModuleDict({t: nn.Linear(backbone.config.hidden_size, task["outputs"]) for t, task in TASKS.items()})
    for head in heads.values():
        nn.init.normal_(head.weight, 0.0, 0.02)
        nn.init.zeros_(head.bias)
    rng = np.random.default_rng(23)
    batches = list(make_batches(rng, backbone.config.vocab_size))

    def numpy(value):
        return value.detach().to(torch.float32).numpy().copy()

    tensors = {f"head.{n}": numpy(p) for n, p in heads.named_parameters()}
    if not bundled:
        tensors |= {f"param.{n}": numpy(p) for n, p in backbone.named_parameters()}
    for index, (sequences, tasks) in enumerate(batches):
        at = f"batch.{index}"
        tensors[f"{at}.ids"] = np.concatenate([ids for ids, _ in sequences]).astype(np.uint32)
        tensors[f"{at}.type_ids"] = np.concatenate([types for _, types in sequences]).astype(np.uint32)
        tensors[f"{at}.starts"] = np.cumsum([0] + [len(ids) for ids, _ in sequences]).astype(np.uint32)
        for task, (first, end, targets) in tasks.items():
            tensors[f"{at}.task.{task}.sequences"] = np.array([first, end], np.uint32)
            tensors[f"{at}.task.{task}.targets"] = targets

    start = {**{f"b.{n}": p.clone() for n, p in backbone.state_dict().items()},
             **{f"h.{n}": p.clone() for n, p in heads.state_dict().items()}}
    single = train(backbone, heads, batches, settings, torch.float32)
    backbone.load_state_dict({n[2:]: p for n, p in start.items() if n[0] == "b"})
    heads.load_state_dict({n[2:]: p for n, p in start.items() if n[0] == "h"})
    double = train(backbone, heads, batches, settings, torch.float64)
    tensors |= double

    tensors |= {f"final.heads.{n}": numpy(p) for n, p in heads.named_parameters()}
    for parameter, value in backbone.named_parameters():
        small = value.numel() < (2000 if bundled else 10_000)
        if small and not parameter.endswith("key.bias"):  # Its gradient is rounding noise, which AdamW blows up.
            tensors[f"final.{parameter}"] = numpy(value)
    if bundled:
        touched = np.unique(np.concatenate([ids for sequences, _ in batches for ids, _ in sequences]))
        untouched = np.setdiff1d(np.arange(backbone.config.vocab_size), touched)
        rows = np.sort(np.concatenate([rng.choice(touched, 24, False), rng.choice(untouched, 8, False)]))
        table = backbone.embeddings.word_embeddings.weight
        tensors["rows"] = rows.astype(np.int64)
        tensors["final_rows.embeddings.word_embeddings.weight"] = numpy(table[torch.from_numpy(rows)])

    path = GOLDEN / f"{name}.safetensors"
    save_file(tensors, path, metadata={"config": config, "settings": json.dumps(settings)})
    path.chmod(0o644)
    off = {k: np.nanmax(np.abs(single[k] / v - 1)) for k, v in double.items() if k != "rate_factor"}
    tokens = [int(tensors[f"batch.{i}.starts"][-1]) for i in range(STEPS)]
    print(f"{path.name}: {path.stat().st_size} bytes, {min(tokens)} to {max(tokens)} tokens a batch, loss "
          f"{double['loss'][0]:.4f} to {double['loss'][-1]:.4f}, gradient norm {double['gradient_norm'].min():.3f} to "
          f"{double['gradient_norm'].max():.3f}; f32 off by {off['loss']:.1e} (loss), {max(off.values()):.1e} (worst)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["training", "training_bundled"], help="which ones")
    args = parser.parse_args()
    if unknown := set(args.names) - {"training", "training_bundled"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name in args.names:
        write(name)


if __name__ == "__main__":
    main()
