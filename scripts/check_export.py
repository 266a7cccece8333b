#!/usr/bin/env python3
"""Opens what `mtl-zoo export` writes with transformers and sentence-transformers, and compares with `mtl-zoo predict`.

    pip install torch transformers sentence-transformers safetensors
    python scripts/check_export.py target/release/mtl-zoo                   # trains a small model with heads of every kind
    python scripts/check_export.py target/release/mtl-zoo CHECKPOINT...     # or takes yours

Each head is exported in f32, f16 and bf16, and asked in one padded batch, some inputs longer than the limit. Python
computes in f32. Every number has to be within 1e-4 of predict's in f32, and within 1e-2 in f16 and 5e-2 in bf16, which
round the weights to 11 and 8 bits; labels have to be the same in f32. Exits with 1 if anything differs.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import safetensors.torch
import torch
import transformers
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    BertModel,
)

TOLERANCE = {"f32": 1e-4, "f16": 1e-2, "bf16": 5e-2}
ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXTS = [
    "a fine film",
    "Too long, and dull!",
    "the best coffee in town; cold soup, slow waiter, but naïve café tables and 3.14 of 日本語",
    " ".join(f"word number {n} of a text that is longer than the limit" for n in range(8)),
    "",
    "meh",
]

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

# transformers 5 gave the argument a new name.
F32 = {"dtype" if int(transformers.__version__.split(".")[0]) > 4 else "torch_dtype": torch.float32}


class Program:
    """The program under test."""

    def __init__(self, path):
        self.path = path.resolve()

    def __call__(self, *args, code=0):
        done = subprocess.run([self.path, *map(str, args)], capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        if done.returncode != code:
            sys.exit(f"mtl-zoo {' '.join(map(str, args))}: code {done.returncode}\n{done.stderr}")
        return done.stdout if code == 0 else done.stderr

    def predict(self, checkpoint, items, head):
        """The head's answer to each item."""
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "inputs.jsonl"
            file.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
            lines = self("predict", checkpoint, "--input", file, "--head", head, "--format", "jsonl").split("\n")
        return [json.loads(line)["heads"][head] for line in lines if line]


