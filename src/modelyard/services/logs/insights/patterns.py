"""`pattern`: lines of the same make, with what changes from line to line as `<Number-1>`, `<UUID-2>`, `<Token-3>` …

First, what reads as a time, an address, an id or a number is taken for changing. Then lines with as many words, whose first words are the same and
of which most others are, become one pattern: words in which they differ change too (after Drain, He et al. 2017).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

ALIKE, MOST_PATTERNS, MOST_KNOWN, LONGEST = 0.6, 5_000, 20_000, 4096
_KINDS = (
    (
        "Time",
        r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?|\d\d:\d\d:\d\d(?:[.,]\d+)?|\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d",
    ),
    ("UUID", r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"),
    ("IP", r"\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?"),
    ("ARN", r"arn:aws[\w-]*:[^\s,\"']+"),
    ("Hex", r"0x[0-9a-fA-F]+|(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{12,}"),
    ("Number", r"-?\d+(?:\.\d+)?"),
)
_CHANGING = re.compile("|".join(rf"(?P<{kind}>(?<![\w.]){expression}(?![A-Za-z_]))" for kind, expression in _KINDS))
_WORDS = re.compile(r"\0\w+\0|[^\s\0,;=:\"'{}\[\]()|]+|\s+|[,;=:\"'{}\[\]()|]")
_SEVERITIES = (
    ("Error", re.compile(r"\b(?:error|exception|fatal|critical|fail(?:ed|ure)?)\b", re.IGNORECASE)),
    ("Warn", re.compile(r"\bwarn(?:ing)?\b", re.IGNORECASE)),
    ("Info", re.compile(r"\binfo\b", re.IGNORECASE)),
    ("Debug", re.compile(r"\b(?:debug|trace)\b", re.IGNORECASE)),
)


class Cluster:
    __slots__ = ("count", "earlier", "words")

    def __init__(self, words: list[str]) -> None:
        self.words, self.count, self.earlier = words, 0, 0

    def text(self) -> str:
        number, told = 0, []
        for word in self.words:
            if word.startswith("\0"):
                number += 1
                told.append(f"<{word.strip(chr(0))}-{number}>")
            else:
                told.append(word)
        return "".join(told)


class Patterns:
    """Fed with texts; then its clusters, the most frequent first."""

    def __init__(self) -> None:
        self._leaves: dict[tuple[int, str, str], list[Cluster]] = {}
        self._known: dict[str, Cluster] = {}
        self._count = 0
        self.total = 0

    def add(self, text: str, earlier: bool = False) -> None:
        masked = _CHANGING.sub(lambda found: f"\0{found.lastgroup}\0", text[:LONGEST])
        cluster = self._known.get(masked) or self._cluster(masked)
        if cluster is None:
            return
        if earlier:
            cluster.earlier += 1
        else:
            self.total += 1
            cluster.count += 1

    def _cluster(self, masked: str) -> Cluster | None:
        """That of a line; None where there are too many patterns already."""
        words = _WORDS.findall(masked)
        said = [word for word in words if not word.isspace()][:2]
        leaf = self._leaves.setdefault((len(words), *[*said, "", ""][:2]), [])
        cluster = next((one for one in leaf if _alike(one.words, words)), None)
        if cluster is None:
            if self._count >= MOST_PATTERNS:
                return None
            self._count += 1
            cluster = Cluster(words)
            leaf.append(cluster)
        elif cluster.words != words:
            cluster.words = [a if a == b else "\0Token\0" for a, b in zip(cluster.words, words, strict=True)]
        if len(self._known) < MOST_KNOWN:
            self._known[masked] = cluster
        return cluster

    def found(self) -> Iterator[Cluster]:
        merged: dict[str, Cluster] = {}
        for leaf in self._leaves.values():
            for cluster in leaf:
                one = merged.setdefault(cluster.text(), cluster)
                if one is not cluster:
                    one.count += cluster.count
                    one.earlier += cluster.earlier
        yield from sorted(merged.values(), key=lambda one: (-one.count, one.text()))


def severity(text: str) -> str | None:
    return next((name for name, word in _SEVERITIES if word.search(text)), None)


def pattern_row(cluster: Cluster, total: int) -> dict[str, Any]:
    text = cluster.text()
    row = {"@pattern": text, "@sampleCount": cluster.count, "@ratio": cluster.count / total if total else 0.0}
    label = severity(text)
    return {**row, "@severityLabel": label} if label else row


def difference_row(cluster: Cluster, total: int) -> dict[str, Any]:
    """Of a pattern in two spans of time: how many more there are than before."""
    change = cluster.count - cluster.earlier
    if cluster.earlier == 0:
        said = "New"
    elif cluster.count == 0:
        said = "Gone"
    else:
        said = f"{'Up' if change > 0 else 'Down'} {abs(change) * 100 / cluster.earlier:.0f}%" if change else "Same"
    return {**pattern_row(cluster, total), "@previousCount": cluster.earlier, "@differenceCount": change, "@differenceDescription": said}


def _alike(left: list[str], right: list[str]) -> bool:
    words = [(a, b) for a, b in zip(left, right, strict=True) if not a.isspace() and len(a) + len(b) > 2]
    return all(a == b for a, b in zip(left, right, strict=True) if len(a) == 1 and not a.isalnum()) and sum(
        a == b for a, b in words
    ) >= ALIKE * len(words)
