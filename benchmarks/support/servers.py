"""Model servers of the comparison: ours and its peers, each with its own environment, its batching off and on.

An environment is made once with uv in the cache folder, with the pins below and the libraries of our XGBoost 3.0 image, so
that all run the same scikit-learn and XGBoost. PyTorch is installed once, beside them all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from support.platform import ROOT
from support.ports import free_port

APPS = Path(__file__).resolve().parent / "apps"
LOCK = ROOT / f"src/modelyard/runtime/images/recipes/xgboost-3.0.py3{sys.version_info[1]}.lock"
LIBRARIES = ("scikit-learn==", "numpy==", "scipy==", "xgboost-cpu==")
TORCH = "torch==2.13.0"
PINS = {
    "modelyard": (),
    "fastapi": ("fastapi==0.165.*", "uvicorn[standard]==0.54.*"),
    "mlflow": ("mlflow==3.17.2",),
    "bentoml": ("bentoml==1.4.39",),
    "mlserver": ("mlserver==1.7.1", "uvloop<0.22"),  # With uvloop 0.22 its worker finds no event loop.
    "litserve": ("litserve==0.2.19",),
    "ray": ("ray[serve]==2.60.0",),
}
CSV, JSON = {"Content-Type": "text/csv", "Accept": "text/csv"}, {"Content-Type": "application/json"}
ROW = "5.1,3.5,1.4,0.2\n"
INSTANCES = '{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
TENSOR = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}]})


@dataclass(frozen=True)
class Way:
    """One server as it is measured: a peer, its batching ("off", "on", "" where there is nothing to switch) and how it is asked."""

    peer: str
    batching: str
    path: str
    headers: dict[str, str]
    body: str
    ready: str
    prepare: Callable[[Path, Path, dict[str, str], int], list[str]]

    @property
    def name(self) -> str:
        return f"{self.peer} {self.batching}".strip()


@dataclass(frozen=True)
class Running:
    url: str
    pid: int


def environment(peer: str, cache: Path, torch: bool, scikit_learn: str = "") -> Path:
    """The interpreter of a peer's environment. Raises subprocess.CalledProcessError when it cannot be installed.

    With `scikit_learn` that version is put over our image's libraries, and is all that a peer gets beside its own."""
    pins = list(PINS[peer])
    libraries = [line.split(" ")[0].rstrip("\\") for line in LOCK.read_text().splitlines() if line.startswith(LIBRARIES)]
    asked = ["-r", str(LOCK)] if peer == "modelyard" else [*libraries, *pins]
    if scikit_learn and peer != "modelyard":
        asked = [f"scikit-learn=={scikit_learn}", *pins]
    key = hashlib.sha256(f"{LOCK.read_bytes()!r}{pins}{sys.version_info[:2]}{scikit_learn}".encode()).hexdigest()[:12]
    folder = cache / f"{peer}-{key}"
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([*uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(python), *asked], check=True)
        if scikit_learn and peer == "modelyard":
            over = [*uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(python), f"scikit-learn=={scikit_learn}"]
            subprocess.run(over, check=True)
        (folder / "complete").touch()
    if torch:
        beside = _torch(cache)
        site = next((folder / "lib").glob("python3*/site-packages"))
        (site / "torch-beside.pth").write_text(f"{beside}\n")
    return python


def _torch(cache: Path) -> Path:
    """PyTorch's folder. pip and not uv: it reads the machine's own configuration, which may name an index of CPU builds."""
    folder = cache / f"{TORCH.replace('==', '-')}-py3{sys.version_info[1]}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), TORCH], check=True)
        for each in folder.glob("numpy*"):
            shutil.rmtree(each)  # Each environment has its own.
        (folder / "complete").touch()
    return folder


