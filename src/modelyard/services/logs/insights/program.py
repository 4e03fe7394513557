"""What a query is after it was read: steps from rows to rows, and what must be known to feed them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from modelyard.services.logs.insights.sources import Source
from modelyard.services.logs.insights.values import Row, text

MOST_ROWS = 10_000
Step = Callable[[Iterable[Row]], Iterator[Row]]


@dataclass
class Program:
    """`steps` in order; `newest_first` is how events are best read; `shown`: columns in order; `plain`: rows are still events."""

    steps: list[Step] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    plain: bool = True
    newest_first: bool = True
    limited: bool = False
    passing: bool = True
    """Nothing so far changes the order of events or their number but by leaving out."""

    filters: int = 0
    """How many of the steps lie before the first that counts, sorts or cuts: what passes those has matched."""
    count: Step = iter
    source: Source | None = None
    subs: list[Sub] = field(default_factory=list)
    """Queries within, in the order in which they are to be run before this one."""
    diff: str | None = None
    """With which earlier span the query's is compared: "" (the one just before), previousDay, previousWeek or previousMonth."""
    patterned: bool = False
    indexed: list[str] = field(default_factory=list)
    """Fields of which a group must have an index to be looked into."""
    unmasks: bool = False

    def rows(self, events: Iterable[Row]) -> Iterator[Row]:
        found: Iterable[Row] = events
        for step in (*self.steps[: self.filters], self.count, *self.steps[self.filters :]):
            found = step(found)
        return iter(found)


@dataclass
class Sub:
    """A query within another; `rows` are there once it was run."""

    program: Program
    rows: list[Row] = field(default_factory=list)
    _values: frozenset[str | None] | None = None

    def values(self) -> frozenset[str | None]:
        """Of its first column, as text."""
        if self._values is None:
            column = self.program.shown[0]
            self._values = frozenset(text(row[column]) for row in self.rows) - {None}
        return self._values
