"""What 256 MiB cost the gateway in memory: PUT and GET of one object by an unmodified boto3, over http and over https.

    python benchmarks/transfer_memory.py [--mib 256] [--json FILE]

RSS of the gateway is sampled every 5 ms; growth is its peak over what it was before the transfer, and the bytes that came back
are compared by their hash. One object of 1 MiB goes before, so that what is loaded once is not counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from support.platform import Platform, load_average, memory_mib  # noqa: E402

TARGET_MIB = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    told = {}
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as name:
        folder = Path(name)
        source = folder / "source"
        digest = fill(source, options.mib)
        platform = Platform(folder / "data")
        try:
            for scheme in ("http", "https"):
                told[scheme] = measure(platform, scheme, source, digest, folder, options.mib)
        finally:
            platform.stop()
    worst = max(growth for rows in told.values() for growth, _ in rows.values())
    print(f"worst growth {worst:.1f} MiB (target ≤ {TARGET_MIB}); {load_average()}")
    if options.json:
        options.json.write_text(json.dumps(told, indent=2))


def fill(path: Path, mib: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(mib):
            piece = os.urandom(1 << 20)
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def measure(platform: Platform, scheme: str, source: Path, digest: str, folder: Path, mib: int) -> dict[str, tuple[float, float]]:
    from botocore.config import Config

    s3 = platform.client("s3", config=Config(retries={"max_attempts": 1}))
    if scheme == "https":
        s3 = secure(platform)
    bucket, back = f"memory-{scheme}", folder / f"back-{scheme}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="small", Body=os.urandom(1 << 20))
    s3.get_object(Bucket=bucket, Key="small")["Body"].read()

    def put(path: Path) -> None:
        with path.open("rb") as body:
            s3.put_object(Bucket=bucket, Key="large", Body=body)

    def get() -> None:
        with back.open("wb") as file:
            for piece in s3.get_object(Bucket=bucket, Key="large")["Body"].iter_chunks(1 << 18):
                file.write(piece)

    rows = {f"PUT {mib} MiB": grown(platform, lambda: put(source)), f"GET {mib} MiB": grown(platform, get)}
    assert hashlib.sha256(back.read_bytes()).hexdigest() == digest, "other bytes came back"
    back.unlink()
    for title, (growth, seconds) in rows.items():
        print(f"{scheme:6}{title:14}{growth:7.1f} MiB{seconds:8.2f} s")
    return rows


def secure(platform: Platform):
    """boto3 over https to the same port, trusting the platform's own authority."""
    import boto3

    key, secret, token = platform.keys
    bundle = next(p for p in sorted((platform.data / "ca").iterdir()) if "bundle" in p.name)
    return boto3.client(
        "s3", "us-east-1", endpoint_url=platform.url.replace("http:", "https:"), verify=str(bundle),
        aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token,
    )  # fmt: skip


def grown(platform: Platform, work) -> tuple[float, float]:
    """(growth of the gateway's peak RSS in MiB, seconds)"""
    pid, peak, done = platform.pids["gateway"], [0.0], threading.Event()
    before = memory_mib(pid)

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], memory_mib(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    try:
        work()
    finally:
        took = time.perf_counter() - began
        done.set()
        watcher.join()
    return max(0.0, peak[0] - before), took


if __name__ == "__main__":
    main()
