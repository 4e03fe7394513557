"""Environments of managed images for tests, and containers run from them without a sandbox.

An environment is built once from the recipe's lock into the cache folder and shared by all tests.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import patience
from tests.support.needs import LARGE, large_image

ROOT = Path(__file__).resolve().parents[2]
ALGORITHMS = ROOT / "src" / "modelyard" / "algorithms"
RECIPES = ROOT / "src" / "modelyard" / "runtime" / "images" / "recipes"
CACHE = Path(os.environ.get("MODELYARD_TEST_ENVIRONMENTS", Path.home() / ".cache" / "modelyard-test-environments"))


def build(name: str) -> Path:
    """The interpreter of the environment `name`, built with uv unless it is there; a large one is the platform's own."""
    if name in LARGE:
        return large_image(name) / "bin" / "python"
    lock = RECIPES / f"{name}.py3{sys.version_info[1]}.lock"
    if not lock.exists():
        pytest.skip(f"{name} has no lock for this Python")
    folder = CACHE / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as turn:  # workers of one suite want the same environments at the same time
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            subprocess.run([sys.executable, "-m", "uv", "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=True)
            command = [sys.executable, "-m", "uv", "pip", "sync", "-q", "--compile-bytecode", "--python", str(python), str(lock)]
            subprocess.run(command, check=True)
            (folder / "complete").touch()
    return python


@pytest.fixture(scope="session")
def environment() -> Callable[[str], Path]:
    return build


@pytest.fixture(scope="session")
def package_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package has the name it has in boxes."""
    folder = tmp_path_factory.mktemp("box")
    (folder / "modelyard_algorithms").symlink_to(ALGORITHMS)
    return folder


class Container:
    """One container's /opt/ml and what can be run in it."""

    def __init__(self, python: Path, package_path: Path, base: Path):
        self.python, self.package_path, self.base = python, package_path, base
        for folder in ("input/config", "input/data", "model", "output"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        self.variables = {
            "SAGEMAKER_BASE_DIR": str(base),
            "PYTHONPATH": str(package_path),
            "MODELYARD_PACKAGES": str(base.parent / (base.name + "-packages")),
            "PATH": f"{python.parent}:/usr/bin:/bin",
            "HOME": str(base.parent),
            "LANG": "C.UTF-8",
        }

    def write(self, name: str, value: object) -> None:
        (self.base / "input" / "config" / f"{name}.json").write_text(json.dumps(value))

    def channel(self, name: str, file: str, data: str | bytes) -> Path:
        path = self.base / "input" / "data" / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        """Run `python -m modelyard_algorithms <arguments>` to its end; standard error comes with the output."""
        command = [str(self.python), "-m", "modelyard_algorithms", *arguments]
        return subprocess.run(
            command, env=self.variables | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
        )

    @property
    def failure(self) -> str:
        return (self.base / "output" / "failure").read_text()

    @contextlib.contextmanager
    def serving(self, framework: str, **variables: str) -> Iterator[Client]:
        """A running model server, once /ping answers (whatever it answers)."""
        port = free_port()
        log = open(self.base / "serve.log", "w+")  # noqa: SIM115
        process = subprocess.Popen(
            [str(self.python), "-m", "modelyard_algorithms", "serve", framework],
            env=self.variables | {"SAGEMAKER_BIND_TO_PORT": str(port), "SAGEMAKER_MODEL_SERVER_WORKERS": "1"} | variables,
            stdout=log,
            stderr=log,
        )
        client = Client(port, process, self.base / "serve.log")
        try:
            client.wait()
            yield client
        finally:
            process.terminate()
            process.wait(30)
            log.close()


class Client:
    """Asks a model server."""

    def __init__(self, port: int, process: subprocess.Popen, log: Path):
        self.port, self.process, self.log = port, process, log

    def wait(self) -> None:
        end = patience.deadline(60)
        while True:
            try:
                self.get("/ping")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"The server did not start: {self.log.read_text()}") from None
                time.sleep(0.05)

    def took(self, connections: int) -> bool:
        """Whether so many connections are open to the server, and it has read all that was sent over them."""
        mine, here = 0, f"0100007F:{self.port:04X}"
        with open("/proc/net/tcp") as file:
            for place, peer, state, queues in (line.split()[1:5] for line in list(file)[1:]):
                if state == "01" and here in (place, peer):
                    if any(int(size, 16) for size in queues.split(":")):
                        return False
                    mine += place == here
        return mine >= connections

    def wait_for(self, there: Callable[[], Any], seconds: float = 30) -> None:
        end = patience.deadline(seconds)
        while not there():
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.01)

    def get(self, path: str) -> tuple[int, bytes]:
        return self._ask(urllib.request.Request(f"http://127.0.0.1:{self.port}{path}"))[:2]

    def post(self, body: bytes | str, content_type: str = "text/csv", accept: str | None = None, **headers: str) -> tuple[int, bytes, dict]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/invocations", body.encode() if isinstance(body, str) else body)
        request.add_header("Content-Type", content_type)
        for name, value in (({"Accept": accept} if accept else {}) | headers).items():
            request.add_header(name, value)
        return self._ask(request)

    def _ask(self, request: urllib.request.Request) -> tuple[int, bytes, dict]:
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def container(environment: Callable, package_path: Path, tmp_path: Path) -> Callable[[str], Container]:
    """`container("xgboost-1.7")`: a fresh /opt/ml for that environment."""

    def make(name: str, folder: str = "ml") -> Container:
        return Container(environment(name), package_path, tmp_path / folder)

    return make
