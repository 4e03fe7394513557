"""Asynchronous inference under kill -9: every accepted request ends in exactly one object. Run: python benchmarks/async.py [--requests 10000]

A real platform, one replica of a scikit-learn image that echoes, and boto3 clients that send requests with inline bodies. Gateway and engine
are killed with -9 five times while requests are accepted and worked on. The output bucket is versioned, so a second write would show.
First, without kills, the rate of durable accepts by raw signed HTTP.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from benchmarks.support import wrk  # noqa: E402
from benchmarks.support.platform import Platform, load_average  # noqa: E402
from tests.support.boxes import tar  # noqa: E402
from tests.support.realm import SKLEARN  # noqa: E402

SCRIPT = b"def model_fn(folder): return 1\ndef input_fn(body, kind): return body\ndef predict_fn(data, model): return data\ndef output_fn(data, accept): return data, 'text/plain'\n"
CLIENTS, KILLS, BUCKET = 8, 5, "async-bench"


def deploy(yard: Platform, most: int) -> None:
    """The endpoint `bench`, in service."""
    from botocore.exceptions import ClientError

    sm, s3 = yard.client("sagemaker"), yard.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=BUCKET, Key="model.tar.gz", Body=tar([("code/inference.py", SCRIPT)]))
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {"Image": SKLEARN, "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz", "Environment": environment}
    role = "arn:aws:iam::123456789012:role/" + yard.client("sts").get_caller_identity()["Arn"].split("/")[1]
    sm.create_model(ModelName="bench", PrimaryContainer=container, ExecutionRoleArn=role)
    output = {"S3OutputPath": f"s3://{BUCKET}/out", "S3FailurePath": f"s3://{BUCKET}/bad"}
    sm.create_endpoint_config(
        EndpointConfigName="bench",
        ProductionVariants=[{"VariantName": "v", "ModelName": "bench", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}],
        AsyncInferenceConfig={"OutputConfig": output, "ClientConfig": {"MaxConcurrentInvocationsPerInstance": most}},
    )
    sm.create_endpoint(EndpointName="bench", EndpointConfigName="bench")
    try:
        sm.get_waiter("endpoint_in_service").wait(EndpointName="bench", WaiterConfig={"Delay": 1, "MaxAttempts": 600})
    except ClientError as problem:
        raise SystemExit(f"the endpoint did not come up: {problem}") from None


def left(yard: Platform) -> tuple[int, int]:
    """(requests ever accepted, requests that have not ended), looked up from outside."""
    connection = sqlite3.connect(f"file:{yard.data / 'async.db'}?mode=ro", uri=True, timeout=20)
    try:
        (known,) = connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'async_requests'").fetchone() or (0,)
        ((open_,),) = connection.execute("SELECT count(*) FROM async_requests WHERE state <> 'done'").fetchall()
        return known, open_
    finally:
        connection.close()


def kill(yard: Platform) -> None:
    """Gateway and engine; whoever is in the state file is of this data folder."""
    for process in json.loads((yard.data / "run/state.json").read_text())["processes"]:
        if process["role"] in ("gateway", "engine"):
            os.kill(process["pid"], signal.SIGKILL)


def accepts_per_second(yard: Platform, folder: Path, number: int = 3000) -> float:
    path, headers = "/endpoints/bench/async-invocations", {"X-Amzn-SageMaker-Content-Type": "text/csv"}
    requests = [(path, yard.signed("sagemaker", path, b"%d" % n, headers), b"%d" % n) for n in range(number)]
    return wrk.once_each(folder, yard.url, requests, 32)


def storm(yard: Platform, number: int, kills: int) -> dict[str, float]:
    """Sends `number` requests, kills while they are worked on, waits for the end. Answers what came of it."""
    from botocore.config import Config

    before, _ = left(yard)
    sent: list[tuple[bytes, str]] = []
    config = Config(retries={"max_attempts": 12, "mode": "standard"})

    def send(first: int) -> None:
        client = yard.client("sagemaker-runtime", config=config)
        for n in range(first, number, CLIENTS):
            body = b"request %d" % n
            answer = client.invoke_endpoint_async(EndpointName="bench", Body=body, ContentType="text/csv")
            sent.append((body, answer["OutputLocation"].removeprefix(f"s3://{BUCKET}/")))

    began = time.perf_counter()
    killing = threading.Thread(target=_kills, args=(yard, before, number, kills))
    killing.start()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(send, range(CLIENTS)))
    accepted_s = time.perf_counter() - began
    killing.join()
    while left(yard)[1]:
        time.sleep(0.1)
    return {"accepted_s": accepted_s, "ended_s": time.perf_counter() - began, **check(yard, sent)}


def _kills(yard: Platform, before: int, number: int, kills: int) -> None:
    for n in range(kills):
        goal = before + number * (n + 0.5) / kills
        while left(yard)[0] - left(yard)[1] < goal:
            time.sleep(0.02)
        kill(yard)
        time.sleep(0.5)  # not the same processes twice


def check(yard: Platform, sent: list[tuple[bytes, str]]) -> dict[str, float]:
    """Every acknowledged request against the bucket: one version, the right bytes, no failure."""
    s3 = yard.client("s3")
    versions: dict[str, int] = {}
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
        for version in page.get("Versions", []):
            versions[version["Key"]] = versions.get(version["Key"], 0) + 1
    places = [place for _, place in sent]
    with ThreadPoolExecutor(4) as pool:
        wrong = sum(pool.map(lambda one: s3.get_object(Bucket=BUCKET, Key=one[1])["Body"].read() != one[0], sent))
    return {
        "acknowledged": len(sent),
        "different places": len(set(places)),
        "missing": sum(place not in versions for place in places),
        "written twice": sum(count > 1 for key, count in versions.items() if key.startswith(("out/", "bad/"))),
        "wrong bytes": wrong,
        "failures": sum(key.startswith("bad/") for key in versions),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--most", type=int, default=16, help="MaxConcurrentInvocationsPerInstance")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        yard = Platform(folder / "data")
        try:
            deploy(yard, args.most)
            told = {"accepts/s": round(accepts_per_second(yard, folder)), "load average": load_average()}
            began, (_, waiting) = time.perf_counter(), left(yard)
            while left(yard)[1]:
                time.sleep(0.1)
            told["ends/s"] = round(waiting / (time.perf_counter() - began)) if waiting else None
            told |= storm(yard, args.requests, args.kills)
        finally:
            yard.stop()
    print(json.dumps(told) if args.json else "\n".join(f"{key:20} {value}" for key, value in told.items()))
    bad = ("missing", "written twice", "wrong bytes", "failures")
    if any(told[key] for key in bad) or told["acknowledged"] != told["different places"] or told["acknowledged"] != args.requests:
        raise SystemExit("a request was lost, doubled or failed")


if __name__ == "__main__":
    main()
