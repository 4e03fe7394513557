"""A real platform under noise and misuse for a while: no 5xx, no hang, no growth, and it serves as before."""

from __future__ import annotations

import contextlib
import functools
import gzip
import importlib.util
import json
import os
import random
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from tests.support import patience
from tests.support.doors import talk

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("fuzz", ROOT / "tools/fuzz.py")
fuzz = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fuzz)


class Live:
    def __init__(self, folder: str, *words: str) -> None:
        self.folder, self.environment = folder, {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        self.command("up", "--detach", "--port", "0", *words)
        state = json.loads(self.command("status", "--json"))
        self.port = int(state["endpoint"].rsplit(":", 1)[1])
        self.gateway = psutil.Process(next(p["pid"] for p in state["processes"] if p["role"] == "gateway"))

    def command(self, *words: str) -> str:
        argv = [sys.executable, "-m", "modelyard", *words, "--data", self.folder]
        return subprocess.run(argv, env=self.environment, check=True, capture_output=True, text=True, timeout=240).stdout

    def settled(self) -> tuple[int, int]:
        """(open descriptors, resident bytes) once nobody is connected any more: a connection that was refused is held for some seconds,
        so that its client reads why."""
        until, before, same = patience.deadline(30), -1, 0
        while time.monotonic() < until and same < 5:
            now = self.gateway.num_fds()
            before, same = now, same + 1 if now == before else 0
            time.sleep(1)
        return self.gateway.num_fds(), self.gateway.memory_info().rss

    def healthy(self) -> bool:
        began = time.monotonic()
        said = talk(self.port, b"GET /_modelyard/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return said.startswith(b"HTTP/1.1 200") and time.monotonic() - began < 2 * patience.SLOWNESS


@pytest.fixture(scope="module", params=["iam", "open"])
def live(request):
    folder = tempfile.mkdtemp(prefix="modelyard-live-")
    platform = Live(folder + "/d", "--auth", request.param)
    yield platform
    platform.command("down")
    shutil.rmtree(folder, ignore_errors=True)


def noise(live: Live, pieces: int, seed: int) -> None:
    rng, corpus = random.Random(seed), [one[1:] for one in fuzz.seeds("http")]
    for _ in range(pieces):
        data = fuzz.mutated(rng, corpus)
        began = time.monotonic()
        said = talk(live.port, data, half_close=True, timeout_s=100)
        assert not re.search(rb"HTTP/1\.1 5\d\d", said) and b"Traceback" not in said, (data, said[:500])
        assert time.monotonic() - began < 10 * patience.SLOWNESS, data


def test_noise_leaves_nothing_behind(live):
    noise(live, 100, 1)
    fds, memory = live.settled()
    noise(live, 400, 2)
    after_fds, after_memory = live.settled()
    assert after_fds <= fds + 8 and after_memory < memory + (48 << 20)
    assert live.healthy()


def test_slow_and_many_clients_do_not_keep_others_out(live):
    fds = []
    for _ in range(3):  # at first threads start, and each opens the store
        with contextlib.ExitStack() as stack:
            for place in range(800):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", live.port), timeout=5))
                if place % 3 == 0:
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nX: ")
                elif place % 3 == 1:
                    sock.sendall(b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nx")
            assert live.healthy()
        fds.append(live.settled()[0])
    assert fds[2] <= fds[1] + 40, "a connection that is not given back would be one of 800"


GIANTS = {
    "header": b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * (1 << 20) + b"\r\n\r\n",
    "target": b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "headers": b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(b"x%d: y\r\n" % i for i in range(5000)) + b"\r\n",
    "trailers": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 100_000 + b"\r\n",
    "chunk extension": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * (1 << 20) + b"\r\na\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("giant", GIANTS)
def test_giants_are_turned_away(live, giant):
    said = talk(live.port, GIANTS[giant], timeout_s=20)
    assert said == b"" or re.match(rb"HTTP/1\.1 4\d\d", said), said[:200]
    assert live.healthy()


@functools.cache
def gzip_bomb() -> bytes:
    return gzip.compress(b"\0" * (1 << 30), 1)


def test_a_gzip_bomb_is_not_unpacked(live):
    body = gzip_bomb()
    memory = live.gateway.memory_info().rss
    head = f"POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: SageMaker.Search\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    said = talk(live.port, head.encode() + body, timeout_s=30)
    assert re.match(rb"HTTP/1\.1 4\d\d", said) and live.gateway.memory_info().rss - memory < 128 << 20


def test_secrets_are_for_their_owner_only(live):
    folder = Path(live.folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in (folder / "secrets").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    for path in (folder / "ca").rglob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in folder.rglob("*"):
        if stat.S_ISSOCK(path.lstat().st_mode):
            assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


def test_no_secret_is_in_the_logs_the_store_or_a_command_line(live):
    found = []
    for path in (Path(live.folder) / "secrets").glob("[0-9]*.json"):
        text = path.read_text()
        found += re.findall(r'"(?:SecretAccessKey|SessionToken)":\s*"([^"]+)"', text)
    assert found
    files = [*Path(live.folder).glob("*.db*"), *(Path(live.folder) / "logs").glob("*"), *(Path(live.folder) / "run").glob("*.json")]
    texts = [path.read_bytes() for path in files] + [" ".join(p.info["cmdline"] or []).encode() for p in psutil.process_iter(["cmdline"])]
    for secret in found:
        assert not any(secret.encode() in text for text in texts)
