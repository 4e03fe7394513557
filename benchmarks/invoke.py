"""InvokeEndpoint, signed, end to end through the front door: what the router costs beside nginx. Run: python benchmarks/invoke.py

The model server is nginx answering `return 200` on a unix socket, so only the router is measured. In the same run, with
the same load (wrk, keep-alive): the model server direct, nginx proxy_pass before it, and the gateway (SigV4, routing,
validation, authorisation, split, metrics) before it. The router alone is on core 0; wrk and the model server share core 1.
Targets (docs/design/hosting.md): T5 CPU per request ≤ 6 × nginx; T6 added p50 at concurrency 1 ≤ 1.7 × what nginx adds.
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
BODY = "5.1,3.5,1.4,0.2\n"
ENDPOINT = "bench"


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
        self.publish(upstream)

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
        table = RouteTable(key, account, region, ENDPOINT, 1, (Variant("a", 0.9, replica), Variant("b", 0.1, replica)))
        Store(open_database("", self.data / "store.db"), SystemClock()).publish_routes(key, 1, as_body(table))

    def headers(self) -> dict[str, str]:
        """Of one signed request, good for the 15 minutes that a signature is."""
        request = AWSRequest(
            "POST", self.url + f"/endpoints/{ENDPOINT}/invocations", data=BODY.encode(), headers={"Content-Type": "text/csv"}
        )
        SigV4Auth(self.credentials, "sagemaker", "us-east-1").add_auth(request)
        return {**dict(request.headers.items()), "Host": self.url.removeprefix("http://")}

    def stop(self) -> None:
        self.run("down")


def load(folder: Path, url: str, headers: dict[str, str], connections: int, seconds: float) -> dict[str, float]:
    script = folder / "load.lua"
    lines = [f"wrk.method = 'POST'; wrk.body = {json.dumps(BODY)}"] + [
        f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in headers.items()
    ]
    script.write_text(
        "\n".join(lines)
        + """
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
    plain, path = {"Content-Type": "text/csv"}, f"/endpoints/{ENDPOINT}/invocations"
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
    finally:
        platform.stop()
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    report(seen)


def report(seen: dict[tuple[str, int], list[dict[str, float]]]) -> None:
    def median(name: str, connections: int, figure: str) -> float:
        return statistics.median(r[figure] for r in seen[name, connections])

    print(f"{'':10}{'c':>3}{'req/s':>9}{'p50 µs':>9}{'p99 µs':>9}{'CPU µs':>9}")
    for name, connections in seen:
        row = [median(name, connections, f) for f in ("rps", "p50", "p99", "cpu_us")]
        print(f"{name:10}{connections:>3}" + "".join(f"{v:>9.0f}" for v in row))
    t5 = median("gateway", 32, "cpu_us") / median("nginx", 32, "cpu_us")
    added = [median(n, 1, "p50") - median("direct", 1, "p50") for n in ("gateway", "nginx")]
    print(f"T5  CPU per signed request: {t5:.1f} × nginx (target ≤ 6)")
    print(f"T6  added p50 at c1: {added[0]:.0f} µs, nginx {added[1]:.0f} µs: {added[0] / added[1]:.2f} × (target ≤ 1.7)")


if __name__ == "__main__":
    main()
