"""Which of AWS's image versions this container stands for, and what that changes."""

from __future__ import annotations

import os
import re

NEWEST = (3, 0)


def image_version() -> tuple[int, int]:
    """(major, minor) of `MODELYARD_IMAGE_VERSION` (`1.0-1`), which the image's recipe sets; the newest when unset."""
    found = re.match(r"(\d+)\.(\d+)", os.environ.get("MODELYARD_IMAGE_VERSION", ""))
    return (int(found[1]), int(found[2])) if found else NEWEST


def pickles(version: tuple[int, int]) -> bool:
    """Up to 1.2 AWS's container pickles the Booster; from 1.3 on it calls Booster.save_model."""
    return version <= (1, 2)


def default_metric(version: tuple[int, int], objective: str | None) -> str | None:
    """The evaluation metric that the image's own XGBoost used by default, where the engine's differs: 1.3 changed
    classification from error rates to log losses (XGBoost release notes, 1.3.0)."""
    if version > (1, 2) or not objective:
        return None
    if objective.startswith("multi:"):
        return "merror"
    return {"binary:logistic": "error", "binary:logitraw": "auc", "reg:logistic": "rmse"}.get(objective)
