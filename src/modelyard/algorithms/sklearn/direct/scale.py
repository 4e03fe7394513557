"""The scaling steps of a pipeline, value by value: the operations of their `transform`, in its order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def scaler(step: object) -> Callable[[np.ndarray], np.ndarray] | None:
    """A function of float rows (which it may not change), or None for a step that is not known."""
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    if type(step) is StandardScaler:
        ways = [_standard(step, kind) for kind in (np.float64, np.float32)]
        rows = np.random.default_rng(0).normal(size=(64, step.n_features_in_)).astype(np.float32) * 100
        wanted = step.transform(rows).tobytes()
        return next((way for way in ways if way(rows).tobytes() == wanted), None)
    if type(step) is MinMaxScaler and not step.clip:
        factor, least = step.scale_, step.min_

        def stretched(rows: np.ndarray) -> np.ndarray:
            rows = rows.copy()
            rows *= factor
            rows += least
            return rows

        return stretched
    return None


def _standard(step: object, kind: type) -> Callable[[np.ndarray], np.ndarray]:
    """Computes with the numbers of a StandardScaler as they are (float64), or rounded to the rows' float32 first, as scikit-learn does of late."""
    mean = step.mean_.astype(kind) if step.with_mean else None
    deviation = step.scale_.astype(kind) if step.with_std else None

    def standard(rows: np.ndarray) -> np.ndarray:
        rows = rows.copy()
        if mean is not None:
            rows -= mean
        if deviation is not None:
            rows /= deviation
        return rows

    return standard
