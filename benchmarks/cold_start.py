"""Cold start and idle cost of the whole platform, beside floors of the same minute: T20 of the targets.

Start: `modelyard up` (not detached) until /_modelyard/health answers 200, on a data folder that was started before; floors are
`python -c pass` and a bare uvloop server until its first answer. Idle: PSS of all processes together and the CPU they use
in 10 s after 3 s of rest. Each start is checked to be a real one: the health answer names every service as ready.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROUNDS, REST_SECONDS, IDLE_SECONDS = 7, 3.0, 10.0
BARE = """
import asyncio, sys, uvloop
class Hello(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}"); self.transport.close()
async def main():
    server = await asyncio.get_running_loop().create_server(Hello, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
uvloop.run(main())
"""
SOURCES = Path(__file__).resolve().parent.parent / "src"
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPATH": str(SOURCES)}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cold-") as folder:
        data = Path(folder) / "data"
        platform_start(data)  # the first start makes keys and account, and compiles: not counted
        rounds = [(pass_time(), bare_start(), platform_start(data)) for _ in range(ROUNDS)]
        floor, bare, whole = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"python -c pass            {floor * 1000:7.0f} ms")
        print(f"bare uvloop, first answer {bare * 1000:7.0f} ms")
        print(f"modelyard up, healthy     {whole * 1000:7.0f} ms   {whole / bare:.1f} × bare uvloop (spread {spread(rounds, 2):.0%})")
        pss, cpu = idle(data)
        print(f"idle: PSS {pss:.0f} MiB in all (target 150), CPU {cpu:.2%} of a core (target 1 %)")


def pass_time() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], env=ENVIRONMENT, check=True)
    return time.perf_counter() - began


def bare_start() -> float:
    port = free_port()
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", BARE, str(port)], env=ENVIRONMENT)
    try:
        answer(port, "/")
        return time.perf_counter() - began
    finally:
        process.kill()
        process.wait()


def platform_start(data: Path) -> float:
    port = free_port()
    began = time.perf_counter()
    process = up(data, port)
    try:
        health = json.loads(answer(port, "/_modelyard/health"))
        took = time.perf_counter() - began
        assert health["services"] and all(state == "ready" for state in health["services"].values()), health
        return took
    finally:
        process.terminate()
        process.wait(30)


def idle(data: Path) -> tuple[float, float]:
    """(PSS MiB, share of a core) of supervisor, gateway and engine together."""
    port = free_port()
    process = up(data, port)
    try:
        answer(port, "/_modelyard/health")
        time.sleep(REST_SECONDS)
        pids = [p["pid"] for p in json.loads((data / "run/state.json").read_text())["processes"]]
        assert len(pids) == 3, pids
        before, began = sum(map(cpu_seconds, pids)), time.perf_counter()
        time.sleep(IDLE_SECONDS)
        used = (sum(map(cpu_seconds, pids)) - before) / (time.perf_counter() - began)
        return sum(map(pss_mib, pids)), used
    finally:
        process.terminate()
        process.wait(30)


def up(data: Path, port: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "modelyard", "up", "--data", str(data), "--port", str(port)]
    return subprocess.Popen(argv, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def answer(port: int, path: str, seconds: float = 60.0) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.perf_counter() + seconds
    while True:
        try:
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
                return reply.read()
        except OSError:
            if time.perf_counter() > deadline:
                raise
            time.sleep(0.002)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def spread(rounds: list[tuple[float, ...]], column: int) -> float:
    values = [row[column] for row in rounds]
    return (max(values) - min(values)) / statistics.median(values)


if __name__ == "__main__":
    main()
