"""Real endpoints through the signed front door, beside FastAPI + uvicorn, MLflow and nginx + gunicorn + Flask called directly.

    python benchmarks/endpoints.py [--models lr rf] [--rounds 2] [--seconds 2] [--without mlflow] [--scikit-learn 1.9.1] [--json FILE]

One row of CSV to a scikit-learn LogisticRegression (lr) and a RandomForest of 100 trees (rf). Ours: InvokeEndpoint, SigV4 with a
role's session, IAM, two production variants at 90/10, data capture on, models in their own boxes. The peers have none of
it. Floor: `model.predict` of one row in a bare loop on the same scikit-learn, in the same round. CPU is that of all processes of
a server. `--scikit-learn` gives floor, peers and ours (by its requirements.txt, as a user would) that version instead of the image's: the
targets T1 to T3 were derived with 1.9.1, whose `predict` takes three times as long as the image's. Answers are compared before the load, a single error ends the run, and the captured lines are counted afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from support import peers, wrk  # noqa: E402
from support.platform import Platform, cpu_s, load_average  # noqa: E402

IMAGE, ROLE = (
    "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
    "arn:aws:iam::123456789012:role/ModelyardExecutionRole",
)
HANDLER = "import os, joblib\ndef model_fn(model_dir):\n    return joblib.load(os.path.join(model_dir, 'model.joblib'))\n"
TRAIN = """
import joblib, sys
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=500) if sys.argv[1] == "lr" else RandomForestClassifier(100, random_state=0, n_jobs=1)
joblib.dump(model.fit(X, y), sys.argv[2])
"""
BARE = """
import joblib, numpy, statistics, sys, time
model, row, times = joblib.load(sys.argv[1]), numpy.array([[5.1, 3.5, 1.4, 0.2]]), []
model.predict(row)
end = time.perf_counter() + 0.7
while time.perf_counter() < end:
    start = time.perf_counter(); model.predict(row); times.append(time.perf_counter() - start)
