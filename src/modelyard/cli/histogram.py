"""Latencies as a histogram with steps of 1 % or less: percentiles, and bars for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

BITS = 7
"""Leading bits that are kept: 1/128 is the widest step."""


class Histogram:
    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.total = 0
        self.low, self.high, self._sum = float("inf"), 0.0, 0.0

    def add(self, seconds: float) -> None:
        us = int(seconds * 1e6)
        drop = us.bit_length() - BITS
        if drop > 0:
            us = us >> drop << drop
        self.counts[us] = self.counts.get(us, 0) + 1
        self.total += 1
        self.low, self.high, self._sum = min(self.low, seconds), max(self.high, seconds), self._sum + seconds

    def percentile(self, percent: float) -> float:
        """Seconds; nearest rank. 0 where nothing was added."""
        rank, passed = max(ceil(percent / 100 * self.total), 1), 0
        for us in sorted(self.counts):
            passed += self.counts[us]
            if passed >= rank:
                return us / 1e6
        return 0.0

    def summary(self) -> dict[str, float]:
        """Milliseconds by the usual names."""
        if not self.total:
            return {}
        found = {f"p{p:g}": round(self.percentile(p) * 1000, 3) for p in (50, 90, 95, 99, 99.9)}
        return {
            "min": round(self.low * 1000, 3),
            "mean": round(self._sum / self.total * 1000, 3),
            **found,
            "max": round(self.high * 1000, 3),
        }

    def rows(self, most: int = 16) -> list[tuple[float, float, int]]:
        """(from, to, count) in seconds: at most `most` bands, each as wide as the one before times a constant."""
        if not self.total:
            return []
        low, high = max(self.low, 1e-6), max(self.high, self.low * 1.001, 2e-6)
        ratio = max((high / low) ** (1 / most), 1.05)
        edges = [low]
        while edges[-1] < high:
            edges.append(edges[-1] * ratio)
        counts = [0] * (len(edges) - 1)
        for us, n in self.counts.items():
            place = next((i for i in range(len(counts)) if us / 1e6 < edges[i + 1]), len(counts) - 1)
            counts[place] += n
        return [(edges[i], edges[i + 1], counts[i]) for i in range(len(counts))]

    def bars(self, width: int = 40) -> Iterator[str]:
        """Lines of a plot: a band, its bar, its count."""
        rows = self.rows()
        most = max((count for _, _, count in rows), default=0)
        for start, _, count in rows:
            length = count / most * width
            bar = "█" * int(length) + ("▏▎▍▌▋▊▉"[int(length % 1 * 7)] if count and length % 1 else "")
            yield f"{start * 1000:9.2f} ms  {bar:<{width + 1}} {count}"