def make_checkpoint(program, folder):
    """A small BERT with a pooler, trained for a few steps on heads of every kind and pooling."""
    torch.manual_seed(1)
    bundled = ROOT / "zoo/bundled/backbone"
    config = BertConfig(vocab_size=8960, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
                        max_position_embeddings=64, pad_token_id=0)
    BertModel(config).save_pretrained(folder / "backbone")
    # No tokenizer_config.json: the export has to make one.
    (folder / "backbone/tokenizer.json").write_bytes((bundled / "tokenizer.json").read_bytes())
    rows = [(f"{TEXTS[n % 3]} number {n}", n) for n in range(24)]
    write = lambda name, lines: (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    quote = json.dumps
    labels = ["film", "food", "musik ü"]
    write("topic.jsonl", [quote({"text": text, "label": labels[n % 3]}) for text, n in rows])
    write("flags.jsonl", [quote({"text": text, "label": [f for f, k in [("short", 2), ("warm", 3)] if n % k]}) for text, n in rows])
    write("stars.jsonl", [quote({"text": text, "label": n % 5 + 0.5}) for text, n in rows])
    write("pairs.jsonl", [quote({"text": text, "pair": f"it is {n % 3}", "label": ["yes", "no"][n % 2], "score": n % 4}) for text, n in rows])
    write("names.jsonl", [quote({"tokens": ["Ada", "met", f"Bobbylonska{n}"], "tags": ["B-PER", "O", ["B-PER", "O"][n % 2]]}) for _, n in rows])
    tasks = {}
    for pooling in ["mean", "cls", "max", "pooler"]:
        tasks[f"topic_{pooling}"] = f'type = "classification"\ntrain = "topic.jsonl"\npooling = "{pooling}"'
        tasks[f"flags_{pooling}"] = f'type = "multi_label"\ntrain = "flags.jsonl"\npooling = "{pooling}"'
        tasks[f"stars_{pooling}"] = f'type = "regression"\ntrain = "stars.jsonl"\npooling = "{pooling}"'
        columns = 'columns = { text = "text", pair = "pair" }'
        tasks[f"entails_{pooling}"] = f'type = "classification"\ntrain = "pairs.jsonl"\npooling = "{pooling}"\n{columns}'
    tasks["names"] = 'type = "token_classification"\ntrain = "names.jsonl"'
    recipe = ['[backbone]\nid = "./backbone"\nmax_tokens = 24',
              "[training]\nsteps = 40\nbatch_tokens = 512\nlearning_rate = 3e-3\nevaluate_every = 40"]
    recipe += [f"[tasks.{name}]\n{task}\nvalidation = 0.25" for name, task in tasks.items()]
    write("recipe.toml", ["\n\n".join(recipe)])
    program("finetune", folder / "recipe.toml", "--out", folder / "run")
    return folder / "run/checkpoint"


def inputs(kind):
    if kind == "pair":
        return [{"text": text, "pair": other} for text, other in zip(TEXTS, TEXTS[::-1]) if text and other]
    if kind == "words":
        return [{"tokens": text.split()} for text in TEXTS if text]
    return [{"text": text} for text in TEXTS]


def encode(tokenizer, items, kind, max_tokens):
    if tokenizer.model_max_length != max_tokens:
        sys.exit(f"model_max_length is {tokenizer.model_max_length}, expected {max_tokens}")
    kwargs = {"padding": True, "truncation": True, "return_tensors": "pt"}
    if kind == "pair":
        return tokenizer([item["text"] for item in items], [item["pair"] for item in items], **kwargs)
    if kind == "words":
        return tokenizer([item["tokens"] for item in items], is_split_into_words=True, **kwargs)
    return tokenizer([item["text"] for item in items], **kwargs)


def answers(head, items, encoded, logits, labels):
    """The answers as predict gives them."""
    for row, item in enumerate(items):
        if head["type"] == "classification":
            p = logits[row].softmax(-1)
            yield {"label": labels[p.argmax().item()], "probabilities": dict(zip(labels, p.tolist()))}
        elif head["type"] == "multi_label":
            p = logits[row].sigmoid()
            yield {"labels": [label for label, x in zip(labels, logits[row]) if x > 0], "probabilities": dict(zip(labels, p.tolist()))}
        elif head["type"] == "regression":
            yield {"score": logits[row, 0].item()}
        else:
            p, ids = logits[row].softmax(-1), encoded.word_ids(row)
            best = [p[ids.index(word)].max(0) if word in ids else None for word in range(len(item["tokens"]))]
            yield {"tokens": item["tokens"], "tags": [top and labels[top.indices.item()] for top in best],
                   "probabilities": [top and top.values.item() for top in best]}


def distance(one, other, names=True):
    """The largest difference of two numbers; infinite where something else differs, of names only if they count."""
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return abs(one - other)
    if isinstance(one, dict) and isinstance(other, dict) and list(one) == list(other):
        return max((distance(one[key], other[key], names) for key in one), default=0.0)
    if isinstance(one, list) and isinstance(other, list) and (len(one) == len(other) or not names):
        return max((distance(a, b, names) for a, b in zip(one, other)), default=0.0)
    return 0.0 if one == other or not names else float("inf")


class Report:
    def __init__(self):
        self.failed = 0

    def line(self, what, off, limit):
        self.failed += not off <= limit
        print(f"{'ok ' if off <= limit else 'BAD'} {what}: within {off:.1e}, limit {limit:.0e}")


@torch.no_grad()
def check_head(program, checkpoint, manifest, name, folder, report):
    head = manifest["heads"][name]
    kind = head["input"]
    items = inputs(kind)
    expected = program.predict(checkpoint, items, name)
    for dtype, limit in TOLERANCE.items():
        out = folder / f"{name}-{dtype}"
        made = json.loads(program("export", checkpoint, "--head", name, "--format", "transformers", "--dtype", dtype, "--out", out, "--json"))
        auto = AutoModelForTokenClassification if kind == "words" else AutoModelForSequenceClassification
        kwargs = {"trust_remote_code": True} if made["remote_code"] else {}
        if made["remote_code"] and dtype == "f32":
            try:
                auto.from_pretrained(out, trust_remote_code=False)
                sys.exit(f"{out}: opened with a standard class, which reads another state")
            except ValueError as error:
                assert "trust_remote_code" in str(error), error
        model, loaded = auto.from_pretrained(out, **F32, output_loading_info=True, **kwargs)
        odd = {key: list(value) for key, value in loaded.items() if value and key in ("missing_keys", "unexpected_keys", "mismatched_keys")}
        if odd or type(model).__name__ != made["class"]:
            sys.exit(f"{out}: {type(model).__name__}, {odd}")
        encoded = encode(AutoTokenizer.from_pretrained(out, **kwargs), items, kind, manifest["max_tokens"])
        labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
        if labels != (head["labels"] or [name]):
            sys.exit(f"{out}: labels {labels}")
        found = list(answers(head, items, encoded, model.eval()(**encoded).logits, labels))
        off = max(distance(a, b, names=dtype == "f32") for a, b in zip(expected, found))
        report.line(f"transformers {dtype} {name} ({head['type']}, {kind}, {head['pooling']}, {made['class']})", off, limit)
        if dtype == "f32" and kind == "text":
            check_pipeline(out, head, kwargs, expected, name, report)


def check_pipeline(out, head, kwargs, expected, name, report):
    """The line that most people write."""
    pipe = transformers.pipeline("text-classification", model=str(out), device="cpu", **F32, **kwargs)
    rows = pipe(TEXTS, top_k=None, truncation=True)
    found = [{entry["label"]: entry["score"] for entry in row} for row in rows]
    wanted = [{name: answer["score"]} if head["type"] == "regression" else answer["probabilities"] for answer in expected]
    off = max(abs(a[label] - b[label]) for a, b in zip(wanted, found) for label in a)
    report.line(f"pipeline {name}", off, TOLERANCE["f32"])


@torch.no_grad()
def check_encoder(program, checkpoint, manifest, folder, report):
    from sentence_transformers import SentenceTransformer

    tensors = {key: value.float() for key, value in safetensors.torch.load_file(checkpoint / "model.safetensors").items()}
    heads = {name: head for name, head in manifest["heads"].items() if head["input"] == "text"}
    for pooling in sorted({head["pooling"] for head in heads.values()}):
        out = folder / f"encoder-{pooling}"
        program("export", checkpoint, "--format", "sentence-transformers", "--pooling", pooling, "--dtype", "f32", "--out", out)
        model = SentenceTransformer(str(out), device="cpu")
        if model.max_seq_length != manifest["max_tokens"]:
            sys.exit(f"{out}: max_seq_length {model.max_seq_length}")
        states = model.encode(TEXTS, convert_to_tensor=True)
        for name, head in heads.items():
            if head["pooling"] == pooling:
                logits = states @ tensors[f"heads.{name}.weight"].T + tensors[f"heads.{name}.bias"]
                found = answers(head, inputs("text"), None, logits, head["labels"])
                expected = program.predict(checkpoint, inputs("text"), name)
                off = max(distance(a, b) for a, b in zip(expected, found))
                report.line(f"sentence-transformers {pooling}, with head {name}", off, TOLERANCE["f32"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("checkpoint", type=pathlib.Path, nargs="*")
    args = parser.parse_args()
    program, report = Program(args.program), Report()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for index, checkpoint in enumerate(args.checkpoint or [make_checkpoint(program, folder)]):
            manifest = json.loads((checkpoint / "mtl_zoo.json").read_text(encoding="utf-8"))
            exports = folder / f"exports-{index}"
            for name in manifest["heads"]:
                check_head(program, checkpoint, manifest, name, exports, report)
            check_encoder(program, checkpoint, manifest, exports, report)
    print(f"transformers {transformers.__version__}: {report.failed} differences")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
