"""InvokeEndpoint, signed, end to end through the front door: what the router costs beside nginx. Run: python benchmarks/invoke.py

The model server is nginx answering `return 200` on a unix socket, so only the router is measured. In the same run, with
the same load (wrk, keep-alive): the model server direct, nginx proxy_pass before it, and the gateway (SigV4, routing,
validation, authorisation, two variants, data capture of every call, metrics, access log) before it. Every peer gets the same 500
different requests in turn, each signed for itself, with the headers that boto3 sends. The router alone is on core 0; wrk and the
model server share core 1. CPU is that of all processes of the router, threads that log, count and upload included; the captured
lines are counted at the end.
Targets (docs/reference/performance.md): T5 CPU per request ≤ 6 × nginx, and 10,000 requests/s by it; T6 added p50 at concurrency 1
≤ 1.7 × what nginx adds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ROOT = Path(__file__).resolve().parent.parent
ENDPOINT, BUCKET = "bench", "bench-captured"
DIFFERENT = 500
BODIES = [f"5.1,3.5,1.4,0.{n}\n" for n in range(DIFFERENT)]
BOTO3 = {
    "User-Agent": "Boto3/1.40.0 md/Botocore#1.40.0 ua/2.1 os/linux md/arch#x86_64 lang/python#3.11 cfg/retry-mode#legacy Botocore/1.40.0",
    "amz-sdk-invocation-id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "amz-sdk-request": "attempt=1",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    """One worker, pinned to a core."""

    def __init__(self, folder: Path, name: str, server: str, core: int, port: int) -> None:
        config = folder / f"{name}.conf"
        config.write_text(
            f"{'user root;' if os.getuid() == 0 else ''} daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log;\n"
            "events { worker_connections 1024; }\n"
            f"http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/{name}-b; proxy_temp_path {folder}/{name}-p;\n"
            f"fastcgi_temp_path {folder}/{name}-f; uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s;\n{server} }}"
        )
        self.process = subprocess.Popen(["taskset", "-c", str(core), "nginx", "-c", str(config)], stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        wait(f"http://127.0.0.1:{port}/")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def wait(url: str) -> None:
    for _ in range(500):
        try:
            urllib.request.urlopen(url, timeout=1).read()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"{url} does not answer")


class Platform:
    """A platform of its own, with one endpoint whose replica is `upstream` (a unix socket)."""

    def __init__(self, folder: Path, upstream: Path) -> None:
        self.data = folder / "data"
        self.run("up", "--detach", "--port", "0")
        told = json.loads(self.run("status", "--json"))
        self.url = told["endpoint"]
        self.pid = next(p["pid"] for p in told["processes"] if p["role"] == "gateway")
        subprocess.run(["taskset", "-a", "-cp", "0", str(self.pid)], check=True, stdout=subprocess.DEVNULL)
        exports = dict(re.findall(r"^export (\w+)=['\"]?([^'\"\n]*)", self.run("env"), re.M))
        self.credentials = Credentials(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"], exports.get("AWS_SESSION_TOKEN"))
        self.client("s3").create_bucket(Bucket=BUCKET)
        self.publish(upstream)

    def client(self, service: str):
        import boto3

        key, secret, token = self.credentials.access_key, self.credentials.secret_key, self.credentials.token
        return boto3.client(
            service, "us-east-1", endpoint_url=self.url, aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token
        )

    def run(self, *words: str) -> str:
        command = [sys.executable, "-m", "modelyard", *words, "--data", str(self.data)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    def publish(self, upstream: Path) -> None:
        sys.path.insert(0, str(ROOT / "src"))
        from modelyard.kernel.clock import SystemClock
        from modelyard.kernel.database import open_database
        from modelyard.kernel.store import Store
        from modelyard.serving.routes import Replica, RouteTable, Variant, as_body, endpoint_arn, use_file

        Path(use_file(str(upstream))).touch()
        account, region = "123456789012", "us-east-1"
        key = endpoint_arn(account, region, ENDPOINT)
        replica = (Replica("bench", str(upstream)),)
        capture = {
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{BUCKET}/data",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        }
        table = RouteTable(key, account, region, ENDPOINT, 1, (Variant("a", 0.9, replica), Variant("b", 0.1, replica)), capture)
        Store(open_database("", self.data / "store.db"), SystemClock()).publish_routes(key, 1, as_body(table))

    def headers(self) -> list[dict[str, str]]:
        """Of every request, good for the 15 minutes that a signature is."""
        return [self._signed(body) for body in BODIES]

    def _signed(self, body: str) -> dict[str, str]:
        url = self.url + f"/endpoints/{ENDPOINT}/invocations"
        request = AWSRequest("POST", url, data=body.encode(), headers={"Content-Type": "text/csv", **BOTO3})
        SigV4Auth(self.credentials, "sagemaker", "us-east-1").add_auth(request)
        return {**dict(request.headers.items()), "Host": self.url.removeprefix("http://")}

    def captured(self) -> int:
        """Lines in S3 so far."""
        s3, lines = self.client("s3"), 0
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for item in page.get("Contents", []):
                lines += s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read().count(b"\n")
        return lines

    def stop(self) -> None:
        self.run("down")


def load(folder: Path, url: str, headers: list[dict[str, str]], connections: int, seconds: float) -> dict[str, float]:
    """`headers` of each of the `BODIES`."""
    script, table = folder / "load.lua", folder / "requests.lua"
    told = [
        "{%s, {%s}}" % (json.dumps(body), ", ".join(f"[{json.dumps(k)}] = {json.dumps(v)}" for k, v in of.items()))
        for body, of in zip(BODIES, headers, strict=True)
    ]
    table.write_text("return {" + ",\n".join(told) + "}")
    script.write_text(
        f"""
