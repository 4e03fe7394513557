"""Peers of an endpoint, called directly: FastAPI + uvicorn, nginx + gunicorn + Flask (bring your own container), MLflow `models serve`.

They run in throw-away environments made with uv from the same lock as the image, so scikit-learn is the same everywhere.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.platform import ROOT
from support.ports import free_port

LOCK = ROOT / f"src/modelyard/runtime/images/recipes/scikit-learn-1.2.py3{sys.version_info[1]}.lock"
PINNED = ("scikit-learn==", "numpy==", "scipy==", "joblib==", "pandas==")
ROW = "5.1,3.5,1.4,0.2\n"
FASTAPI = """
import os, joblib
from fastapi import FastAPI, Request, Response
model, app = joblib.load(os.environ["MODEL"]), FastAPI()
@app.get("/ping")
def ping(): return {}
@app.post("/invocations")
async def invocations(request: Request):
    rows = [[float(v) for v in line.split(",")] for line in (await request.body()).decode().splitlines()]
    return Response("\\n".join(map(str, model.predict(rows).tolist())) + "\\n", media_type="text/csv")
"""
FLASK = """
import io, os, joblib, flask, pandas
model, app = joblib.load(os.environ["MODEL"]), flask.Flask("predictor")
@app.get("/ping")
def ping(): return "\\n"
@app.post("/invocations")
def invocations():
    data = pandas.read_csv(io.StringIO(flask.request.data.decode()), header=None)
    out = io.StringIO()
    pandas.DataFrame({"results": model.predict(data.values)}).to_csv(out, header=False, index=False)
    return flask.Response(out.getvalue(), mimetype="text/csv")
"""
SAVE = "import joblib, mlflow.sklearn, sys; mlflow.sklearn.save_model(joblib.load(sys.argv[1]), sys.argv[2], pip_requirements=[])"


@dataclass(frozen=True)
class Peer:
    url: str
    headers: dict[str, str]
    body: str
    pid: int


def environment(folder: Path, *extra: str, scikit_learn: str = "") -> Path:
    """An environment from the image's lock, or with that version of scikit-learn, and what a peer needs beside it; answers its interpreter."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin/python"
    if scikit_learn:
        subprocess.run([*uv, "pip", "install", "-q", "--python", str(python), f"scikit-learn=={scikit_learn}", "pandas", *extra], check=True)
        return python
    subprocess.run([*uv, "pip", "install", "-q", "--python", str(python), "-r", str(LOCK)], check=True)
    if extra:
        pins = folder / "pins.txt"
        pins.write_text("\n".join(line.split(" ")[0].rstrip("\\") for line in LOCK.read_text().splitlines() if line.startswith(PINNED)))
        subprocess.run([*uv, "pip", "install", "-q", "--python", str(python), "-c", str(pins), *extra], check=True)
    return python


@contextlib.contextmanager
def fastapi(python: Path, model: Path, folder: Path) -> Iterator[Peer]:
    (folder / "app.py").write_text(FASTAPI)
    port = free_port()
    command = [str(python), "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning", "--no-access-log"]
    with _running(command, folder, model, f"http://127.0.0.1:{port}/ping") as pid:
        yield Peer(f"http://127.0.0.1:{port}/invocations", {"Content-Type": "text/csv"}, ROW, pid)


@contextlib.contextmanager
def container(python: Path, model: Path, folder: Path) -> Iterator[Peer]:
    """As AWS's sample container: nginx before gunicorn with one gevent worker per core."""
    (folder / "predictor.py").write_text(FLASK)
    port, socket = free_port(), folder / "gunicorn.sock"
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"{'user root;' if os.getuid() == 0 else ''} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n"
        f"events {{ worker_connections 1024; }} http {{ access_log off; {paths} upstream g {{ server unix:{socket}; }}\n"
        f"server {{ listen 127.0.0.1:{port}; keepalive_requests 1000000000; location / {{ proxy_pass http://g; }} }} }}"
    )
    workers = ["-k", "gevent", "-w", str(os.cpu_count()), "-b", f"unix:{socket}", "predictor:app"]
    with (
        _running([str(python), "-m", "gunicorn", *workers], folder, model, None) as pid,
        _running(["nginx", "-c", f"{folder}/nginx.conf", "-e", f"{folder}/nginx.log"], folder, model, f"http://127.0.0.1:{port}/ping"),
    ):
        yield Peer(f"http://127.0.0.1:{port}/invocations", {"Content-Type": "text/csv"}, ROW, pid)


@contextlib.contextmanager
def mlflow(python: Path, model: Path, folder: Path) -> Iterator[Peer]:
    saved, port = folder / "saved", free_port()
    subprocess.run([str(python), "-c", SAVE, str(model), str(saved)], check=True, capture_output=True, cwd=folder)
    command = [str(python), "-m", "mlflow", "models", "serve", "-m", str(saved), "-p", str(port), "--env-manager", "local"]
    with _running(command, folder, model, f"http://127.0.0.1:{port}/ping") as pid:
        yield Peer(f"http://127.0.0.1:{port}/invocations", {"Content-Type": "application/json"}, '{"inputs": [[5.1, 3.5, 1.4, 0.2]]}', pid)


@contextlib.contextmanager
def _running(command: list[str], folder: Path, model: Path, ready: str | None) -> Iterator[int]:
    bin_folder = Path(command[0]).parent
    variables = os.environ | {"MODEL": str(model), "OMP_NUM_THREADS": "1", "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    variables.pop("PYTHONPATH", None)
    log = folder / f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=output, stderr=output)
    try:
        if ready is not None:
            _wait(process, ready, log)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(2400):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5).read()
            return
        if process.poll() is not None:
            raise SystemExit(log.read_text())
        time.sleep(0.05)
    raise SystemExit(f"{url} does not answer; {log.read_text()[-2000:]}")
