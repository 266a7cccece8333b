#!/usr/bin/env python3
"""Writes tests/golden/bert_*.safetensors: what PyTorch's BERT answers, and the gradient of every parameter.

    pip install torch "transformers==4.46.3" numpy safetensors
    python scripts/make_bert_goldens.py                # all of them
    python scripts/make_bert_goldens.py relu bundled   # some

transformers 5 has no relative position embeddings any more, hence the old version: the same numbers as the new one for
the rest. Transformers gets a padded batch with an attention mask; what is stored is packed end to end, without padding.
All is computed in f64, in eval mode, and stored as f32.

Loss: sum(hidden * cotangent.hidden) + sum(pooled * cotangent.pooled). Tensors of a file, N tokens in S sequences:

    param.NAME         every parameter, under its name on the Hub (bert_bundled: not stored, see zoo/bundled/backbone)
    ids, type_ids [N], starts [S + 1]                                 u32
    hidden [N, H], pooled [S, H], cotangent.hidden, cotangent.pooled  pooled only where there is a pooler
    grad.NAME          gradient of the loss; zeros for a parameter that is not used (relative_*: position_embeddings),
                       and some 1e-16 for a key's bias, which softmax ignores (not in relative_key_query)

bert_bundled has instead of grad.NAME: norm.NAME, the gradient's L2 norm; at.NAME, 256 flat indices (i64; of word
embeddings only rows that occur); value.NAME, the gradient there. Metadata `config` is the text of config.json.
"""

import argparse
import json
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
BUNDLED = ROOT / "zoo" / "bundled" / "backbone"

SMALL = dict(hidden_size=32, num_attention_heads=4, num_hidden_layers=2, intermediate_size=64, vocab_size=100,
             max_position_embeddings=160, type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12,
             initializer_range=0.3, pad_token_id=0)
CONFIGS = {
    "absolute": {},
    "no_pooler": {},
    "gelu_new": dict(hidden_act="gelu_new"),
    "relu": dict(hidden_act="relu"),
    "relative_key": dict(position_embedding_type="relative_key"),
    "relative_key_query": dict(position_embedding_type="relative_key_query"),
    "wide": dict(hidden_size=48, num_attention_heads=3, intermediate_size=36, vocab_size=51,
                 max_position_embeddings=131, type_vocab_size=3, layer_norm_eps=1e-5),
}
# (tokens, how many of them are the second text's): a pair, one token, the longest of 128, short ones.
SHAPES = [(17, 8), (1, 0), (128, 60), (2, 0), (30, 0), (9, 3), (23, 11), (3, 1), (5, 0)]


def sequences(rng, vocabulary, segments, special=()):
    """Random token and segment ids a sequence; never id 0, which is padding. `special` are [CLS] and [SEP]."""
    for index, (length, second) in enumerate(SHAPES):
        ids = rng.integers(1, vocabulary, length)
        types = np.zeros(length, np.int64)
        types[length - second:] = 1
        if segments > 2 and index in (4, 6):
            types[-5:] = 2
        if special:
            cls, sep = special
            ids[0] = cls
            if length > 1:
                ids[-1] = sep
            if second:
                ids[length - second - 1] = sep
        yield ids, types


def forward(model, batch, hidden_cotangent, pooled_cotangent):
    """Runs the padded batch; returns the packed hidden states and the pooled ones, with all gradients set."""
    lengths = [len(ids) for ids, _ in batch]
    ids = torch.zeros(len(batch), max(lengths), dtype=torch.long)
    types, mask = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, (tokens, segments) in enumerate(batch):
        ids[row, :len(tokens)] = torch.from_numpy(tokens)
        types[row, :len(tokens)] = torch.from_numpy(segments)
        mask[row, :len(tokens)] = 1
    out = model(input_ids=ids, token_type_ids=types, attention_mask=mask)
    hidden = out.last_hidden_state[mask.bool()]
    loss = (hidden * hidden_cotangent.to(hidden.dtype)).sum()
    pooled = out.pooler_output
    if pooled is not None:
        loss = loss + (pooled * pooled_cotangent.to(pooled.dtype)).sum()
    model.zero_grad(set_to_none=True)
    loss.backward()
    return hidden.detach(), None if pooled is None else pooled.detach()


def gradients(model):
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def as_f32(tensor):
    return tensor.detach().to(torch.float32).numpy().copy()


