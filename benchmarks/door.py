"""What the front door costs: CPU and rate of signed requests, beside nginx in the same run.

    python benchmarks/door.py [--seconds 4]

Floor: nginx `proxy_pass` to an nginx `return 200` on a unix socket. Door: SigV4 checked, routed, parsed, validated, answered by
an `async def` operation without an upstream (`invoke`), or by a plain one that creates and describes records (`records`).
CPU is that of the measured process (user and system, from /proc), so a busy machine disturbs rates more than it disturbs CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent)]
TICKS = os.sysconf("SC_CLK_TCK")
BODY = b"5.1,3.5,1.4,0.2\n"


# --- the served side -------------------------------------------------------------------------------


def serve() -> None:
    """Runs in a process of its own; prints its port."""
    import uvloop

    from modelyard.kernel.clock import SystemClock
    from modelyard.kernel.database import SQLite
    from modelyard.kernel.lifecycle import static
    from modelyard.kernel.service import Service
    from modelyard.kernel.store import Store, Taken
    from modelyard.wire.gateway import Gateway
    from modelyard.wire.server import Server
    from tests.support.doors import make_platform

    runtime, sagemaker = Service("sagemaker-runtime"), Service("sagemaker")
    model = static("model")

    @runtime.operation
    async def invoke_endpoint(call, request):
        return {"Body": b"0\n", "ContentType": "text/csv"}

    @sagemaker.operation
    def create_model(call, request):
        name = request["ModelName"]
        arn = f"arn:aws:sagemaker:{call.region}:{call.account}:model/{name}"
        with contextlib.suppress(Taken):
            call.store.create(model, account=call.account, region=call.region, name=name, arn=arn, spec=request)
        return {"ModelArn": arn}

    @sagemaker.operation
    def describe_model(call, request):
        record = call.store.get("model", call.account, call.region, request["ModelName"])
        return {"ModelName": record.name, "ModelArn": record.arn, "CreationTime": record.created_at}

    folder = Path(tempfile.mkdtemp(prefix="door-bench"))
    platform = make_platform(runtime, sagemaker)
    platform.store = Store(SQLite(folder / "store.db"), SystemClock())
    gateway = Gateway(platform)

    async def main() -> None:
        server = Server(gateway.handle, pool=gateway.pool)
        print(await server.start(), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await server.stop(1)

    uvloop.run(main())
    shutil.rmtree(folder, ignore_errors=True)


# --- the measuring side ------------------------------------------------------------------------------


def cpu_s(pids: list[int]) -> float:
    """User and system seconds of these processes so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def signed(host: str, path: str, service: str, body: bytes, headers: dict[str, str]) -> dict[str, str]:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    from tests.support.doors import KEY, SECRET

    request = AWSRequest("POST", f"http://{host}{path}", data=body, headers=headers)
    SigV4Auth(Credentials(KEY, SECRET), service, "us-east-1").add_auth(request)
    return {str(k): str(v) for k, v in request.headers.items()}


def wrk(url: str, headers: dict[str, str], body: bytes, connections: int, seconds: int, folder: Path) -> tuple[float, int]:
    """(requests per second, answers that were not 2xx)"""
    script = folder / "post.lua"
    lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(body.decode())}"]
    script.write_text("\n".join(lines + [f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in headers.items()]))
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url], capture_output=True, text=True, check=True
    ).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), int(bad.group(1)) if bad else 0


def measure(
    name: str, pids: list[int], url: str, headers: dict[str, str], body: bytes, connections: int, seconds: int, folder: Path
) -> float:
    before, began = cpu_s(pids), time.monotonic()
    rate, bad = wrk(url, headers, body, connections, seconds, folder)
    micros = (cpu_s(pids) - before) / (rate * (time.monotonic() - began)) * 1e6
    print(f"{name:34s} c{connections:<3d} {rate:9.0f} req/s  {micros:8.1f} µs CPU/req{f'  ({bad} failed)' if bad else ''}", flush=True)
    return micros


@contextlib.contextmanager
def nginx(folder: Path):
    """A proxying nginx and the one behind it; yields (port, pids of the proxy)."""
    port = 18080 + os.getpid() % 1000
    common = f"daemon off; worker_processes 1; error_log {folder}/error.log; events {{ worker_connections 512; }}\n"
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    back = f"{common} pid {folder}/back.pid; http {{ access_log off; {paths} server {{ listen unix:{folder}/back.sock; location / {{ return 200 '0\\n'; }} }} }}"
    front = (
        f"{common} pid {folder}/front.pid; http {{ access_log off; {paths} upstream u {{ server unix:{folder}/back.sock; keepalive 64; }} "
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ''; }} }} }}"
    )
    running = []
    try:
        for name, text in (("back", back), ("front", front)):
            (folder / f"{name}.conf").write_text(text)
            running.append(subprocess.Popen(["nginx", "-c", f"{folder}/{name}.conf", "-e", f"{folder}/error.log"]))
        time.sleep(0.7)
        children = Path(f"/proc/{running[1].pid}/task/{running[1].pid}/children").read_text().split()
        yield port, [int(pid) for pid in children]
    finally:
        for process in running:
            process.terminate()
            process.wait(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve()
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed")
    folder = Path(tempfile.mkdtemp(prefix="door-bench"))
    folder.chmod(0o755)
    floor = None
    try:
        if shutil.which("nginx"):
            with nginx(folder) as (port, pids):
                for connections in (1, 8):
                    floor = measure(
                        "nginx proxy_pass", pids, f"http://127.0.0.1:{port}/x", {}, BODY, connections, arguments.seconds, folder
                    )
        process = subprocess.Popen([sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        port = int(process.stdout.readline())
        host, seconds = f"127.0.0.1:{port}", arguments.seconds
        invoke = signed(host, "/endpoints/e/invocations", "sagemaker", BODY, {"Content-Type": "text/csv"})
        for connections in (1, 8):
            cost = measure(
                "door: InvokeEndpoint", [process.pid], f"http://{host}/endpoints/e/invocations", invoke, BODY, connections, seconds, folder
            )
        health = measure("door: health page", [process.pid], f"http://{host}/_modelyard/health", {}, b"", 8, seconds, folder)
        create = b'{"ModelName":"m","ExecutionRoleArn":"arn:aws:iam::123456789012:role/role"}'
        for target, body in (("CreateModel", create), ("DescribeModel", b'{"ModelName":"m"}')):
            headers = signed(
                host, "/", "sagemaker", body, {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"SageMaker.{target}"}
            )
            measure(f"door: {target}", [process.pid], f"http://{host}/", headers, body, 8, seconds, folder)
        if floor:
            print(f"InvokeEndpoint without upstream: {cost / floor:.1f} × nginx proxy_pass in CPU; health {health / floor:.1f} ×")
        process.stdin.close()
        process.wait(10)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
