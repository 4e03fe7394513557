"""Model servers called directly, one row per request: ours beside FastAPI, MLflow, BentoML, MLServer, LitServe and Ray Serve.

    python benchmarks/serving.py [--peers fastapi mlserver … | all] [--models lr rf xgb mlp] [--rounds 1] [--seconds 2]
                                 [--connections 1 8 32] [--scikit-learn 1.9.1] [--cache DIR] [--json FILE]

LogisticRegression (lr), RandomForest of 100 trees (rf), XGBoost (xgb), a small network in PyTorch (mlp), trained on iris, the
same file and the same libraries everywhere. Peers run one model process, as shipped, with their batching off and on where
they have it (FastAPI and MLflow have none). Ours runs as it does by default; the network's handler declares that it may be
batched. Floor: the model called in a bare loop. Every answer's label is compared first, one answer that is not 2xx ends a
peer's run, rounds take turns. CPU is that of all processes of a server. Needs wrk and uv.
The environments stay in the cache folder (default: modelyard-bench in the user's cache). A peer that cannot be installed or
started is told and left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from support import servers, wrk  # noqa: E402
from support.platform import cpu_s, load_average  # noqa: E402

KINDS = ["lr", "rf", "xgb", "mlp"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peers = [name for name in servers.PINS if name != "modelyard"]
    parser.add_argument("--peers", nargs="*", default=["fastapi"], choices=[*peers, "all"])
    parser.add_argument("--models", nargs="*", default=["lr", "rf"], choices=KINDS)
    parser.add_argument("--connections", nargs="*", type=int, default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard-bench")
    parser.add_argument("--scikit-learn", default="", metavar="VERSION", help="everywhere; default: that of our XGBoost 3.0 image")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    wrk.require()
    wanted = {"modelyard", *(peers if "all" in options.peers else options.peers)}
    pythons, told = {}, {}
    for peer in [name for name in servers.PINS if name in wanted]:
        try:
            pythons[peer] = servers.environment(peer, options.cache, "mlp" in options.models, options.scikit_learn)
        except subprocess.CalledProcessError as error:
            print(f"{peer} cannot be installed: {error}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as name:
        for kind in options.models:
            told[kind] = compare(kind, options, pythons, Path(name) / kind)
    print(load_average())
    if options.json:
        options.json.write_text(json.dumps(told, indent=2))


def compare(kind: str, options: argparse.Namespace, pythons: dict[str, Path], folder: Path) -> dict:
    """Measure one model on all servers and print the table."""
    folder.mkdir()
    model = folder / ("model.ubj" if kind == "xgb" else "model")
    subprocess.run([str(pythons["modelyard"]), str(servers.APPS / "train.py"), kind, str(model)], check=True)
    seen: dict[tuple[str, int], list[dict]] = {}
    floors = []
    with contextlib.ExitStack() as stack:
        up: dict[str, tuple[servers.Way, servers.Running]] = {}
        for number, way in enumerate(way for way in servers.WAYS if way.peer in pythons):
            try:
                started = stack.enter_context(servers.running(way, pythons[way.peer], kind, model, folder / str(number)))
                check(way, started)
                up[way.name] = way, started
            except Exception as error:
                print(f"{way.name} does not run {kind}: {error}", file=sys.stderr)
        for _ in range(options.rounds):
            floors.append(bare(pythons["modelyard"], kind, model))
            for connections in options.connections:
                for name, (way, started) in list(up.items()):
                    try:
                        seen.setdefault((name, connections), []).append(measure(way, started, connections, options.seconds, folder))
                    except SystemExit as error:
                        print(f"{name} is left out: {error}", file=sys.stderr)
                        del up[name]
    return report(kind, {key: rounds for key, rounds in seen.items() if rounds and key[0] in up}, statistics.median(floors))


def measure(way: servers.Way, started: servers.Running, connections: int, seconds: float, folder: Path) -> dict:
    check(way, started)
    wrk.repeat(folder, started.url, way.headers, way.body, connections, 1)  # Some need a while to wake up.
    before = cpu_s([started.pid])
    load = wrk.repeat(folder, started.url, way.headers, way.body, connections, seconds)
    return {"rps": load.rps, "p50": load.p50, "p99": load.p99, "cpu": (cpu_s([started.pid]) - before) / load.requests * 1e6}


def check(way: servers.Way, started: servers.Running) -> None:
    request = urllib.request.Request(started.url, way.body.encode(), way.headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        said = answer.read()
    assert servers.label(said) == 0, said


def bare(python: Path, kind: str, model: Path) -> float:
    variables = os.environ | {"KIND": kind, "MODEL": str(model), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(python), str(servers.APPS / "bare.py")], capture_output=True, text=True, check=True, env=variables)
    return float(done.stdout)


def report(kind: str, seen: dict[tuple[str, int], list[dict]], floor: float) -> dict:
    """Medians; the last column is how many times our requests per second are those of the peer."""
    print(f"\n{kind}: bare predict {floor:.0f} µs")
    columns = ("server", "c", "req/s", "× 1/predict", "p50 ms", "× predict", "p99/p50", "CPU µs", "ours is")
    print("{:16}{:>4}{:>9}{:>13}{:>9}{:>11}{:>9}{:>9}{:>10}".format(*columns))
    table = {}
    for (name, connections), rounds in seen.items():
        rps, p50, p99, cpu = (statistics.median(r[key] for r in rounds) for key in ("rps", "p50", "p99", "cpu"))
        ahead = statistics.median(r["rps"] for r in seen["modelyard", connections]) / rps
        told = "" if name == "modelyard" else f"{ahead:9.1f}×"
        line = f"{name:16}{connections:4}{rps:9.0f}{rps * floor / 1e6:13.2f}{p50 / 1000:9.2f}{p50 / floor:11.2f}{p99 / p50:9.1f}{cpu:9.0f}"
        print(line + told, flush=True)
        table[f"{name} c{connections}"] = {"rps": rps, "p50_us": p50, "p99_us": p99, "cpu_us": cpu, "ours_is": ahead}
    return {"bare_us": floor, "servers": table}


if __name__ == "__main__":
    main()
