"""Whether the rows given to `predict` can influence each other."""

from __future__ import annotations

import time

import numpy as np


def rows_are_independent(model: object) -> bool:
    """True for scikit-learn's own estimators, and pipelines and searches made only of them, whose predict works row by row.

    An estimator, or a step of a pipeline, that the user wrote may look at the whole batch, so the answer is no.
    """
    if not hasattr(model, "predict"):
        return False
    try:
        return _own(model, 0)
    except Exception:
        return False


def _own(part: object, depth: int) -> bool:
    kind = type(part)
    if depth > 8 or kind.__name__ == "FunctionTransformer" or not kind.__module__.startswith("sklearn."):
        return False
    inner = [part.best_estimator_] if hasattr(part, "best_estimator_") else []
    inner += [step for _, step in getattr(part, "steps", [])]
    inner += [entry[1] for entry in getattr(part, "transformers_", [])]
    inner += list(_estimators(part))
    return all(item is None or isinstance(item, str) or _own(item, depth + 1) for item in inner)


def _estimators(part: object) -> list:
    """The members of a voting, stacking, bagging or multi-output estimator; the trees of a forest are scikit-learn's."""
    members = getattr(part, "estimators_", None)
    return list(members)[:16] if isinstance(members, list) and members and hasattr(members[0], "get_params") else []


def same_together(model: object, budget_s: float = 0.3) -> bool:
    """Whether probing rows get the same answers together as one by one, to the last bit.

    A product of a batch may round otherwise than that of one row: no matter for labels, but a regression's number would
    depend on who else was asking. Probes stop when the budget is spent.
    """
    end = time.perf_counter() + budget_s
    try:
        rows = np.random.default_rng(0).normal(size=(9, model.n_features_in_)).astype(np.float32)
        together = np.asarray(model.predict(rows))
        for row, one in zip(rows, together, strict=True):
            alone = np.asarray(model.predict(row[None]))[0]
            if not (np.array_equal(alone, one, equal_nan=True) if together.dtype.kind == "f" else np.array_equal(alone, one)):
                return False
            if time.perf_counter() > end:
                break
    except Exception:
        return False
    return True
