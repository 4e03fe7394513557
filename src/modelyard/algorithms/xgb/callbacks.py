"""What happens after each boosting round: metric lines, checkpoints, a model that survives a stop."""

from __future__ import annotations

import os
import re
import signal

from .engine import xgboost

MODEL = "xgboost-model"
CHECKPOINT = "xgboost-checkpoint"
KEEP = 5
"""Checkpoints kept in the local folder, as AWS's container does."""


class MetricLines(xgboost.callback.TrainingCallback):
    """Prints `[0]#011train-merror:0.03000#011validation-merror:0.10000`, a tab shown as CloudWatch shows it:
    the metric definitions of the algorithm search for exactly this."""

    def __init__(self, first: int):
        self.first = first

    def after_iteration(self, model: object, epoch: int, evals_log: dict) -> bool:
        scores = [
            f"#011{data}-{name}:{values[-1][0] if isinstance(values[-1], tuple) else values[-1]:.5f}"
            for data, metrics in evals_log.items()
            for name, values in metrics.items()
        ]
        print(f"[{self.first + epoch}]{''.join(scores)}", flush=True)
        return False


class Checkpoints(xgboost.callback.TrainingCallback):
    """Writes `xgboost-checkpoint.<round>` after each round, complete or not at all, and keeps the last five."""

    def __init__(self, folder: str, first: int):
        self.folder, self.first = folder, first
        os.makedirs(folder, exist_ok=True)

    def after_iteration(self, model: object, epoch: int, evals_log: dict) -> bool:
        number = self.first + epoch
        write(model, os.path.join(self.folder, f"{CHECKPOINT}.{number}"))
        old = os.path.join(self.folder, f"{CHECKPOINT}.{number - KEEP}")
        if os.path.exists(old):
            os.remove(old)
        return False


class Intermediate(xgboost.callback.TrainingCallback):
    """`save_model_on_termination`: the model after each round is in the model folder, and SIGTERM ends the job well."""

    def __init__(self, folder: str):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, _number: int, _frame: object) -> None:
        for name in os.listdir(self.folder):
            if not name.startswith(MODEL):
                os.remove(os.path.join(self.folder, name))
        os._exit(0)

    def after_iteration(self, model: object, epoch: int, evals_log: dict) -> bool:
        write(model, os.path.join(self.folder, MODEL))
        return False


def write(model: xgboost.Booster, path: str) -> None:
    """Save a booster under a name, replacing what is there at once."""
    temporary = os.path.join(os.path.dirname(path), f"tmp-{os.getpid()}-{os.path.basename(path).split('.')[0]}")
    model.save_model(temporary)
    os.replace(temporary, path)


def latest(folder: str | None) -> tuple[str | None, int]:
    """(the newest readable checkpoint in the folder, the round to go on with); (None, 0) without one."""
    if not folder or not os.path.isdir(folder):
        return None, 0
    rounds = sorted((int(m[1]) for m in (re.fullmatch(rf"{CHECKPOINT}\.(\d+)", n) for n in os.listdir(folder)) if m), reverse=True)
    for number in rounds:
        path = os.path.join(folder, f"{CHECKPOINT}.{number}")
        try:
            xgboost.Booster(model_file=path)
        except xgboost.core.XGBoostError:
            continue
        return path, number + 1
    return None, 0
