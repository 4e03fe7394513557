"""Batch transform beside the model in a bare loop: XGBoost (built-in image, 30 features, 50 trees) on a CSV file.

    python benchmarks/transform.py [--mib 64] [--records 20000] [--json FILE]

MultiRecord: a file of so many MiB, split by line, MaxPayloadInMB 6, as many at once as the container asks for. SingleRecord: that many
lines, one per request. Joined: MultiRecord with an id column left out by InputFilter and joined back by JoinSource and OutputFilter.
Floor: the same handler of the same image in one process of the same interpreter, called in a loop over the same payloads read from
memory, answers kept in a list: no box, no HTTP, no S3. A job's time is TransformEndTime − TransformStartTime, which has the start of the
container in it; `work` is without it (from the data log's first line). The predictions of job and loop must be the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from support.platform import Platform, load_average  # noqa: E402
from support.transforming import BUCKET, XGBOOST, model, transform  # noqa: E402

from modelyard.config import Settings  # noqa: E402
from modelyard.runtime.images import ImageStore  # noqa: E402

FEATURES = 30
MAKE = """
import sys, numpy, xgboost
folder, rows = sys.argv[1], int(sys.argv[2])
random = numpy.random.default_rng(0)
table = random.random((20000, 30), dtype=numpy.float32)
label = table[:, 0] * 3 + table[:, 1] * table[:, 2] - table[:, 5]
xgboost.train({"nthread": 2}, xgboost.DMatrix(table, label), 50).save_model(folder + "/xgboost-model")
block = "".join(",".join(f"{v:.6f}" for v in row) + "\\n" for row in table[:10000]).encode()
with open(folder + "/data.csv", "wb") as file:
    while rows > 0:
        file.write(block)
        rows -= 10000
"""
FLOOR = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
os.environ["SAGEMAKER_BATCH"] = "true"
from modelyard_algorithms.serving.messages import Request
from modelyard_algorithms.xgb.serve import BoosterHandler
single, most = sys.argv[3] == "single", 6 << 20
handler = BoosterHandler()
handler.load()
data = open(sys.argv[2], "rb").read()
payloads = []
if single:
    payloads = data.splitlines()[: int(sys.argv[4])]
else:
    at = 0
    while at < len(data):
        end = len(data) if at + most >= len(data) else data.rfind(b"\\n", at, at + most + 1) + 1
        payloads.append(data[at:end])
        at = end
headers = {"content-type": "text/csv", "accept": "text/csv"}
began = time.perf_counter()
answers = [handler.handle([Request("POST", "/invocations", headers, body)])[0].body for body in payloads]
took = time.perf_counter() - began
open(sys.argv[5], "wb").write(b"".join(answers))
print(took)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    images = ImageStore(Settings(data=Path("unused")))
    image = images.find(XGBOOST)
    python = images.ensure(image) / "bin/python"
    with tempfile.TemporaryDirectory(prefix="bench-transform-") as name:
        folder = Path(name)
        rows = options.mib * (1 << 20) // (9 * FEATURES)
        subprocess.run([str(python), "-c", MAKE, name, str(rows)], check=True)
        data = (folder / "data.csv").read_bytes()
        lines = data.splitlines(keepends=True)
        inputs = {
            "many": data,
            "single": b"".join(lines[: options.records]),
            "joined": b"".join(b"id-%d,%b" % (number, line) for number, line in enumerate(lines)),
        }
        platform = Platform(folder / "data")
        try:
            s3 = platform.client("s3")
            s3.create_bucket(Bucket=BUCKET)
            for kind, body in inputs.items():
                s3.put_object(Bucket=BUCKET, Key=f"{kind}/data.csv", Body=body)
            model(platform, "xgb", XGBOOST, {"xgboost-model": (folder / "xgboost-model").read_bytes()})
            told = {kind: measure(platform, kind, folder, python, image, len(lines), options) for kind in inputs}
        finally:
            platform.stop()
    for kind, row in told.items():
        print(
            f"{kind:8}{row['records']:9} records: floor {row['floor_s']:6.2f} s, work {row['work_s']:6.2f} s ({row['work_s'] / row['floor_s']:.2f} ×),"
            f" job {row['job_s']:6.2f} s, {row['records'] / row['work_s']:8.0f} records/s"
        )
    print(load_average())
    if options.json:
        options.json.write_text(json.dumps(told, indent=2))


def measure(platform: Platform, kind: str, folder: Path, python: Path, image, lines: int, options) -> dict[str, float]:
    floor_s, expected = floor(kind, folder, python, image, options.records)
    more = {"BatchStrategy": "SingleRecord"} if kind == "single" else {}
    if kind == "joined":
        more = {"DataProcessing": {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}}
    job = transform(platform, kind, "xgb", f"{kind}/", **more)
    out = platform.client("s3").get_object(Bucket=BUCKET, Key=f"out/{kind}/data.csv.out")["Body"].read()
    if kind == "joined":
        out = b"".join(line.partition(b",")[2] for line in out.splitlines(keepends=True))
    assert out == expected, f"{kind}: other predictions than in the bare loop"
    logs = platform.client("logs")
    streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix=f"{kind}/")["logStreams"]
    stream = next(row["logStreamName"] for row in streams if row["logStreamName"].endswith("data-log"))
    first = logs.get_log_events(logGroupName="/aws/sagemaker/TransformJobs", logStreamName=stream, startFromHead=True)["events"][0]
    end, start = (job[f"Transform{side}Time"].timestamp() for side in ("End", "Start"))
    records = options.records if kind == "single" else lines
    return {"records": records, "floor_s": floor_s, "work_s": end - first["timestamp"] / 1000, "job_s": end - start}


def floor(kind: str, folder: Path, python: Path, image, records: int) -> tuple[float, bytes]:
    box, base, out = folder / "box", folder / "base", folder / "floor.out"
    if not box.exists():
        box.mkdir()
        (base / "model").mkdir(parents=True)
        (box / "modelyard_algorithms").symlink_to(HERE.parent / "src/modelyard/algorithms")
        (base / "model/xgboost-model").write_bytes((folder / "xgboost-model").read_bytes())
    variables = {**os.environ, **image.variables, "SAGEMAKER_BASE_DIR": str(base)}
    way = "single" if kind == "single" else "many"
    command = [str(python), "-c", FLOOR, str(box), str(folder / "data.csv"), way, str(records), str(out)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return float(done.stdout.split()[-1]), out.read_bytes()


if __name__ == "__main__":
    main()
