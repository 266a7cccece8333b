#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets to fuzz/seeds/: small inputs that reach deep. Needs pyarrow.

    python scripts/make_fuzz_seeds.py
"""

import io
import json
import shutil
import struct
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PYTORCH = Path(__file__).resolve().parent.parent / "tests" / "data" / "pytorch"
SEEDS = Path(__file__).resolve().parent.parent / "fuzz" / "seeds"

TASK = '[tasks.a]\ntype = "classification"\ntrain = "a.csv"\n'
RECIPES = {
    "smallest": TASK,
    "shorthand": 'backbone = "./models/mine"\nsampling = { method = "uniform" }\n' + TASK,
    "card": '[tasks.mine]\ncard = "vader-nyt"\nlimit = 10\ncolumns.label = "rating"\n#set tasks.mine.weight=2\n',
    "overrides": "#set training.seed=1\n#set backbone=org/b@r2\n#set tasks.a.labels=[\"x\", \"y\"]\n"
    "#set sampling.method=temperature\n" + TASK,
    "power": '[sampling]\nmethod = "power"\npower = 0.5\ncap = 1000\n' + TASK,
    "annealed": 'sampling = { method = "annealed", from = 1.0, to = 0.2 }\nbackbone.freeze = "all"\n' + TASK,
    "everything": """name = "all"
checkpoint.dtype = "bf16"
[backbone]
id = "org/name@abc"
max_tokens = 64
dropout = 0.2
attention_dropout = 0.0
freeze = 2
[training]
seed = 9_007_199_254_740_993
epochs = 2
steps = 10
batch_tokens = 256
accumulate = 2
learning_rate = 1e-4
head_learning_rate = 1e-3
layer_decay = 0.9
weight_decay = 0
betas = [0.8, 0.99]
epsilon = 1e-7
schedule = "cosine"
warmup = 0.06
clip = 0.5
evaluate_every = 5
patience = 3
save_every = 2
dtype = "f32"
threads = 2
[sampling]
method = "fixed"
weights = { one = 1, two = 0.3 }
[balance]
method = "fixed"
weights.one = 2.5
[tasks.one]
type = "classification"
train = ["x.csv", "../y.csv"]
validation = "v.csv"
test = 0.25
format = "csv"
columns = { text = "Satz", pair = "zweiter Satz", label = "\\u00e4", tokens = "t", tags = "g", separator = "," }
labels = ["no", "y\\"es\\n"]
limit = 100
split_seed = 7
pooling = "cls"
dropout = 0.3
weight = 0.7
class_weights = { no = 0.1 }
label_smoothing = 0.1
metrics = ["macro_f1", "accuracy"]
[tasks.two]
type = "token_classification"
train = "/abs/x.jsonl"
validation = 0.2
class_weights = "balanced"
""",
}

DATA = {
    "csv_classes": b'cc\ntext,label\nplain "stray",a\n\n"two\r\nlines, ""quoted""",b\n',
    "csv_given": b"cC\nlabel,text\n0,x\nb,y\n",
    "csv_pairs": b"cp\ntext,pair,label\nx,y,1\nz,w,0.5\n",
    "tsv_values": b"tr\ntext\tlabel\nx\t-1.5\ny\t1e3\n",
    "tsv_labels": b"tm\n\xef\xbb\xbftext\tlabel\r\nx\ta b\r\ny\t\r\n",
    "tsv_tags": b"tk\ntokens\ttags\nIn Bonn now\tO B-X O\n",
    "jsonl_classes": b'jc\n{"text": "x", "label": 1}\n\n{"label": true, "text": "\\u00e9", "more": [{}]}\n',
    "jsonl_pairs": b'jP\n{"text": "x", "pair": "y", "label": "a"}\n',
    "jsonl_labels": b'jM\n{"text": "x", "label": []}\n{"text": 3, "label": ["a", 1]}\n',
    "jsonl_values": b'jr\n{"text": "x", "label": 1e-3}\n{"text": "x", "label": "2"}\n',
    "jsonl_tags": b'jK\n{"tokens": ["In", "Bonn"], "tags": ["O", "B-X"]}\n{"tokens": "a", "tags": [0]}\n',
}


def parquet(columns, **options):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def parquets():
    text = ["x", "y", "x"]
    yield "classes", b"pc\n", {"text": text, "label": [1, 0, None]}, {"compression": "none", "use_dictionary": False}
    yield "dictionary", b"pC\n", {"text": text, "label": ["a", "b", "a"]}, {"compression": "snappy"}
    yield "values", b"pr\n", {"text": text, "label": pa.array([0.5, 1, -2], pa.float32())}, {"compression": "zstd"}
    yield "labels", b"pm\n", {"text": text, "label": [["a"], [], ["a", "b"]]}, {"compression": "gzip"}
    tags = pa.array([[0, 1], [1], [0]], pa.list_(pa.int8()))
    yield "tags", b"pk\n", {"tokens": [["In", "Bonn"], ["a"], ["b"]], "tags": tags}, {"data_page_version": "2.0"}


def tensor_file(tensors, metadata=None, dtype="F32"):
    """A safetensors file: tensors is a list of (name, shape)."""
    width = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}[dtype]
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for number, (name, shape) in enumerate(tensors):
        count = 1
        for size in shape:
            count *= size
        bytes_ = bytes((number * 7 + i * 13) % 61 for i in range(count * width))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "##b"]
