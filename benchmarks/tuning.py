"""The tuning strategies, and what a trial costs to write down.

    PYTHONPATH=src python benchmarks/tuning.py [--seeds 10] [--trials 30] [--parallel 1] [--without-xgboost] [--optuna PYTHON]

1. Bayesian against Random with equal budget, on three standard functions (Branin, Hartmann 6, Rosenbrock 4) and on the built-in
   XGBoost's library with the bank marketing data (validation AUC; the ranges of the course's tuning lab): in how many seeds of ten the best
   trial of Bayesian is the better one. With `--optuna` its TPE sampler goes the same way.
2. Writing trials: suggest, record the start, record the end, durable on disk. Ours: tuning and training job records through the engine's
   reconciler; theirs: a study in SQLite (`--optuna PYTHON` names an interpreter that has it).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
ROOT = Path(__file__).resolve().parent.parent
BANK = ROOT / "src/modelyard/demo/data/bank-additional.csv"
Objective = Callable[[dict[str, str]], float]


# --- what is tuned: all are minimised ----------------------------------------------------------------


def branin(x: list[float]) -> float:
    a, b = x
    return (b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


_A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
_P = [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
]


def hartmann6(x: list[float]) -> float:
    return -sum(
        c * math.exp(-sum(a * (v - p) ** 2 for a, v, p in zip(_A[i], x, _P[i], strict=True))) for i, c in enumerate((1.0, 1.2, 3.0, 3.2))
    )


def rosenbrock4(x: list[float]) -> float:
    return sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(3))


FUNCTIONS = {
    "Branin": (branin, [(-5.0, 10.0), (0.0, 15.0)]),
    "Hartmann 6": (hartmann6, [(0.0, 1.0)] * 6),
    "Rosenbrock 4": (rosenbrock4, [(-2.0, 2.0)] * 4),
}
BANK_RANGES = {
    "ContinuousParameterRanges": [
        {"Name": "eta", "MinValue": "0.01", "MaxValue": "1"},
        {"Name": "alpha", "MinValue": "0", "MaxValue": "2"},
        {"Name": "min_child_weight", "MinValue": "1", "MaxValue": "10"},
    ],
    "IntegerParameterRanges": [{"Name": "max_depth", "MinValue": "1", "MaxValue": "10"}],
}
TRAINER = """
import json, sys
import pandas, xgboost
rows = pandas.get_dummies(pandas.read_csv(sys.argv[1]), dtype=float).drop(columns=["y_no"])
rows = rows.sample(frac=1.0, random_state=0)
cut = int(len(rows) * 0.7)
def matrix(part):
    return xgboost.DMatrix(part.drop(columns=["y_yes"]).to_numpy(), label=part["y_yes"].to_numpy())
train, held = matrix(rows[:cut]), matrix(rows[cut:])
for line in sys.stdin:
    values = json.loads(line)
    values |= {"objective": "binary:logistic", "eval_metric": "auc", "seed": 0, "nthread": 1, "tree_method": "hist", "max_depth": int(values["max_depth"])}
    seen = {}
    xgboost.train(values, train, 20, evals=[(held, "held")], evals_result=seen, verbose_eval=False)
    print(-seen["held"]["auc"][-1], flush=True)