local made, turn = {{}}, 0
init = function()
  for i, r in ipairs(dofile({json.dumps(str(table))})) do made[i] = wrk.format("POST", nil, r[2], r[1]) end
end
request = function() turn = turn % #made + 1; return made[turn] end
"""
        """
done = function(s, l, r)
  io.write(string.format("RESULT %d %d %f %f %f\\n", s.requests, s.errors.status + s.errors.read + s.errors.timeout, s.duration / 1e6, l:percentile(50), l:percentile(99)))
end
"""
    )
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    requests, errors, took, p50, p99 = map(float, re.search(r"RESULT (.*)", told)[1].split())
    if errors:
        raise SystemExit(f"{errors:.0f} of {requests:.0f} answers of {url} were errors")
    return {"rps": requests / took, "p50": p50, "p99": p99, "requests": requests}


def cpu_s(pid: int) -> float:
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(sum(p.cpu_times()[:2]) for p in processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-invoke-"))
    upstream, up_port, proxy_port = folder / "up.sock", free_port(), free_port()
    servers = [
        Nginx(
            folder,
            "up",
            f"server {{ listen 127.0.0.1:{up_port}; listen unix:{upstream}; location / {{ default_type text/csv; return 200 '0\\n'; }} }}",
            1,
            up_port,
        ),
        Nginx(
            folder,
            "proxy",
            f"upstream u {{ server unix:{upstream}; keepalive 64; }} server {{ listen 127.0.0.1:{proxy_port}; location / {{ proxy_pass http://u; "
            "proxy_http_version 1.1; proxy_set_header Connection ''; } }",
            0,
            proxy_port,
        ),
    ]
    platform = Platform(folder, upstream)
    plain, path = platform.headers(), f"/endpoints/{ENDPOINT}/invocations"
    peers = {
        "direct": (f"http://127.0.0.1:{up_port}{path}", lambda: plain, servers[0].pid),
        "nginx": (f"http://127.0.0.1:{proxy_port}{path}", lambda: plain, servers[1].pid),
        "gateway": (platform.url + path, platform.headers, platform.pid),
    }
    seen: dict[tuple[str, int], list[dict[str, float]]] = {}
    try:
        for _ in range(options.rounds):
            for connections in (1, 8, 32):
                for name, (url, headers, pid) in peers.items():
                    before = cpu_s(pid)
                    result = load(folder, url, headers(), connections, options.seconds)
                    result["cpu_us"] = (cpu_s(pid) - before) * 1e6 / result["requests"]
                    seen.setdefault((name, connections), []).append(result)
        check_capture(platform, sum(r["requests"] for (name, _), rounds in seen.items() if name == "gateway" for r in rounds))
    finally:
        platform.stop()
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    report(seen)


def check_capture(platform: Platform, least: float) -> None:
    for _ in range(60):
        lines = platform.captured()
        if lines >= least:
            print(f"{lines} calls captured, {least:.0f} answered while counting")
            return
        time.sleep(0.5)
    raise SystemExit(f"{lines} of {least:.0f} calls were captured")


def report(seen: dict[tuple[str, int], list[dict[str, float]]]) -> None:
    def median(name: str, connections: int, figure: str) -> float:
        return statistics.median(r[figure] for r in seen[name, connections])

    print(f"{'':10}{'c':>3}{'req/s':>9}{'p50 µs':>9}{'p99 µs':>9}{'CPU µs':>9}")
    for name, connections in seen:
        row = [median(name, connections, f) for f in ("rps", "p50", "p99", "cpu_us")]
        print(f"{name:10}{connections:>3}" + "".join(f"{v:>9.0f}" for v in row))
    t5 = median("gateway", 32, "cpu_us") / median("nginx", 32, "cpu_us")
    added = [median(n, 1, "p50") - median("direct", 1, "p50") for n in ("gateway", "nginx")]
    print(
        f"T5  CPU per signed request: {t5:.1f} × nginx (target ≤ 6); one core does {1e6 / median('gateway', 32, 'cpu_us'):,.0f} of them per second"
    )
    print(f"T6  added p50 at c1: {added[0]:.0f} µs, nginx {added[1]:.0f} µs: {added[0] / added[1]:.2f} × (target ≤ 1.7)")


if __name__ == "__main__":
    main()
