"""Model serving: one-row CSV to a LogisticRegression and a RandomForest(100), beside FastAPI + uvicorn and bare `predict`.

    python benchmarks/serving.py [--seconds 3] [--rounds 3] [--workers 1]

Needs `wrk` on PATH and uv. Everything runs on the same scikit-learn, in throw-away environments made here. Figures are
medians over rounds in which the servers take turns; ratios are to the bare call of the same round. Answers are checked
first, and a round with a non-2xx answer fails.
"""

from __future__ import annotations

import argparse
import contextlib
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
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "src" / "modelyard" / "runtime" / "images" / "recipes"
ROW = "5.1,3.5,1.4,0.2"
TRAIN = """
import joblib, sys
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=500) if sys.argv[1] == "lr" else RandomForestClassifier(100, random_state=0, n_jobs=1)
joblib.dump(model.fit(X, y), sys.argv[2])
"""
BARE = """
import joblib, numpy, statistics, sys, time
model, row, times = joblib.load(sys.argv[1]), numpy.array([[5.1, 3.5, 1.4, 0.2]]), []
model.predict(row)
end = time.perf_counter() + 1
while time.perf_counter() < end:
    start = time.perf_counter(); model.predict(row); times.append(time.perf_counter() - start)
print(statistics.median(times) * 1e6)
"""
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
HANDLER = "import os, joblib\ndef model_fn(model_dir):\n    return joblib.load(os.path.join(model_dir, 'model.joblib'))\n"


def environment(folder: Path, *extra: str) -> Path:
    """A throw-away environment from the image's lock; answers its interpreter."""
    lock = RECIPES / f"scikit-learn-1.2.py3{sys.version_info[1]}.lock"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([*uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(python), "-r", str(lock)], check=True)
    if extra:
        subprocess.run([*uv, "pip", "install", "-q", "--python", str(python), *extra], check=True)
    return python


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def server(argv: list[str], variables: dict[str, str], log: Path) -> Iterator[str]:
    """A server on a free port (`{port}` in argv and variables); yields its URL once it answers, ends it afterwards."""
    port = str(free_port())
    variables = os.environ | {k: v.replace("{port}", port) for k, v in variables.items()}
    with open(log, "wb") as output:
        process = subprocess.Popen([a.replace("{port}", port) for a in argv], env=variables, stdout=output, stderr=output)
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), urllib.request.urlopen(url + "/ping", timeout=5):
                    break
                if process.poll() is not None:
                    raise RuntimeError(log.read_text())
                time.sleep(0.05)
            headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
            with urllib.request.urlopen(urllib.request.Request(url + "/invocations", ROW.encode(), headers)) as answer:
                assert answer.read() == b"0\n", "the server answers something else"
            yield url
        finally:
            process.terminate()
            process.wait(30)


def load(url: str, connections: int, seconds: int, script: Path) -> dict[str, float]:
    """wrk's figures: requests per second, p50 and p99 in milliseconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "-s", str(script), "--latency", "--timeout", "30s", url + "/invocations"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    units = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    latency = {p: float(v) * units[u] for p, v, u in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)\b", text)}
    return {"rps": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]), "p50": latency["50"], "p99": latency["99"]}


def compare(kind: str, arguments: argparse.Namespace, python: Path, peer: Path, scratch: Path) -> None:
    """Measure one model and print the table."""
    base = scratch / kind
    (base / "model" / "code").mkdir(parents=True)
    (base / "model" / "code" / "inference.py").write_text(HANDLER)
    model = base / "model" / "model.joblib"
    subprocess.run([str(python), "-c", TRAIN, kind, str(model)], check=True)
    common = {"OMP_NUM_THREADS": "1"}
    ours = {"SAGEMAKER_BASE_DIR": str(base), "SAGEMAKER_BIND_TO_PORT": "{port}", "PYTHONPATH": str(scratch / "box")}
    ours |= {"SAGEMAKER_MODEL_SERVER_WORKERS": str(arguments.workers), "MODELYARD_PACKAGES": str(scratch / "packages")}
    uvicorn = [str(peer), "-m", "uvicorn", "app:app", "--port", "{port}", "--log-level", "warning", "--no-access-log"]
    uvicorn += ["--workers", str(arguments.workers)] if arguments.workers > 1 else []
    servers = {
        "modelyard": ([str(python), "-m", "modelyard_algorithms", "serve", "scikit-learn"], common | ours),
        "fastapi+uvicorn": (uvicorn, common | {"MODEL": str(model), "PYTHONPATH": str(scratch)}),
    }
    results: dict[tuple[str, int], list[dict]] = {}
    floors = []
    with contextlib.ExitStack() as stack:
        urls = {name: stack.enter_context(server(*what, base / f"{name}.log")) for name, what in servers.items()}
        for _ in range(arguments.rounds):
            bare = subprocess.run(
                [str(python), "-c", BARE, str(model)], env=os.environ | common, capture_output=True, text=True, check=True
            )
            floors.append(float(bare.stdout))
            for name, url in urls.items():
                for connections in (1, 8, 32):
                    results.setdefault((name, connections), []).append(load(url, connections, arguments.seconds, scratch / "post.lua"))
    report(kind, results, statistics.median(floors))


def report(kind: str, results: dict[tuple[str, int], list[dict]], floor: float) -> None:
    """Print medians, and each as a multiple of the bare call (p50) or of its rate (requests per second)."""
    print(f"\n{kind}: bare predict {floor:.0f} us")
    print(f"{'server':18} {'c':>3} {'req/s':>8} {'x bare':>7} {'p50 ms':>8} {'x bare':>7} {'p99 ms':>8} {'p99/p50':>8}")
    summary = {}
    for (name, connections), rounds in results.items():
        rps, p50, p99 = (statistics.median(r[key] for r in rounds) for key in ("rps", "p50", "p99"))
        rate, slow = rps * floor / 1e6, p50 * 1000 / floor
        print(f"{name:18} {connections:3} {rps:8.0f} {rate:7.2f} {p50:8.2f} {slow:7.2f} {p99:8.2f} {p99 / p50:8.1f}")
        summary[f"{name} c{connections}"] = {"rps": round(rps), "p50_ms": p50, "p99_ms": p99}
    print(json.dumps({"model": kind, "bare_us": round(floor, 1), "results": summary}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="processes of each server")
    parser.add_argument("--models", nargs="*", default=["lr", "rf"], choices=["lr", "rf"])
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is not on PATH")
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        scratch = Path(folder)
        (scratch / "box").mkdir()
        (scratch / "box" / "modelyard_algorithms").symlink_to(ROOT / "src" / "modelyard" / "algorithms")
        (scratch / "app.py").write_text(FASTAPI)
        headers = 'wrk.headers["Content-Type"] = "text/csv"\nwrk.headers["Accept"] = "text/csv"\n'
        (scratch / "post.lua").write_text(f'wrk.method = "POST"\nwrk.body = "{ROW}"\n{headers}')
        python, peer = environment(scratch / "ours"), environment(scratch / "peer", "fastapi", "uvicorn[standard]")
        for kind in arguments.models:
            compare(kind, arguments, python, peer, scratch)


if __name__ == "__main__":
    main()
