#!/usr/bin/env python3
"""Opens a checkpoint with transformers and safetensors alone and prints what `mtl-zoo predict --format jsonl` prints.

    pip install torch transformers safetensors
    python scripts/check_python.py CHECKPOINT TEXT...
    mtl-zoo predict CHECKPOINT --input texts.txt --format jsonl > predicted.jsonl
    python scripts/check_python.py CHECKPOINT --compare predicted.jsonl      # texts, pairs and words of that file

With --compare, every number has to be within 1e-4 of the file's and every label and tag the same; else it says what
differs and exits with 1.
"""

import argparse
import json
import pathlib
import sys

import safetensors.torch
import torch
import transformers
from transformers import AutoModel, AutoTokenizer

TOLERANCE = 1e-4

# The heads are no part of transformers' model, which it would say at length.
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class Checkpoint:
    def __init__(self, folder):
        self.manifest = json.loads((folder / "mtl_zoo.json").read_text(encoding="utf-8"))
        self.heads = self.manifest["heads"]
        kwargs = {} if any(head["pooling"] == "pooler" for head in self.heads.values()) else {"add_pooling_layer": False}
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder, dtype=torch.float32, **kwargs).eval()
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        self.tensors = {name: tensor.float() for name, tensor in tensors.items() if name.startswith("heads.")}

    def run(self, *texts, **kwargs):
        # Lists of one, because a second text that is empty and alone would be taken for no second text.
        encoded = self.tokenizer(*([text] for text in texts), truncation=True, max_length=self.manifest["max_tokens"], return_tensors="pt",
                                 **kwargs)
        return encoded, self.model(**encoded)

    @torch.no_grad()
    def answer(self, item):
        """The answers to one input: an object with `text`, `text` and `pair`, or `tokens`."""
        is_pair = "pair" in item
        text = item["text"] if "text" in item else " ".join(item["tokens"])
        words = item["tokens"] if "tokens" in item else text.split()
        _, whole = self.run(text, item["pair"]) if is_pair else self.run(text)
        answers = {}
        for name, head in self.heads.items():
            if (head["input"] == "pair") != is_pair:
                continue
            weight, bias = self.tensors[f"heads.{name}.weight"], self.tensors[f"heads.{name}.bias"]
            if head["input"] == "words":
                encoded, out = self.run(words, is_split_into_words=True) if words else self.run("")
                probabilities = torch.softmax(out.last_hidden_state[0] @ weight.T + bias, -1)
                ids = encoded.word_ids(0)
                first = [ids.index(word) if word in ids else None for word in range(len(words))]
                best = [None if token is None else probabilities[token].max(0) for token in first]
                answers[name] = {
                    "tokens": words,
                    "tags": [None if top is None else head["labels"][top.indices.item()] for top in best],
                    "probabilities": [None if top is None else top.values.item() for top in best],
                }
                continue
            states = whole.last_hidden_state[0]
            state = {"cls": lambda: states[0], "mean": lambda: states.mean(0), "max": lambda: states.max(0).values,
                     "pooler": lambda: whole.pooler_output[0]}[head["pooling"]]()
            logits = weight @ state + bias
            if head["type"] == "regression":
                answers[name] = {"score": logits.item()}
            elif head["type"] == "classification":
                p = torch.softmax(logits, 0)
                answers[name] = {"label": head["labels"][p.argmax().item()],
                                 "probabilities": dict(zip(head["labels"], p.tolist()))}
            else:
                p = torch.sigmoid(logits)
                answers[name] = {"labels": [label for label, logit in zip(head["labels"], logits) if logit > 0],
                                 "probabilities": dict(zip(head["labels"], p.tolist()))}
        return item | {"heads": answers}


def differences(expected, found, where=""):
    """What differs, as lines; and the largest difference of two numbers."""
    if isinstance(expected, dict) and isinstance(found, dict) and list(expected) == list(found):
        pairs = [(f"{where}.{key}", expected[key], found[key]) for key in expected]
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [(f"{where}[{i}]", a, b) for i, (a, b) in enumerate(zip(expected, found))]
    elif all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (expected, found)):
        off = abs(expected - found)
        return ([] if off <= TOLERANCE else [f"{where}: {expected} in the file, {found} here"]), off
    else:
        return ([] if expected == found else [f"{where}: {expected!r} in the file, {found!r} here"]), 0.0
    results = [differences(a, b, at) for at, a, b in pairs]
    return [line for lines, _ in results for line in lines], max((off for _, off in results), default=0.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("text", nargs="*")
    parser.add_argument("--compare", type=pathlib.Path, metavar="FILE", help="what `mtl-zoo predict` has printed")
    args = parser.parse_args()
    predicted = []
    if args.compare:
        lines = args.compare.read_text(encoding="utf-8").split("\n")
        predicted = [json.loads(line) for line in lines if line.strip()]
    items = [{"text": text} for text in args.text]
    items = items or [{key: value for key, value in line.items() if key != "heads"} for line in predicted]
    if not items:
        parser.error("give texts, or --compare with a file that has some")
    if args.compare and len(items) != len(predicted):
        parser.error(f"{len(items)} texts, but {args.compare} has {len(predicted)} lines")

    checkpoint = Checkpoint(args.checkpoint)
    answers = [checkpoint.answer(item) for item in items]
    if not args.compare:
        for answer in answers:
            print(json.dumps(answer, ensure_ascii=False))
        return
    lines, off = differences(predicted, answers, args.compare.name)
    print("\n".join(lines[:20]), file=sys.stderr, end="\n" if lines else "")
    print(f"{len(items)} inputs, {len(lines)} differences, numbers within {off:.1e}")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
