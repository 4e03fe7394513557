"""Which values the next training job gets. Pure: the same records give the same values, whoever asks and how often."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from modelyard.optimiser.space import Space

DRAWS = 100
FIRST_AT_LEAST = 3


@dataclass(frozen=True)
class Known:
    """What the records say. `observed` are (values, objective to minimise) of this job's trials; `waiting` the values of trials
    without an objective; `parents` has a list like `observed` for each job that is like this one but not it (transfer)."""

    observed: Sequence[tuple[dict[str, str], float]] = ()
    waiting: Sequence[dict[str, str]] = ()
    parents: Sequence[Sequence[tuple[dict[str, str], float]]] = field(default_factory=tuple)


def suggest(strategy: str, space: Space, seed: str, number: int, known: Known) -> dict[str, str]:
    """The values of trial `number` (from 1) of one training definition."""
    if strategy == "Grid":
        return grid(space, number)
    if strategy != "Bayesian":
        return draw(space, seed, number, known)
    return bayesian(space, seed, number, known)


def grid(space: Space, number: int) -> dict[str, str]:
    """The combination of categories with this number; beyond the last it begins again."""
    rest, values = (number - 1) % int(space.combinations), {}
    for r in reversed(space.ranges):
        rest, which = divmod(rest, len(r.values))
        values[r.name] = r.values[which]
    return values


def draw(space: Space, seed: str, number: int, known: Known) -> dict[str, str]:
    """Values at random; not those of another trial while there are others."""
    rng, taken = random.Random(f"{seed}:{number}"), _taken(space, known)
    for _ in range(DRAWS):
        values = space.values([rng.random() for _ in space.ranges])
        if _key(space, values) not in taken:
            break
    return values


def spread(space: Space, seed: str, number: int, known: Known) -> dict[str, str]:
    """First points of a Bayesian search: rows of Latin hypercubes, so that a few of them see all of each range."""
    rows = max(FIRST_AT_LEAST, len(space.ranges)) + 1
    cube, row = divmod(number - 1, rows)
    rng = random.Random(f"{seed}:cube {cube}")
    point = []
    for _ in space.ranges:
        order = list(range(rows))
        rng.shuffle(order)
        point.append((order[row] + [rng.random() for _ in range(rows)][row]) / rows)
    values = space.values(point)
    return values if _key(space, values) not in _taken(space, known) else draw(space, seed, number, known)


def bayesian(space: Space, seed: str, number: int, known: Known) -> dict[str, str]:
    own = [(point, value) for values, value in known.observed if (point := space.point(values)) is not None]
    others = [
        (point, value, task)
        for task, trials in enumerate(known.parents, 1)
        for values, value in trials
        if (point := space.point(values)) is not None
    ]
    if len(own) + len(others) < max(FIRST_AT_LEAST, len(space.ranges)):
        return spread(space, seed, number, known)
    from modelyard.optimiser import gaussian  # numpy: only where a model is asked

    waiting = [point for values in known.waiting if (point := space.point(values)) is not None]
    points = [point for point, _ in own] + [point for point, _, _ in others]
    losses = [value for _, value in own] + [value for _, value, _ in others]
    tasks = [0] * len(own) + [task for _, _, task in others]
    try:
        found = gaussian.suggest(space, points, losses, waiting, tasks, _integer(f"{seed}:{number}"))
    except gaussian.Singular:
        return draw(space, seed, number, known)
    taken = _taken(space, known)
    fresh = (values for values in map(space.values, found) if _key(space, values) not in taken)
    return next(fresh, None) or draw(space, seed, number, known)  # the model would try again what it knows


def _taken(space: Space, known: Known) -> set[tuple[str | None, ...]]:
    return {_key(space, values) for values, _ in known.observed} | {_key(space, values) for values in known.waiting}


def _key(space: Space, values: dict[str, str]) -> tuple[str | None, ...]:
    """What is searched; observed values have static ones beside them."""
    return tuple(values.get(r.name) for r in space.ranges)


def _integer(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