def small_model(name, seed):
    """A random model in which nothing is 0 or 1: biases and LayerNorms are random as well. Rounded to f32."""
    settings = SMALL | CONFIGS[name]
    config = BertConfig(**settings)
    torch.manual_seed(seed)
    model = BertModel(config, add_pooling_layer=name != "no_pooler")
    with torch.no_grad():
        for parameter, value in model.named_parameters():
            value.normal_(0.0, config.initializer_range)
            if parameter.endswith("LayerNorm.weight"):
                value.add_(1.0)
    text = {"architectures": ["BertModel"], "model_type": "bert", "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1, "position_embedding_type": "absolute"} | settings
    return model, json.dumps(text, indent=2)


def bundled_model():
    text = (BUNDLED / "config.json").read_text()
    model = BertModel(BertConfig(**json.loads(text)))
    stored = {k.removeprefix("bert."): v for k, v in load_file(BUNDLED / "model.safetensors").items()}
    missing, unexpected = model.load_state_dict({k: v.float() for k, v in stored.items()}, strict=False)
    assert not missing or all(k.startswith("pooler.") for k in missing), missing
    assert all(k.endswith("position_ids") for k in unexpected), unexpected
    if missing:
        model.pooler = None
    return model, text


def write(name, seed):
    bundled = name == "bundled"
    model, config = bundled_model() if bundled else small_model(name, seed)
    model.eval()
    if name.startswith("relative") and not hasattr(model.encoder.layer[0].attention.self, "distance_embedding"):
        raise SystemExit(f"{name}: this version of transformers has no relative position embeddings; use 4.46.3")

    rng = np.random.default_rng(seed)
    special = ()
    if bundled:
        words = (BUNDLED / "vocab.txt").read_text(encoding="utf-8").split("\n")
        special = (words.index("[CLS]"), words.index("[SEP]"))
    batch = list(sequences(rng, model.config.vocab_size, model.config.type_vocab_size, special))
    ids = np.concatenate([tokens for tokens, _ in batch])
    generator = torch.Generator().manual_seed(seed)
    hidden_cotangent = torch.randn(len(ids), model.config.hidden_size, generator=generator)
    pooled_cotangent = torch.randn(len(batch), model.config.hidden_size, generator=generator)

    forward(model, batch, hidden_cotangent, pooled_cotangent)
    single = gradients(model)
    model.double()
    hidden, pooled = forward(model, batch, hidden_cotangent, pooled_cotangent)
    double = gradients(model)

    tensors = {
        "ids": ids.astype(np.uint32),
        "type_ids": np.concatenate([types for _, types in batch]).astype(np.uint32),
        "starts": np.cumsum([0] + [len(tokens) for tokens, _ in batch]).astype(np.uint32),
        "hidden": as_f32(hidden),
        "cotangent.hidden": as_f32(hidden_cotangent),
    }
    if pooled is not None:
        tensors["pooled"] = as_f32(pooled)
        tensors["cotangent.pooled"] = as_f32(pooled_cotangent)
    for parameter, value in model.named_parameters():
        gradient = double[parameter]
        if not bundled:
            tensors[f"param.{parameter}"] = as_f32(value)
            tensors[f"grad.{parameter}"] = as_f32(gradient)
            continue
        width = gradient.shape[-1]
        if parameter == "embeddings.word_embeddings.weight":
            at = rng.choice(np.unique(ids), 256) * width + rng.integers(0, width, 256)
        else:
            at = rng.integers(0, gradient.numel(), 256)
        at = np.sort(at).astype(np.int64)
        tensors[f"norm.{parameter}"] = as_f32(gradient.norm())
        tensors[f"at.{parameter}"] = at
        tensors[f"value.{parameter}"] = as_f32(gradient.flatten()[torch.from_numpy(at)])

    path = GOLDEN / f"bert_{name}.safetensors"
    save_file(tensors, path, metadata={"config": config})
    path.chmod(0o644)
    # How far PyTorch's own f32 is from f64, so that a reader knows which tolerance is fair. Gradients that are zero but
    # for rounding (a key's bias adds the same to every score of a query, which softmax ignores) are left out.
    largest = max(gradient.norm() for gradient in double.values())
    off = {n: float((single[n].double() - g).norm() / g.norm()) for n, g in double.items() if g.norm() > 1e-6 * largest}
    worst = max(off, key=off.get)
    zero = [name for name in double if name not in off]
    print(f"{path.name}: {path.stat().st_size} bytes, {len(ids)} tokens, {len(batch)} sequences, f32 gradients off by "
          f"{off[worst]:.1e} ({worst}); zero gradients: {', '.join(zero) or 'none'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*CONFIGS, "bundled"]
    parser.add_argument("names", nargs="*", default=names, help=f"which ones: {', '.join(names)}")
    args = parser.parse_args()
    unknown = set(args.names) - set(names)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    torch.set_num_threads(1)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name in args.names:
        write(name, seed=11 + names.index(name))


if __name__ == "__main__":
    main()