HIDDEN, INNER = 4, 4
CONFIG = {
    "model_type": "bert",
    "vocab_size": len(VOCABULARY),
    "hidden_size": HIDDEN,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": INNER,
    "max_position_embeddings": 8,
    "type_vocab_size": 2,
}
TOKENIZER = {
    "version": "1.0",
    "added_tokens": [{"id": 2, "special": True, "content": "[CLS]", "single_word": False, "lstrip": False,
                      "rstrip": False, "normalized": False}],
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                   "strip_accents": None, "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                   {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
        "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                 {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                           "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}},
    },
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
              "max_input_chars_per_word": 100, "vocab": {word: i for i, word in enumerate(VOCABULARY)}},
}


def bert(heads):
    tensors = [(f"embeddings.{table}_embeddings.weight", [size, HIDDEN])
               for table, size in [("word", len(VOCABULARY)), ("position", 8), ("token_type", 2)]]
    layer = "encoder.layer.0."
    linears = {"attention.self.query": (HIDDEN, HIDDEN), "attention.self.key": (HIDDEN, HIDDEN),
               "attention.self.value": (HIDDEN, HIDDEN), "attention.output.dense": (HIDDEN, HIDDEN),
               "intermediate.dense": (INNER, HIDDEN), "output.dense": (HIDDEN, INNER)}
    for name, shape in linears.items():
        tensors += [(f"{layer}{name}.weight", list(shape)), (f"{layer}{name}.bias", [shape[0]])]
    for norm in ["embeddings.LayerNorm", layer + "attention.output.LayerNorm", layer + "output.LayerNorm"]:
        tensors += [(norm + ".weight", [HIDDEN]), (norm + ".bias", [HIDDEN])]
    for name, outputs in heads.items():
        tensors += [(f"heads.{name}.weight", [outputs, HIDDEN]), (f"heads.{name}.bias", [outputs])]
    return tensors


def manifest(heads):
    digest = "0" * 64
    scores = {"validation": {"accuracy": 0.5}, "test": {"accuracy": None}}
    return {
        "format": "1.0",
        "backbone": {"id": "org/tiny", "revision": "abc", "family": "bert", "sha256": digest},
        "max_tokens": 8,
        "heads": {name: {"type": kind, "input": reads, "labels": labels, "pooling": pooling, "loss": "x",
                         "metrics": scores} for name, (kind, reads, labels, pooling) in heads.items()},
        "balance": {"method": "equal"},
        "data": {"topic": {"train": {"rows": 3, "sha256": digest}}},
        "training": {"seed": 0, "steps": 1, "tokens": 9, "best_step": 1},
        "versions": {"mtl_zoo": "0.1.0", "candle": "0.11.1"},
        "recipe": {"name": "seed"},
        "sha256": {name: digest for name in ["model.safetensors", "config.json", "tokenizer.json"]},
    }


def checkpoint(heads, dtype="F32"):
    outputs = {name: max(1, len(head[2])) for name, head in heads.items()}
    parts = [manifest(heads), CONFIG, TOKENIZER]
    parts = [json.dumps(part, separators=(",", ":")).encode() for part in parts]
    return b"\n====\n".join([*parts, tensor_file(bert(outputs), {"format": "pt"}, dtype)])


def checkpoints():
    texts = {"topic": ("classification", "text", ["a", "b"], "cls"), "mood": ("multi_label", "text", ["x"], "max"),
             "score": ("regression", "text", [], "mean")}
    words = {"tags": ("token_classification", "words", ["O", "B-X"], "mean")}
    yield "folder_texts", checkpoint(texts)
    yield "folder_words", checkpoint(words, "F16")
    yield "folder_pairs", checkpoint({"same": ("regression", "pair", [], "mean")}, "BF16")
    yield "manifest", json.dumps(manifest({**texts, **words}), separators=(",", ":")).encode()
    yield "tensors", tensor_file([("b", [2, 2]), ("a", [3]), ("empty", [0, 4])], {"format": "pt"})
    yield "tensors_f16", tensor_file([("heads.a.weight", [1, 2])], dtype="F16")
    yield "tensors_i64", tensor_file([("ids", [2]), ("scalar", [])], dtype="I64")


def pytorch():
    """The tests' files, and the pickles in them without their archive and its checksums."""
    for path in sorted(PYTORCH.glob("*.bin")):
        if not zipfile.is_zipfile(path):
            yield path.stem, path.read_bytes()
            continue
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if pickles and archive.getinfo(pickles[0]).file_size < 1 << 16:
                yield f"{path.stem}_pickle", b"pickle\n" + archive.read(pickles[0])
    yield "zip", (PYTORCH / "zip.bin").read_bytes()


def main():
    shutil.rmtree(SEEDS, ignore_errors=True)
    seeds = {f"recipe/{name}.toml": text.encode() for name, text in RECIPES.items()}
    seeds |= {f"data/{name}": content for name, content in DATA.items()}
    seeds |= {f"data/parquet_{name}": head + parquet(table, **options) for name, head, table, options in parquets()}
    seeds |= {f"checkpoint/{name}": content for name, content in checkpoints()}
    seeds |= {f"pytorch/{name}": content for name, content in pytorch()}
    for name, content in seeds.items():
        path = SEEDS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    print(f"{len(seeds)} seeds, {sum(map(len, seeds.values()))} bytes, in {SEEDS}")


if __name__ == "__main__":
    main()