print(statistics.median(times) * 1e6)
"""
PEERS = {
    "fastapi+uvicorn": (peers.fastapi, ("fastapi", "uvicorn[standard]")),
    "nginx+gunicorn+flask": (peers.container, ("flask", "gunicorn[gevent]", "packaging", "setuptools")),
    "mlflow": (peers.mlflow, ("mlflow>=2,<3", "fastapi<0.116", "setuptools<81")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["lr", "rf"], choices=["lr", "rf"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", nargs="*", type=int, default=[1, 8, 32])
    parser.add_argument("--without", nargs="*", default=[], help="peers to leave out")
    parser.add_argument("--scikit-learn", default="", metavar="VERSION")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    wrk.require()
    told = {}
    with tempfile.TemporaryDirectory(prefix="bench-endpoints-") as name:
        folder = Path(name)
        wanted = {n: made for n, made in PEERS.items() if n not in options.without}
        version = options.scikit_learn
        pythons = {n: peers.environment(folder / f"env-{n}", *needs, scikit_learn=version) for n, (_, needs) in wanted.items()}
        python = next(iter(pythons.values()), None) or peers.environment(folder / "env-floor", scikit_learn=version)
        platform = Platform(folder / "data")
        try:
            for kind in options.models:
                told[kind] = compare(kind, options, folder, platform, python, {n: (wanted[n][0], pythons[n]) for n in wanted})
        finally:
            platform.stop()
    print(load_average())
    if options.json:
        options.json.write_text(json.dumps(told, indent=2))


def compare(kind: str, options: argparse.Namespace, folder: Path, platform: Platform, python: Path, others: dict) -> dict:
    scratch = folder / kind
    scratch.mkdir()
    model = scratch / "model.joblib"
    subprocess.run([str(python), "-c", TRAIN, kind, str(model)], check=True)
    deploy(platform, kind, model, options.scikit_learn)
    seen: dict[tuple[str, int], list[dict]] = {}
    floors = []
    path = f"/endpoints/{kind}/invocations"
    with contextlib.ExitStack() as stack:
        running = {}
        for name, (start, interpreter) in others.items():
            (scratch / name).mkdir()
            running[name] = stack.enter_context(start(interpreter, model, scratch / name))
        for _ in range(options.rounds):
            floors.append(bare(python, model))
            for connections in options.connections:
                headers = platform.signed("sagemaker", path, peers.ROW.encode(), {"Content-Type": "text/csv", "Accept": "text/csv"})
                ours = peers.Peer(platform.url + path, headers, peers.ROW, 0)
                for name, peer in {"modelyard": ours, **running}.items():
                    check(peer)
                    pids = serving_pids(platform) if name == "modelyard" else [peer.pid]
                    before = cpu_s(pids)
                    load = wrk.repeat(scratch, peer.url, peer.headers, peer.body, connections, options.seconds)
                    cpu = (cpu_s(pids) - before) / load.requests * 1e6
                    seen.setdefault((name, connections), []).append(
                        {"rps": load.rps, "p50": load.p50, "p99": load.p99, "cpu": cpu, "n": load.requests}
                    )
    captured(platform, kind, sum(r["n"] for (name, _), rounds in seen.items() if name == "modelyard" for r in rounds))
    platform.client("sagemaker").delete_endpoint(EndpointName=kind)
    return report(kind, seen, statistics.median(floors), options.scikit_learn or "of the image")


# --- ours --------------------------------------------------------------------------------------------------


def deploy(platform: Platform, kind: str, model: Path, scikit_learn: str = "") -> None:
    archive = io.BytesIO()
    code = {"inference.py": HANDLER}
    if scikit_learn:
        code["inference.py"] += f"import sklearn\nassert sklearn.__version__ == {scikit_learn!r}\n"
        code["requirements.txt"] = f"scikit-learn=={scikit_learn}\n"
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(model, "model.joblib")
        for name, text in code.items():
            info = tarfile.TarInfo(f"code/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    s3, sagemaker = platform.client("s3"), platform.client("sagemaker")
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket="bench-models")
    s3.put_object(Bucket="bench-models", Key=f"{kind}/model.tar.gz", Body=archive.getvalue())
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://bench-models/{kind}/model.tar.gz", "Environment": environment}
    sagemaker.create_model(ModelName=kind, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    sagemaker.create_endpoint_config(
        EndpointConfigName=kind,
        ProductionVariants=[
            {"VariantName": n, "ModelName": kind, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large", "InitialVariantWeight": w}
            for n, w in (("main", 0.9), ("canary", 0.1))
        ],
        DataCaptureConfig={
            "EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": f"s3://bench-models/captured-{kind}",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}], "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        },
    )  # fmt: skip
    sagemaker.create_endpoint(EndpointName=kind, EndpointConfigName=kind)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=kind, WaiterConfig={"Delay": 1, "MaxAttempts": 300})


def serving_pids(platform: Platform) -> list[int]:
    """The gateway, and every process tree that serves a replica (its shim is told by `status`)."""
    told = json.loads(platform.run("status", "--json"))
    return [p["pid"] for p in told["processes"] if p["role"] in ("gateway", "shim")]


def captured(platform: Platform, kind: str, least: int) -> None:
    """Every answered call is a captured line (the last ones a few seconds later)."""
    s3 = platform.client("s3")
    for _ in range(60):
        lines = 0
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket="bench-models", Prefix=f"captured-{kind}/"):
            for item in page.get("Contents", []):
                lines += s3.get_object(Bucket="bench-models", Key=item["Key"])["Body"].read().count(b"\n")
        if lines >= least:
            return
        time.sleep(0.5)
    raise SystemExit(f"{lines} of {least} calls were captured")


# --- all ---------------------------------------------------------------------------------------------------


def bare(python: Path, model: Path) -> float:
    done = subprocess.run(
        [str(python), "-c", BARE, str(model)], capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    return float(done.stdout)


def check(peer: peers.Peer) -> None:
    with urllib.request.urlopen(urllib.request.Request(peer.url, peer.body.encode(), peer.headers), timeout=60) as answer:
        said = answer.read()
    assert said == b"0\n" or json.loads(said) == {"predictions": [0]}, said


def report(kind: str, seen: dict[tuple[str, int], list[dict]], floor: float, version: str) -> dict:
    print(f"\n{kind}: bare predict {floor:.0f} µs (scikit-learn {version})")
    print(
        f"{'server':22}{'c':>3}{'req/s':>9}{'× 1/predict':>12}{'p50 ms':>9}{'× predict':>10}{'p99/p50':>9}{'CPU µs':>9}{'× predict':>10}{'ours is':>9}"
    )
    table = {}
    for (name, connections), rounds in seen.items():
        rps, p50, p99, cpu = (statistics.median(r[key] for r in rounds) for key in ("rps", "p50", "p99", "cpu"))
        ahead = statistics.median(r["rps"] for r in seen["modelyard", connections]) / rps
        told = "" if name == "modelyard" else f"{ahead:8.1f}×"
        print(
            f"{name:22}{connections:3}{rps:9.0f}{rps * floor / 1e6:12.2f}{p50 / 1000:9.2f}{p50 / floor:10.2f}{p99 / p50:9.1f}{cpu:9.0f}{cpu / floor:10.2f}{told}"
        )
        table[f"{name} c{connections}"] = {"rps": rps, "p50_us": p50, "p99_us": p99, "cpu_us": cpu, "ours_is": ahead}
    return {"bare_us": floor, "servers": table}


if __name__ == "__main__":
    main()
