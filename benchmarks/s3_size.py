"""S3 with many objects in one bucket: PUT, GET and listing as it grows. Run: python benchmarks/s3_size.py

    python benchmarks/s3_size.py [--counts 1000 100000 1000000] [--seconds 3] [--json FILE] [--folder DIR]

A platform as `modelyard up` starts it. The bucket is filled through the index's own statements, in the shape and with the bytes that PUT
writes (1 KiB each), keys spread over the whole range, 100,000 of them under one prefix. At each count real signed requests by wrk: PUT of
new keys between those that are there, GET of keys from everywhere, each once (none is known from before), and 1 KiB written and fsynced for comparison.
Then the first, the middle and the last pages of the listing of that prefix, and a listing with a delimiter over all. The default counts
take a minute; a million another three.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "src")]

from s3 import KIB, ask, plain  # noqa: E402
from support import stores, wrk  # noqa: E402
from support.platform import load_average  # noqa: E402

PREFIX, UNDER_PREFIX, ASKED, STEP = "one/prefix/", 100_000, 8_000, 10_000
DATA = b"x" * KIB
ETAG = hashlib.md5(DATA).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="*", default=[1_000, 100_000])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--folder", type=Path, help="where to write (default: a new folder under TMPDIR)")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    wrk.require()
    folder = Path(tempfile.mkdtemp(prefix="bench-s3-size-", dir=asked.folder))
    server = stores.Modelyard(folder)
    told: dict[str, Any] = {}
    try:
        have: list[str] = []
        for count in asked.counts:
            took = fill(server, folder, have, count)
            told[str(count)] = at_count(server, folder, have, asked.seconds)
            told[str(count)]["fill s"] = took
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    report(told)
    print(load_average())
    if asked.json:
        asked.json.write_text(json.dumps(told, indent=2))


def fill(server: stores.Modelyard, folder: Path, have: list[str], count: int) -> float:
    """In the order of keys, which is quickest; the bucket is the same whatever the order."""
    from modelyard.kernel.database import SQLite
    from modelyard.services.s3.index import Index

    index, began = Index(SQLite(folder / "data" / "s3.db", durable=False)), time.perf_counter()
    new = sorted(map(key_of, range(len(have), count)))

    def work(tx: Any, keys: list[str]) -> None:
        for key in keys:
            blob, meta = index.keep_small(tx, DATA), {"headers": {}, "checksums": {}}
            index.insert(tx, stores.BUCKET, key, "null", False, KIB, ETAG, time.time(), blob, meta, True)

    for first in range(0, len(new), STEP):
        index.db.grouped(lambda tx, at=first: work(tx, new[at : at + STEP]))
    have += new
    index.db.close()
    return time.perf_counter() - began


def key_of(number: int) -> str:
    digest = hashlib.md5(b"%d" % number).hexdigest()
    return f"{PREFIX}{digest}" if number < UNDER_PREFIX else f"zmany/{digest[:2]}/{digest}"


def at_count(server: stores.Modelyard, folder: Path, have: list[str], seconds: float) -> dict[str, float]:
    draw = random.Random(len(have))
    found: dict[str, float] = {"objects": len(have)}
    some = [have[draw.randrange(len(have))] for _ in range(ASKED * 2)]
    for connections in (1, 8):
        os.sync()
        found[f"write + fsync p50 µs ({connections})"] = plain(folder, KIB, 100)
        new = [f"{draw.choice(('one/prefix-new/', 'zmany/', 'm'))}{draw.getrandbits(64):016x}" for _ in range(ASKED)]
        got = ask(server, "PUT", [server.target("PUT", key) for key in new], KIB, connections, seconds, folder)
        found |= {f"PUT {what} c{connections}": value for what, value in got.items()}
        urls = [server.target("GET", key, 600 + n) for n, key in enumerate(some)]
        got = ask(server, "GET", urls, 0, connections, seconds, folder)
        found |= {f"GET {what} c{connections}": value for what, value in got.items()}
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{server.target('GET', some[0])}") as answer:
        assert answer.read() == DATA
    return found | listing(server, sum(key.startswith(PREFIX) for key in have))


def listing(server: stores.Modelyard, expected: int) -> dict[str, float]:
    """Milliseconds of pages of 1,000 keys: the wire's time, without boto3's parsing."""
    pages, token, seen = [], {}, 0
    while True:
        url = server.client.generate_presigned_url("list_objects_v2", Params={"Bucket": stores.BUCKET, "Prefix": PREFIX, **token})
        began = time.perf_counter()
        with urllib.request.urlopen(url) as answer:
            text = answer.read().decode()
        pages.append((time.perf_counter() - began) * 1e3)
        seen += text.count("<Key>")
        if "<IsTruncated>true" not in text:
            break
        token = {"ContinuationToken": text.partition("<NextContinuationToken>")[2].partition("</NextContinuationToken>")[0]}
    assert seen == expected, (seen, expected)
    tenth = max(1, len(pages) // 10)
    middle = len(pages) // 2
    began = time.perf_counter()
    server.client.list_objects_v2(Bucket=stores.BUCKET, Delimiter="/")
    return {
        "pages": len(pages),
        "list first ms": statistics.median(pages[:tenth]),
        "list middle ms": statistics.median(pages[middle : middle + tenth]),
        "list last ms": statistics.median(pages[-tenth - 1 : -1] or pages),
        "list with delimiter ms": (time.perf_counter() - began) * 1e3,
    }


def report(told: dict[str, dict[str, float]]) -> None:
    counts = list(told)
    print(f"{'':28}" + "".join(f"{int(count):>14,}" for count in counts) + "   last ÷ first")
    for what in told[counts[0]]:
        values = [told[count][what] for count in counts]
        print(f"{what:28}" + "".join(f"{value:>14.{0 if value >= 100 else 2}f}" for value in values) + f"{values[-1] / values[0]:>12.2f} ×")


if __name__ == "__main__":
    main()