"""


class Bank:
    """XGBoost on the bank marketing data, in the environment of the image that trains it."""

    def __init__(self) -> None:
        from modelyard.config import Settings
        from modelyard.runtime.images import ImageStore

        images = ImageStore(Settings(data=Path("unused")))
        python = images.ensure(images.of_environment("xgboost-1.7")) / "bin/python"
        self._process = subprocess.Popen([str(python), "-c", TRAINER, str(BANK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._known: dict[str, float] = {}

    def __call__(self, values: dict[str, str]) -> float:
        line = json.dumps(values, sort_keys=True)
        if line not in self._known:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            self._known[line] = float(self._process.stdout.readline())
        return self._known[line]

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)


# --- searches ----------------------------------------------------------------------------------------


def search(strategy: str, ranges: dict[str, Any], objective: Objective, trials: int, parallel: int, seed: int) -> float:
    """The best of so many trials as the reconciler would choose them, `parallel` at a time."""
    from modelyard.optimiser.space import space_of
    from modelyard.services.sagemaker.tuning_job.search import Known, suggest

    space, observed, running = space_of(ranges), [], []
    while len(observed) < trials:
        while len(running) < parallel and len(observed) + len(running) < trials:
            number = len(observed) + len(running) + 1
            running.append(suggest(strategy, space, f"seed {seed}", number, Known(observed, running)))
        values = running.pop(0)
        observed.append((values, objective(values)))
    return min(value for _, value in observed)


def of_function(name: str) -> tuple[dict[str, Any], Objective]:
    function, ends = FUNCTIONS[name]
    rows = [{"Name": f"x{n}", "MinValue": str(a), "MaxValue": str(b), "ScalingType": "Linear"} for n, (a, b) in enumerate(ends)]
    return {"ContinuousParameterRanges": rows}, lambda values: function([float(values[f"x{n}"]) for n in range(len(ends))])


def compare(options: argparse.Namespace) -> None:
    bank = None if options.without_xgboost else Bank()
    subjects = {name: of_function(name) for name in FUNCTIONS} | ({"XGBoost, bank marketing, -AUC": (BANK_RANGES, bank)} if bank else {})
    print(
        f"best of {options.trials} trials, {options.parallel} at a time, {options.seeds} seeds: median, and seeds in which Bayesian is better"
    )
    for name, (ranges, objective) in subjects.items():
        began, pairs = time.monotonic(), []
        for seed in range(options.seeds):
            pairs.append(tuple(search(s, ranges, objective, options.trials, options.parallel, seed) for s in ("Bayesian", "Random")))
        wins = sum(bayesian < random for bayesian, random in pairs)
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"{name:32} Bayesian {ours:10.4f}   Random {theirs:10.4f}   better in {wins} of {options.seeds}   {time.monotonic() - began:5.1f} s",
            flush=True,
        )
    if bank:
        bank.close()


# --- writing trials ----------------------------------------------------------------------------------

OPTUNA = """
import sys, time, optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(storage="sqlite:///" + sys.argv[1], sampler=optuna.samplers.RandomSampler(seed=1))
began = time.perf_counter()
for n in range(int(sys.argv[2])):
    trial = study.ask()
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    study.tell(trial, x + y)
print(time.perf_counter() - began)
"""


def write_ours(trials: int) -> float:
    """Seconds: the reconciler launches trials, each is ended by one guarded update, as its own engine ends it."""
    sys.path.insert(0, str(ROOT))
    from modelyard.kernel.reconcile import Engine
    from modelyard.services.sagemaker import api
    from tests.support.tuning import TuningYard, numbers

    with tempfile.TemporaryDirectory() as folder:
        yard = TuningYard(Path(folder))
        yard.create("t", yard.config(jobs=trials, parallel=1, ParameterRanges=numbers(x=(0, 1), y=(0, 1))))
        engine = Engine(yard.platform, [r for r in api.reconcilers if r.lifecycle.kind == "tuning-job"])
        began = time.perf_counter()
        for _ in range(trials):
            engine.settle(rounds=2)
            (child,) = yard.platform.store.list("training-job", status="InProgress")
            values = child.spec["tuning"]["values"]
            yard.end(child, float(values["x"]) + float(values["y"]))
        engine.settle(rounds=2)
        seconds = time.perf_counter() - began
        assert yard.describe("t")["TrainingJobStatusCounters"]["Completed"] == trials
        yard.close()
    return seconds


def write(options: argparse.Namespace) -> None:
    trials = options.writes
    print(f"{trials} trials written down: suggest, start, end, each durable before the next")
    print(f"  ours            {1000 * write_ours(trials) / trials:7.2f} ms per trial")
    if options.optuna:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [options.optuna, "-c", OPTUNA, f"{folder}/study.db", str(trials)], capture_output=True, text=True, check=True, timeout=600
            )
        print(f"  Optuna, SQLite  {1000 * float(done.stdout) / trials:7.2f} ms per trial")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--writes", type=int, default=100)
    parser.add_argument("--without-xgboost", action="store_true")
    parser.add_argument("--without-search", action="store_true")
    parser.add_argument("--optuna", metavar="PYTHON", help="an interpreter that has optuna")
    options = parser.parse_args()
    if not options.without_search:
        compare(options)
    write(options)


if __name__ == "__main__":
    main()
