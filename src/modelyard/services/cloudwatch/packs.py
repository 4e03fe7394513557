"""The arithmetic of packs (rollup.py), on numpy, which is loaded at the first of it: gateways and engines start without."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def open_pack(body: bytes) -> np.ndarray:
    """Rows: start of period, samples, total, low, high."""
    import numpy as np

    kind = int(np.frombuffer(body, np.float64, 1)[0])
    given = np.frombuffer(body, np.float64, -1, 8).reshape(kind, -1)
    if kind == 5:
        return given
    return np.stack([given[0], np.ones(given.shape[1]), given[1], given[1], given[1]])


def make_pack(columns: np.ndarray) -> bytes:
    """Where every period has one sample, its value is enough."""
    import numpy as np

    single = bool(np.all(columns[1] == 1) and np.all(columns[3] == columns[2]) and np.all(columns[4] == columns[2]))
    kept = columns[[0, 2]] if single else columns
    return np.float64(len(kept)).tobytes() + np.ascontiguousarray(kept, np.float64).tobytes()


def gathered(keys: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rising keys, samples, total, low, high of each): rows of `columns` that share a key become one."""
    import numpy as np

    if len(keys) == 0:
        return keys, columns
    if np.any(keys[1:] < keys[:-1]):
        order = np.argsort(keys, kind="stable")
        keys, columns = keys[order], columns[:, order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    samples, total, low, high = columns
    sums = [np.add.reduceat(samples, first), np.add.reduceat(total, first)]
    return keys[first], np.stack([*sums, np.minimum.reduceat(low, first), np.maximum.reduceat(high, first)])


def grown(body: bytes | None, rows: Sequence[Sequence[float]]) -> tuple[list[list[float]], bytes]:
    """(what the pack held, the pack with `rows` added); a row is (start of period, samples, total, low, high)."""
    import numpy as np

    old = np.empty((5, 0)) if body is None else open_pack(body)
    both = np.concatenate([old, np.array(rows, np.float64).T], axis=1)
    at, columns = gathered(both[0], both[1:])
    return old.T.tolist(), make_pack(np.concatenate([at[None], columns]))


def nothing() -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    return np.empty((0, 2)), np.empty((4, 0))


def summed(
    packed: Sequence[tuple[int, bytes]], rows: Sequence[Sequence[float]], start: float, end: float, period_s: float, anchor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Packs and rows of many series, by period: ((number of the series, start of period) ..., in this order), and (samples, totals,
    lows, highs). A row is (number of its series, start of period, samples, total, low, high)."""
    import numpy as np

    numbers, parts = [], []
    for number, body in packed:
        pack = open_pack(body)
        numbers.append(np.full(pack.shape[1], float(number)))
        parts.append(pack)
    if rows:
        table = np.array(rows, np.float64).T
        numbers.append(table[0])
        parts.append(table[1:])
    if not parts:
        return nothing()
    number, columns = np.concatenate(numbers), np.concatenate(parts, axis=1)
    wanted = (columns[0] >= start) & (columns[0] < end)
    number, columns = number[wanted], columns[:, wanted]
    base = math.floor((start - anchor) / period_s)
    count = math.floor((end - anchor) / period_s) - base + 1
    keys, made = gathered(number * count + (np.floor((columns[0] - anchor) / period_s) - base), columns[1:])
    which, offset = np.divmod(keys, count)
    return np.stack([which, anchor + (offset + base) * period_s], axis=1), made
