"""A file of two gigabytes, which the client sends in parts."""

import os
import pathlib
import time

import wandb
from ladder import PROJECT, capability, equal, main, start, true

SIZE = 2 * 1024**3 + 12345


@capability("big.multipart", "a file of 2 GiB goes up in parts and comes down the same", seconds=400)
def _():
    import hashlib

    path = pathlib.Path("big.bin")
    chunk = os.urandom(1 << 20)
    digest = hashlib.sha256()
    with path.open("wb") as f:
        left = SIZE
        i = 0
        while left:
            part = (i.to_bytes(8, "big") + chunk[8:])[:left]  # no two parts are equal
            f.write(part)
            digest.update(part)
            left -= len(part)
            i += 1
    begin = time.monotonic()
    run = start(id="big")
    artifact = wandb.Artifact("big", "dataset")
    artifact.add_file(str(path), policy="immutable", skip_cache=True)
    run.log_artifact(artifact).wait()
    run.finish()
    up = time.monotonic() - begin
    equal(artifact.size, SIZE, "size")
    path.unlink()
    begin = time.monotonic()
    down = pathlib.Path(wandb.Api().artifact(f"{PROJECT}/big:v0").download(root="big-down", skip_cache=True)) / "big.bin"
    seconds = time.monotonic() - begin
    seen = hashlib.sha256()
    with down.open("rb") as f:
        while part := f.read(1 << 20):
            seen.update(part)
    down.unlink()
    equal(seen.hexdigest(), digest.hexdigest(), "SHA-256")
    return f"{SIZE / 1e6:.0f} MB: up {up:.1f} s ({SIZE / 1e6 / up:.0f} MB/s), down {seconds:.1f} s ({SIZE / 1e6 / seconds:.0f} MB/s)"


main()
