"""A canary roll-out under open-loop load: failed requests, and the latency before, while the new fleet starts, and during the shift.

    python benchmarks/canary.py [--rps 500] [--before 15] [--bake 10] [--json FILE]

Real processes: `modelyard up`, an endpoint of 2 instances (managed scikit-learn image, a handler of one line), UpdateEndpoint with
CANARY 50 %, WaitIntervalInSeconds and TerminationWaitInSeconds of --bake seconds. Requests are signed InvokeEndpoint calls, sent at
fixed times whatever came of those before; a latency counts from the time a request should have been sent (no coordinated
omission). "shift" is from the first row of the new fleet in the route table until the endpoint is InService again with the
old fleet gone. Target (docs/design/hosting.md): no failed request, p99 of the shift at most 2 × that of before.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import statistics
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from support.platform import Platform, load_average  # noqa: E402

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
ROLE = "arn:aws:iam::123456789012:role/ModelyardExecutionRole"
HANDLER = """
def model_fn(model_dir): return None
def input_fn(body, content_type): return body
def predict_fn(data, model): return "%s"
def output_fn(answer, accept): return answer, "text/csv"
"""
BODY = b"5.1,3.5,1.4,0.2\n"


class Load:
    """Open-loop load from a thread with a loop of its own: (planned time, latency, status, answer) of every request."""

    def __init__(self, platform: Platform, rps: float) -> None:
        self._address = platform.host.split(":")
        headers = platform.signed("sagemaker", "/endpoints/rolled/invocations", BODY, {"Content-Type": "text/csv"})
        lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        self._request = f"POST /endpoints/rolled/invocations HTTP/1.1\r\n{lines}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
        self._gap, self._over = 1 / rps, False
        self.done: list[tuple[float, float, int, bytes]] = []
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()

    def stop(self) -> None:
        self._over = True
        self._thread.join()

    async def _run(self) -> None:
        tasks, due = set(), time.monotonic() + 0.1
        while not self._over:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            while due <= time.monotonic():
                task = asyncio.create_task(self._send(due))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                due += self._gap
        await asyncio.gather(*tasks)

    async def _send(self, due: float) -> None:
        status, body = 0, b""
        try:
            reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            status, body = int(head.split(b" ", 2)[1]), await reader.readexactly(length)
            self._idle.append((reader, writer))
        except (OSError, EOFError, StopIteration) as problem:
            body = repr(problem).encode()
        self.done.append((due, time.monotonic() - due, status, body))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rps", type=float, default=500)
    options.add_argument("--before", type=float, default=15)
    options.add_argument("--bake", type=int, default=10)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder) / "data", "--patience", "0")
        try:
            told = measure(platform, asked)
        finally:
            platform.stop()
    if asked.json:
        asked.json.write_text(json.dumps(told, indent=1))


def measure(platform: Platform, asked: argparse.Namespace) -> dict:
    sm = platform.client("sagemaker")
    platform.client("s3").create_bucket(Bucket="models")
    for colour in ("blue", "green"):
        deployable(platform, sm, colour)
    sm.create_endpoint(EndpointName="rolled", EndpointConfigName="blue")
    sm.get_waiter("endpoint_in_service").wait(EndpointName="rolled", WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    load = Load(platform, asked.rps)
    time.sleep(asked.before)
    marks = {"before": time.monotonic()}
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": asked.bake, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50}}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": asked.bake}
    sm.update_endpoint(EndpointName="rolled", EndpointConfigName="green", DeploymentConfig={"BlueGreenUpdatePolicy": policy})
    while True:
        there = sm.describe_endpoint(EndpointName="rolled")
        pending = there.get("PendingDeploymentSummary", {"ProductionVariants": [{}]})["ProductionVariants"][0]
        if "starting" not in marks and pending.get("VariantStatus", [{}])[0].get("Status") in ("ActivatingTraffic", "Baking"):
            marks["starting"] = time.monotonic() - 0.2
        if there["EndpointStatus"] != "Updating":
            break
        time.sleep(0.1)
    time.sleep(2.0)  # the old fleet drains and goes
    marks["shift"] = time.monotonic()
    load.stop()
    if there["EndpointConfigName"] != "green":
        raise SystemExit(f"the roll-out did not go through: {there.get('FailureReason')}")
    return report(load, marks, asked)


def deployable(platform: Platform, sm, colour: str) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        code = (HANDLER % colour).encode()
        info = tarfile.TarInfo("code/inference.py")
        info.size = len(code)
        tar.addfile(info, io.BytesIO(code))
    platform.client("s3").put_object(Bucket="models", Key=f"{colour}.tar.gz", Body=data.getvalue())
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://models/{colour}.tar.gz", "Environment": environment}
    sm.create_model(ModelName=colour, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    row = {"VariantName": "all", "ModelName": colour, "InitialInstanceCount": 2, "InstanceType": "ml.t2.medium"}
    sm.create_endpoint_config(EndpointConfigName=colour, ProductionVariants=[row])


def report(load: Load, marks: dict[str, float], asked: argparse.Namespace) -> dict:
    begin, told = load.done[0][0] + 2.0, {}  # the first two seconds warm up
    for phase, end in marks.items():
        rows = [r for r in load.done if begin <= r[0] < end]
        latencies = sorted(r[1] * 1000 for r in rows)
        told[phase] = {
            "requests": len(rows),
            "failed": sum(r[2] != 200 for r in rows),
            "green": sum(r[3].startswith(b"green") for r in rows),
            "p50_ms": round(statistics.median(latencies), 2),
            "p99_ms": round(latencies[int(len(latencies) * 0.99)], 2),
        }
        begin = end
    told["failed"] = sum(r[2] != 200 for r in load.done)
    told["p99_ratio"] = round(told["shift"]["p99_ms"] / told["before"]["p99_ms"], 2)
    for phase in marks:
        print(f"{phase:9}", *(f"{k} {v}" for k, v in told[phase].items()), sep="  ")
    print(
        f"{asked.rps:g} rps: {told['failed']} of {len(load.done)} failed; p99 of the shift {told['p99_ratio']} × before ({load_average()})"
    )
    return told


if __name__ == "__main__":
    main()