@contextlib.contextmanager
def running(way: Way, python: Path, kind: str, model: Path, folder: Path) -> Iterator[Running]:
    """The server, once it answers `way.ready`; ended with all its processes afterwards."""
    folder.mkdir(parents=True)
    port = free_port()
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    variables |= {"KIND": kind, "MODEL": str(model), "APPS": str(APPS), "PYTHONPATH": str(APPS), "BATCHING": way.batching or "off"}
    variables |= {"OMP_NUM_THREADS": "1", "PATH": f"{python.parent}:{variables['PATH']}", "MLSERVER_LOGGING_SETTINGS": ""}
    variables |= {"BENTOML_HOME": str(folder / "bento"), "BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0"}
    command = way.prepare(python, folder, variables, port)
    log = folder / "log"
    with open(log, "wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=output, stderr=output, start_new_session=True)
    try:
        _wait(process, f"http://127.0.0.1:{port}{way.ready}", log)
        yield Running(f"http://127.0.0.1:{port}{way.path}", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            if urllib.request.urlopen(url, timeout=5).status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer: {log.read_text()[-1500:]}")


def label(answer: bytes) -> float:
    """The one label in an answer of any of the servers: the first number of its predictions."""
    told = json.loads(answer) if answer[:1] in b"{[" else answer.decode()
    if isinstance(told, dict):
        told = told["outputs"][0]["data"] if "outputs" in told else told["predictions"]
    return float(re.findall(r"-?\d+\.?\d*", str(told))[0])


# --- ours --------------------------------------------------------------------------------------------------

HANDLER = """
import os, joblib
def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model"))
"""
TORCH_HANDLER = """
import os, torch
modelyard_batch = True
def model_fn(model_dir):
    return torch.jit.load(os.path.join(model_dir, "model")).eval()
def predict_fn(rows, network):
    with torch.inference_mode():
        return network(rows).argmax(1)
"""


def _ours(python: Path, folder: Path, variables: dict[str, str], port: int) -> list[str]:
    kind, model, box = variables["KIND"], folder / "base/model", folder / "box"
    model.mkdir(parents=True)
    box.mkdir()
    (box / "modelyard_algorithms").symlink_to(ROOT / "src/modelyard/algorithms")
    shutil.copy(variables["MODEL"], model / "model")
    if kind != "xgb":
        (model / "code").mkdir()
        (model / "code/inference.py").write_text(TORCH_HANDLER if kind == "mlp" else HANDLER)
    del variables["OMP_NUM_THREADS"]
    variables |= {"SAGEMAKER_BASE_DIR": str(folder / "base"), "SAGEMAKER_BIND_TO_PORT": str(port), "PYTHONPATH": str(box)}
    variables |= {"MODELYARD_PACKAGES": str(folder / "packages"), "MODELYARD_IMAGE_VERSION": "3.0-5" if kind == "xgb" else "1.4-2"}
    return [str(python), "-m", "modelyard_algorithms", "serve", {"xgb": "xgboost", "mlp": "pytorch"}.get(kind, "scikit-learn")]


# --- peers -------------------------------------------------------------------------------------------------


def _fastapi(python: Path, _folder: Path, _variables: dict[str, str], port: int) -> list[str]:
    return [str(python), "-m", "uvicorn", "fastapi_app:app", "--port", str(port), "--log-level", "warning", "--no-access-log"]


def _mlflow(python: Path, folder: Path, variables: dict[str, str], port: int) -> list[str]:
    saved = folder / "saved"
    command = [str(python), str(APPS / "mlflow_model.py"), str(saved)]
    done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    return [str(python), "-m", "mlflow", "models", "serve", "-m", str(saved), "-p", str(port), "-h", "127.0.0.1", "--env-manager", "local"]


def _bentoml(python: Path, _folder: Path, _variables: dict[str, str], port: int) -> list[str]:
    return [str(python.parent / "bentoml"), "serve", "bento_app:Model", "--working-dir", str(APPS), "--host", "127.0.0.1", "-p", str(port)]


def _mlserver(workers: int) -> Callable[[Path, Path, dict[str, str], int], list[str]]:
    def prepare(python: Path, folder: Path, variables: dict[str, str], port: int) -> list[str]:
        settings = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "host": "127.0.0.1", "debug": False}
        (folder / "settings.json").write_text(json.dumps(settings | {"parallel_workers": workers}))
        batching = {"max_batch_size": 64, "max_batch_time": 0.001} if variables["BATCHING"] == "on" else {}
        (folder / "model-settings.json").write_text(json.dumps({"name": "m", "implementation": "mlserver_app.Model", **batching}))
        return [str(python.parent / "mlserver"), "start", str(folder)]

    return prepare


def _litserve(python: Path, _folder: Path, _variables: dict[str, str], port: int) -> list[str]:
    return [str(python), str(APPS / "lit_app.py"), str(port)]


def _ray(python: Path, folder: Path, _variables: dict[str, str], port: int) -> list[str]:
    return [str(python), str(APPS / "ray_app.py"), str(port), str(folder)]


WAYS = [
    Way("modelyard", "", "/invocations", CSV, ROW, "/ping", _ours),
    Way("fastapi", "", "/invocations", CSV, ROW, "/ping", _fastapi),
    Way("mlflow", "", "/invocations", JSON, '{"inputs": [[5.1, 3.5, 1.4, 0.2]]}', "/ping", _mlflow),
    Way("bentoml", "off", "/predict", JSON, INSTANCES, "/readyz", _bentoml),
    Way("bentoml", "on", "/predict", JSON, INSTANCES, "/readyz", _bentoml),
    Way("mlserver", "off", "/v2/models/m/infer", JSON, TENSOR, "/v2/models/m/ready", _mlserver(0)),
    Way("mlserver", "on", "/v2/models/m/infer", JSON, TENSOR, "/v2/models/m/ready", _mlserver(0)),
    Way("litserve", "off", "/predict", JSON, INSTANCES, "/health", _litserve),
    Way("litserve", "on", "/predict", JSON, INSTANCES, "/health", _litserve),
    Way("ray", "off", "/", JSON, INSTANCES, "/-/healthz", _ray),
    Way("ray", "on", "/", JSON, INSTANCES, "/-/healthz", _ray),
]
