#!/usr/bin/env python3
"""Makes tests/data/pytorch/: small files as PyTorch writes them, and files that lie.

    pip install torch
    python scripts/make_pytorch_goldens.py

`zip.bin` and `legacy.bin` hold the same tensors, in PyTorch's format of today and in that of before 1.6; `expected.json`
says what they are. The others each break one promise. The same bytes every time, but for the older format, whose storages
are named by where they lay in memory.
"""

import collections
import io
import json
import os
import pathlib
import pickle
import struct
import zipfile

import torch

FOLDER = pathlib.Path(__file__).parent.parent / "tests/data/pytorch"


def tensors():
    """Names as the oldest models have them, a transposed view, a shared storage, every floating-point format."""
    numbers = torch.arange(24, dtype=torch.float32) / 8 - 1
    table = numbers.reshape(6, 4).clone()
    state = collections.OrderedDict()
    state["bert.embeddings.word_embeddings.weight"] = table
    state["bert.embeddings.LayerNorm.gamma"] = numbers[:4].clone()
    state["bert.embeddings.LayerNorm.beta"] = numbers[4:8].clone()
    state["bert.embeddings.position_ids"] = torch.arange(6).reshape(1, 6)
    state["bert.encoder.layer.0.output.dense.weight"] = numbers[:12].reshape(3, 4).clone().t()
    state["bert.pooler.dense.bias"] = numbers[10:14]
    state["half"] = numbers[:3].half()
    state["brain"] = numbers[:3].bfloat16()
    state["double"] = numbers[:3].double() + 1e-12
    state["cls.predictions.decoder.weight"] = table
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.zeros(0, 4)
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    return state


def save(name, value, **kwargs):
    torch.save(value, FOLDER / name, **kwargs)


def rezip(name, change, compression=zipfile.ZIP_STORED):
    """zip.bin with another pickle."""
    with zipfile.ZipFile(FOLDER / "zip.bin") as old, zipfile.ZipFile(FOLDER / name, "w", compression) as new:
        for entry in sorted(old.namelist()):
            data = old.read(entry)
            # A fixed time: the same bytes whenever this runs.
            new.writestr(zipfile.ZipInfo(entry), change(data) if entry.endswith("data.pkl") else data, compression)


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def storage(key="0", numbers=4, kind=b"FloatStorage"):
    """Instructions that push a storage."""
    text = lambda t: b"X" + struct.pack("<I", len(t)) + t.encode()
    return b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text(key) + text("cpu") + b"J" + struct.pack("<i", numbers) + b"tQ"


def view(shape, strides, offset=0, **kwargs):
    """A whole pickle of one tensor."""
    numbers = lambda values: b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", v) for v in values) + b"t"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(**kwargs) + b"\x8a\x08" + struct.pack("<q", offset)
    rebuilt += numbers(shape) + numbers(strides) + b"\x89" + b"N" + b"tR"
    return b"\x80\x02}X\x01\x00\x00\x00w" + rebuilt + b"s."


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    state = tensors()
    save("zip.bin", state)
    save("legacy.bin", state, _use_new_zipfile_serialization=False)
    expected = {
        name: {"shape": list(tensor.shape), "values": tensor.flatten().float().tolist()}
        for name, tensor in state.items()
        if tensor.is_floating_point()
    }
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")

    save("system.bin", {"w": torch.zeros(2), "x": Call(os.system, "touch pickle-was-run")})
    save("system_legacy.bin", Call(os.system, "touch pickle-was-run"), _use_new_zipfile_serialization=False)
    save("eval.bin", {"w": Call(eval, "__import__('os').system('touch pickle-was-run')")})
    save("list.bin", [torch.zeros(2)])
    save("integers.bin", {"w": torch.arange(3)})
    save("nan.bin", {"w": torch.tensor([0.0, float("nan")])})
    (FOLDER / "truncated.bin").write_bytes((FOLDER / "zip.bin").read_bytes()[:-400])
    (FOLDER / "truncated_legacy.bin").write_bytes((FOLDER / "legacy.bin").read_bytes()[:-40])
    (FOLDER / "pointer.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 440473133\n")
    rezip("compressed.bin", lambda data: data, zipfile.ZIP_DEFLATED)

    for name, made in {
        "absurd_shape.bin": view([1 << 40, 1 << 40], [1, 1]),
        "large_shape.bin": view([1 << 33], [1]),
        "expanded.bin": view([1 << 33], [0]),
        "negative.bin": view([-1], [1]),
        "offset.bin": view([4], [1], offset=(1 << 62)),
        "large_storage.bin": view([4], [1], numbers=2**31 - 1),
        "no_storage.bin": view([4], [1], key="nowhere"),
        # Each line doubles a tuple: 2**200 values if they were copied.
        "laughs.bin": b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 200 + b".",
        "deep.bin": b"\x80\x02)" + b"\x85" * 1000 + b".",
        "long_text.bin": b"\x80\x02X\xff\xff\xff\xffa.",
        "few_arguments.bin": b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n)Rs.",
        "empty.bin": b"",
        "no_stop.bin": b"\x80\x02}",
        "unknown.bin": b"\x80\x02\x92.",
        "marks.bin": b"\x80\x02((tt000.",
        "instance.bin": b"\x80\x02(i" + b"os\nsystem\n.",
    }.items():
        rezip(name, lambda _, made=made: made)
    # One tensor of a whole storage under ever more names.
    tensor = view([24], [1], numbers=24)[len(b"\x80\x02}X\x01\x00\x00\x00w") : -2]
    names = b"".join(b"X\x03\x00\x00\x00%03dh\x00" % n for n in range(600))
    many = b"\x80\x02}(X\x01\x00\x00\x00w" + tensor + b"q\x00" + names + b"u."
    rezip("many_names.bin", lambda _: many)
    print(*sorted(f"{path.name} {path.stat().st_size}" for path in FOLDER.iterdir()), sep="\n")


if __name__ == "__main__":
    main()
