#!/usr/bin/env python3
"""Checks `mtl-zoo push` and `pull` against Python's huggingface_hub, on a Hub that the tests serve on this machine.

    pip install huggingface_hub
    cargo build --release
    python scripts/check_hub.py CHECKPOINT

Pushes the checkpoint; downloads it with huggingface_hub; lets huggingface_hub read the cache that `pull` filled, and `pull` the cache that
huggingface_hub filled, each without fetching a byte again. The same for a data set. No request leaves the machine.
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ID, SET, SET_FILE = "me/checked", "org/set", "data/train.csv"


def serve(port):
    """The server of `tests/hub`, which ends when its standard input does."""
    command = ["cargo", "test", "--release", "--locked", "--test", "hub", "--", "--ignored", "--exact", "serve_for_a_script"]
    environment = os.environ | {"MTL_ZOO_TEST_HUB": f"127.0.0.1:{port}"}
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    while server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.2)
    raise SystemExit("the server of tests/hub did not start")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def blobs(cache):
    """What would change if a blob were fetched again."""
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in cache.glob("*/blobs/*")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/mtl-zoo")
    arguments = parser.parse_args()
    port = free_port()
    # huggingface_hub reads these when it is imported.
    os.environ |= {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_TOKEN": "none", "HF_HUB_DISABLE_TELEMETRY": "1"}
    os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    import huggingface_hub

    server = serve(port)
    try:
        with tempfile.TemporaryDirectory() as folder:
            check(huggingface_hub, arguments, pathlib.Path(folder))
    finally:
        server.stdin.close()
        server.wait()


def check(hub, arguments, folder):
    ours, pythons = folder / "ours", folder / "pythons"

    def run(cache, *command, **environment):
        environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0"} | environment
        done = subprocess.run([arguments.program, *command, "--json"], env=environment, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    pushed = run(ours, "push", str(arguments.checkpoint), ID)
    sent = contents(arguments.checkpoint)
    print(f"pushed {len(sent)} files as commit {pushed['commit']}")

    got = pathlib.Path(hub.snapshot_download(ID, cache_dir=pythons))
    received = contents(got)
    assert got.name == pushed["commit"], got
    assert {name: received.get(name) for name in sent} == sent, "huggingface_hub got other bytes"
    hub.hf_hub_download(SET, SET_FILE, repo_type="dataset", cache_dir=pythons)
    print("huggingface_hub downloads what push published")

    run(ours, "pull", ID)
    run(ours, "pull", ID, "--include", "*")
    run(ours, "pull", "--dataset", SET)
    before = blobs(ours)
    offline = pathlib.Path(hub.snapshot_download(ID, cache_dir=ours, local_files_only=True))
    assert contents(offline) == received, "huggingface_hub reads other bytes from our cache"
    online = pathlib.Path(hub.snapshot_download(ID, cache_dir=ours))
    data = pathlib.Path(hub.hf_hub_download(SET, SET_FILE, repo_type="dataset", cache_dir=ours))
    scan = hub.scan_cache_dir(ours)
    assert online == offline and data.is_file() and blobs(ours) == before, "huggingface_hub fetched again what pull had"
    assert not scan.warnings and {repo.repo_id for repo in scan.repos} == {ID, SET}, scan
    print("huggingface_hub reads the cache that pull filled, and fetches nothing again")

    before = blobs(pythons)
    names = {path.name: path.resolve().name for path in got.iterdir()}
    assert names == {path.name: path.resolve().name for path in offline.iterdir()}, "blobs have other names"
    for environment in [{"HF_HUB_OFFLINE": "1"}, {"HF_HUB_OFFLINE": "0"}]:
        found = run(pythons, "pull", ID, **environment)
        assert (found["kind"], found["commit"]) == ("checkpoint", pushed["commit"]), found
        assert pathlib.Path(found["folder"]) == got, found
        assert run(pythons, "pull", "--dataset", SET, "--include", "*.csv", **environment)["files"] == [SET_FILE]
    assert blobs(pythons) == before, "pull fetched again what huggingface_hub had"
    print("pull reads the cache that huggingface_hub filled, and fetches nothing again")


if __name__ == "__main__":
    main()
