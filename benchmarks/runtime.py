"""What a box costs: from `ensure` to the payload's first line, beside a plain subprocess, in the same run.

    python benchmarks/runtime.py [--rounds 40]

Per tier that this machine offers: first line of `sh -c 'echo …'` (p50 and p90, ms), of a Python from a small image, stop of a
running payload to its verdict on disk, and the memory of a run's own processes (shim, sandbox, relay; PSS, KiB). Then
one HTTP request (64 B, keep-alive) to a server in a box, direct and through the relay, beside a server of the host.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uv

from modelyard.config import Settings
from modelyard.runtime.base import RunSpec
from modelyard.runtime.process import ProcessRuntime, probe
from modelyard.runtime.process.launch import descendants

SERVER = """
import os, socket, sys, threading
def answer(sock):
    while sock.recv(65536): sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 64\\r\\n\\r\\n" + b"x" * 64)
direct = sys.argv[1] == "direct"
listener = socket.socket(socket.AF_UNIX if direct else socket.AF_INET)
listener.bind(os.environ["MODELYARD_SERVE_SOCKET"] if direct else ("127.0.0.1", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", sys.argv[2]))))
listener.listen()
while True: threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="my-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        image = str(folder / "image")
        subprocess.run([uv.find_uv_bin(), "venv", "-q", "--python", os.path.realpath(sys.executable), image], check=True)
        report: dict = {"plain subprocess": {"sh": _summary([_plain(["sh", "-c", "echo x"]) for _ in range(rounds)])}}
        report["plain subprocess"]["python"] = _summary([_plain([f"{image}/bin/python", "-c", "print(1)"]) for _ in range(rounds)])
        for tier in probe.offered():
            os.environ["MODELYARD_TIER"] = tier
            report[tier] = _tier(ProcessRuntime(Settings(data=folder / tier)), folder / tier, image, rounds)
        report["request, host process"] = _host_request()
        print(json.dumps(report, indent=1))


def _tier(runtime: ProcessRuntime, folder: Path, image: str, rounds: int) -> dict:
    def first_line(name: str, argv: list[str], **more) -> float:
        began = time.time()
        runtime.ensure(RunSpec(name, argv, {}, str(folder / "ml"), **more))
        _wait(lambda: runtime.look(name).ended)
        text = [line for line in (runtime.folder(name) / "log").read_text().splitlines() if "[modelyard]" not in line]
        return int(text[0].split()[0]) / 1000 - began

    shell = [first_line(f"sh{n}", ["sh", "-c", "echo x"]) for n in range(rounds)]
    limited = [first_line(f"lim{n}", ["sh", "-c", "echo x"], memory_bytes=1 << 30, cpus=1, platform_port=4566) for n in range(rounds)]
    python = [first_line(f"py{n}", ["python", "-c", "print(1)"], env_path=image) for n in range(rounds)]
    stops = [_stop(runtime, folder, n) for n in range(max(3, rounds // 4))]
    answer = {
        "sh": _summary(shell),
        "sh with limits and relay": _summary(limited),
        "python of an image": _summary(python),
        "stop": _summary(stops),
    }
    for kind in ("direct", "relay"):
        path = runtime.serve_socket(kind)
        spec = RunSpec(kind, ["python", "-c", SERVER, kind, "8080"], {}, str(folder / "ml"), env_path=image, serve_socket=path)
        runtime.ensure(spec)
        _wait(lambda path=path: _try_request(path))
        time.sleep(0.1)
        shim = runtime.look(kind).pid
        answer[f"request, {kind}"] = _request_us(_connect_unix(path))
        own = [
            pid
            for pid in [shim, *descendants(shim)]
            if "SERVE_SOCKET" not in Path(f"/proc/{pid}/cmdline").read_text() or b"bwrap" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        answer[f"memory of its own processes, {kind} (PSS KiB)"] = sum(_pss(pid) for pid in own)
        runtime.stop(kind, 0)
    runtime.sweep([])
    return answer


def _stop(runtime: ProcessRuntime, folder: Path, number: int) -> float:
    name = f"stop{number}"
    runtime.ensure(RunSpec(name, ["sleep", "60"], {}, str(folder / "ml")))
    _wait(lambda: runtime.look(name).state == "running")
    time.sleep(0.02)
    began = time.time()
    runtime.stop(name)
    _wait(lambda: runtime.look(name).ended)
    return time.time() - began


def _plain(argv: list[str]) -> float:
    began = time.time()
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        return time.time() - began


def _host_request() -> dict:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        port = probe_socket.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", SERVER, "relay", str(port)])
    try:
        _wait(lambda: socket.create_connection(("127.0.0.1", port)))
        return _request_us(socket.create_connection(("127.0.0.1", port)))
    finally:
        server.kill()
        server.wait()


def _request_us(sock: socket.socket, count: int = 3000) -> dict:
    took = []
    for _ in range(count):
        began = time.perf_counter()
        sock.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(65536)
        took.append(time.perf_counter() - began)
    sock.close()
    return {"p50 us": round(statistics.median(took) * 1e6), "p99 us": round(sorted(took)[int(count * 0.99)] * 1e6)}


def _connect_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


def _try_request(path: str) -> bool:
    connection = http.client.HTTPConnection("x", timeout=2)
    connection.sock = _connect_unix(path)
    connection.request("GET", "/")
    return connection.getresponse().status == 200


def _pss(pid: int) -> int:
    try:
        return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
    except OSError:
        return 0


def _wait(good) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if good():
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.002)
    raise TimeoutError


def _summary(seconds: list[float]) -> dict:
    ordered = sorted(seconds)
    return {"p50 ms": round(statistics.median(ordered) * 1000, 1), "p90 ms": round(ordered[int(len(ordered) * 0.9)] * 1000, 1)}


if __name__ == "__main__":
    main()
