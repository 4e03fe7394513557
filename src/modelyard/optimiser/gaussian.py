"""The Gaussian process behind the Bayesian strategy, on numpy alone.

What it is, in the order of the code: objective values made as normal as a Yeo-Johnson transform makes them; a Matérn 5/2
kernel with a length per coordinate; its parameters not fitted but sampled (slice sampling), so that few observations are
not over-read; expected improvement averaged over the samples; its maximum searched from random points and around the best
ones. Trials that have no value yet (or never got one) count as if they had come out as the model expects: the next
suggestion goes elsewhere.

Imported by the engine when the first suggestion is asked for, never by a gateway.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence

from modelyard.optimiser.space import Space

# OpenBLAS reads it as it is loaded. These matrices are small: more threads would only spin beside the jobs, whose own must not hear of it.
_before = os.environ.get("OPENBLAS_NUM_THREADS")
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np  # noqa: E402

if _before is None:
    del os.environ["OPENBLAS_NUM_THREADS"]
else:
    os.environ["OPENBLAS_NUM_THREADS"] = _before

Array = np.ndarray
Singular = np.linalg.LinAlgError
Posterior = Callable[[Array], tuple[Array, Array]]
MOST_OBSERVATIONS = 160
"""The model reads so many: the best third, and the latest. Its work grows with their cube."""
BURN_IN, SAMPLES = 8, 6
RANDOM_CANDIDATES, NEAR_CANDIDATES, CLIMBERS, CLIMBS, TRIES = 600, 100, 4, 8, 30
JITTER = 1e-8
_erfc = np.frompyfunc(math.erfc, 1, 1)


def suggest(
    space: Space,
    points: Sequence[Sequence[float]],
    values: Sequence[float],
    waiting: Sequence[Sequence[float]],
    tasks: Sequence[int],
    seed: int,
) -> list[list[float]]:
    """Points to try next for the smallest value, the best first. `tasks` says of each observation whose it is: 0 is this job's own, others are
    those of jobs like it; `waiting` are points without a value."""
    rng = np.random.default_rng(seed)
    kept = _kept(values, tasks)
    features = Features(space, len(set(tasks) | {0}))
    x = features(np.array([points[i] for i in kept]), np.array([tasks[i] for i in kept]))
    y = _normal(np.array([values[i] for i in kept]), np.array([tasks[i] for i in kept]))
    held = features(np.array(waiting)) if len(waiting) else np.empty((0, x.shape[1]))
    model = Model(x, y)
    own = [n for n, i in enumerate(kept) if tasks[i] == 0]
    best = float(y[own].min()) if own else float(y.min())
    posteriors = [_with_held(model, theta, held, best) for theta in model.samples(rng)]

    def gain(candidates: Array) -> Array:
        seen = features(candidates)
        return np.mean([_expected_improvement(*posterior(seen), to_beat) for posterior, to_beat in posteriors], axis=0)

    start = np.array([points[i] for i in kept])[np.argsort(y)[:3]]
    return _climb(gain, start, rng).tolist()


class Features:
    """Points as the kernel compares them: values placed on their own scale, categories a coordinate each, jobs too."""

    def __init__(self, space: Space, tasks: int) -> None:
        self.ranges, self.tasks = space.ranges, tasks

    def __call__(self, points: Array, tasks: Array | None = None) -> Array:
        columns = []
        for n, r in enumerate(self.ranges):
            column = points[:, n]
            if r.kind == "continuous":
                columns.append(column)
            elif r.kind == "integer":
                columns.append(np.array([r.unit(r.value(u)) for u in column]))
            else:
                chosen = np.minimum((column * len(r.values)).astype(int), len(r.values) - 1)
                columns.extend((chosen == k) * 0.7 for k in range(len(r.values)))
        for task in range(1, self.tasks):
            columns.append((tasks == task) * 1.0 if tasks is not None else np.zeros(len(points)))
        return np.column_stack(columns)


class Model:
    """Parameters are the logarithms of a length per column, of the signal's and of the noise's variance."""

    def __init__(self, x: Array, y: Array) -> None:
        self.x, self.y = x, y
        self._squares = (x[:, None, :] - x[None, :, :]) ** 2
        self._length = -0.7 + 0.5 * math.log(x.shape[1])
        self._diagonal = np.diag_indices(len(x))

    def samples(self, rng: np.random.Generator) -> list[Array]:
        theta = np.concatenate([np.full(self.x.shape[1], self._length), [0.0, -6.0]])
        drawn = []
        for _ in range(BURN_IN + SAMPLES):
            theta = _slice(self.likelihood, theta, rng)
            drawn.append(theta)
        return drawn[BURN_IN:]

    def likelihood(self, theta: Array) -> float:
        """The logarithm, with what is known of the parameters before anything was seen."""
        try:
            lower = np.linalg.cholesky(self._covariance(theta))
        except np.linalg.LinAlgError:
            return -math.inf
        white = np.linalg.solve(lower, self.y)
        prior = ((theta[:-2] - self._length) ** 2).sum() + theta[-2] ** 2 + ((theta[-1] + 6.0) / 2.0) ** 2
        return float(-0.5 * white @ white - np.log(np.diag(lower)).sum() - 0.5 * prior)

    def posterior(self, theta: Array) -> Posterior:
        lengths, signal = np.exp(theta[:-2]), math.exp(theta[-2])
        inverse = np.linalg.inv(np.linalg.cholesky(self._covariance(theta)))
        weights = inverse.T @ (inverse @ self.y)

        def at(x: Array) -> tuple[Array, Array]:
            a, b = x / lengths, self.x / lengths
            squares = np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2.0 * a @ b.T, 0.0)
            cross = signal * _matern(squares)
            variance = signal - ((cross @ inverse.T) ** 2).sum(1)
            return cross @ weights, np.sqrt(np.maximum(variance, 1e-12))

        return at

    def _covariance(self, theta: Array) -> Array:
        covariance = math.exp(theta[-2]) * _matern(self._squares @ np.exp(-2.0 * theta[:-2]))
        covariance[self._diagonal] += math.exp(theta[-1]) + JITTER
        return covariance


def _matern(squares: Array) -> Array:
    distance = np.sqrt(5.0 * squares)
    return (1.0 + distance + distance**2 / 3.0) * np.exp(-distance)


def _with_held(model: Model, theta: Array, held: Array, best: float) -> tuple[Posterior, float]:
    """The posterior as if the held points had come out as expected, and the best value then: what they may reach already is
    nothing to be gained next to them."""
    posterior = model.posterior(theta)
    if not len(held):
        return posterior, best
    expected, _ = posterior(held)
    return Model(np.vstack([model.x, held]), np.concatenate([model.y, expected])).posterior(theta), min(best, float(expected.min()))


def _expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    z = (best - mean) / deviation
    below = 0.5 * _erfc(-z / math.sqrt(2.0)).astype(float)
    return deviation * (z * below + np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi))


def _climb(gain: Callable[[Array], Array], start: Array, rng: np.random.Generator) -> Array:
    """Where the gain is largest, the best first: a wide look, then steps around the best places, ever smaller."""
    size = start.shape[1]
    near = [np.clip(point + rng.normal(size=(NEAR_CANDIDATES, size)) * step, 0, 1) for point in start for step in (0.02, 0.1)]
    candidates = np.vstack([rng.random((RANDOM_CANDIDATES, size)), *near])
    gains = gain(candidates)
    order = np.argsort(-gains)[:CLIMBERS]
    places, heights, step = candidates[order], gains[order], 0.1
    for _ in range(CLIMBS):
        moves = rng.normal(size=(len(places), TRIES, size)) * step * (rng.random((len(places), TRIES, size)) < max(0.5, 1.0 / size))
        tried = np.clip(places[:, None, :] + moves, 0, 1)
        found = gain(tried.reshape(-1, size)).reshape(len(places), TRIES)
        for n, k in enumerate(found.argmax(1)):
            if found[n, k] > heights[n]:
                places[n], heights[n] = tried[n, k], found[n, k]
        step *= 0.6
    return places[np.argsort(-heights)]


def _slice(likelihood: Callable[[Array], float], theta: Array, rng: np.random.Generator) -> Array:
    """One round of slice sampling over all parameters (Neal 2003), kept within e^-9 and e^4."""
    theta = theta.copy()
    for n in rng.permutation(len(theta)):

        def at(value: float, n: int = n) -> float:
            if not -9.0 < value < 4.0:
                return -math.inf
            moved = theta.copy()
            moved[n] = value
            return likelihood(moved)

        here = theta[n]
        level = at(here) + math.log(rng.random() + 1e-300)
        low = here - rng.random()
        high = low + 1.0
        for _ in range(4):
            if at(low) < level:
                break
            low -= 1.0
        for _ in range(4):
            if at(high) < level:
                break
            high += 1.0
        for _ in range(20):
            value = low + (high - low) * rng.random()
            if at(value) >= level:
                theta[n] = value
                break
            low, high = (value, high) if value < here else (low, value)
    return theta


def _kept(values: Sequence[float], tasks: Sequence[int]) -> list[int]:
    """Which observations the model reads: this job's own before those of others, the best and the latest."""
    if len(values) <= MOST_OBSERVATIONS:
        return list(range(len(values)))
    by_value = sorted(range(len(values)), key=lambda i: (tasks[i] != 0, values[i]))
    latest = sorted(range(len(values)), key=lambda i: (tasks[i] != 0, -i))
    chosen = dict.fromkeys(by_value[: MOST_OBSERVATIONS // 3])
    for i in latest:
        if len(chosen) == MOST_OBSERVATIONS:
            break
        chosen[i] = None
    return sorted(chosen)


def _normal(values: Array, tasks: Array) -> Array:
    """Values of each job on a scale of its own, about normal, mean 0 and deviation 1."""
    out = np.zeros(len(values))
    for task in set(tasks.tolist()):
        out[tasks == task] = _yeo_johnson(values[tasks == task])
    return out


def _yeo_johnson(values: Array) -> Array:
    """The member of Yeo and Johnson's family (2000) under which the values look most normal."""
    spread = values.std()
    if not spread or not math.isfinite(spread):
        return np.zeros(len(values))
    z = (values - np.median(values)) / spread
    up, logs, best = z >= 0, np.log1p(np.abs(z)), (-math.inf, z)
    for power in np.linspace(-1.0, 3.0, 33):
        t = np.empty_like(z)
        t[up] = logs[up] if abs(power) < 1e-9 else (np.exp(power * logs[up]) - 1.0) / power
        t[~up] = -logs[~up] if abs(power - 2.0) < 1e-9 else -(np.exp((2.0 - power) * logs[~up]) - 1.0) / (2.0 - power)
        variance = t.var()
        if variance > 0 and math.isfinite(variance):
            fit = -0.5 * len(z) * math.log(variance) + (power - 1.0) * float((np.sign(z) * logs).sum())
            best = max(best, (fit, t), key=lambda pair: pair[0])
    found = best[1]
    return (found - found.mean()) / (found.std() or 1.0)
