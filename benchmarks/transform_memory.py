"""What a transform of a large CSV costs in memory: worker, engine and gateway, while MIB of lines go in and as much comes out.

    python benchmarks/transform_memory.py [--mib 512] [--json FILE]

One object of so many MiB, uploaded in parts, split by line, through a script model that answers what it got, joined into one output object
of the same size (MultiRecord, MaxPayloadInMB 6, 2 at once). RSS is sampled every 20 ms. What came out is compared with what went in by a
running hash. Needs three times MIB of disk in the temporary folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from support.platform import Platform, load_average  # noqa: E402
from support.transforming import BUCKET, Peaks, echo, transform  # noqa: E402

TARGET_MIB = 256
PART = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-transform-") as name:
        platform = Platform(Path(name) / "data")
        try:
            platform.client("s3").create_bucket(Bucket=BUCKET)
            echo(platform)
            digest = upload(platform, "in/large.csv", options.mib)
            upload(platform, "warm/small.csv", 8)
            transform(platform, "warm-up", "echo", "warm/")
            began = time.perf_counter()
            with Peaks(platform) as peaks:
                transform(platform, "large", "echo", "in/", MaxConcurrentTransforms=2, MaxPayloadInMB=6)
            took = time.perf_counter() - began
            assert hash_of(platform, "out/large/large.csv.out") == digest, "what came out is not what went in"
        finally:
            platform.stop()
    told = {kind: (peaks.first.get(kind, 0.0), most) for kind, most in sorted(peaks.most.items())}
    for kind, (first, most) in told.items():
        print(f"{kind:12}{first:8.1f} MiB before{most:8.1f} MiB at most")
    print(
        f"{options.mib} MiB in {took:.1f} s: {options.mib / took:.1f} MiB/s; worker at most {told['worker'][1]:.1f} MiB (target ≤ {TARGET_MIB}); {load_average()}"
    )
    if options.json:
        options.json.write_text(json.dumps({"mib": options.mib, "seconds": took, "rss": told}, indent=2))


def upload(platform: Platform, key: str, mib: int) -> str:
    """Lines of about 100 bytes, made as they are sent."""
    s3, digest, chance, parts = platform.client("s3"), hashlib.sha256(), random.Random(1), []
    block = "".join(",".join(f"{chance.random():.6f}" for _ in range(11)) + "\n" for _ in range(20_000)).encode()
    upload_id = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    left, number = mib << 20, 0
    while left > 0:
        number += 1
        data = (block * (PART * (1 << 20) // len(block) + 1))[: min(left, PART << 20)]
        left -= len(data)
        if left <= 0:
            data = data[:-1] + b"\n"
        digest.update(data)
        etag = s3.upload_part(Bucket=BUCKET, Key=key, UploadId=upload_id, PartNumber=number, Body=data)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    s3.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts})
    return digest.hexdigest()


def hash_of(platform: Platform, key: str) -> str:
    digest = hashlib.sha256()
    for piece in platform.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].iter_chunks(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


if __name__ == "__main__":
    main()
