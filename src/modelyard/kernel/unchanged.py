"""For who looks into a database again and again: not while nothing was committed to it since.

A look is a hint, as a bell is: where the database cannot tell (PostgreSQL), every look is made.
"""

from __future__ import annotations

from modelyard.kernel.database import Database


class Unchanged:
    """Of one looker. `still()` before each look; after a look that failed, `forget()`."""

    def __init__(self, *databases: Database) -> None:
        self._databases = databases
        self._seen: tuple[bytes | None, ...] = (None,) * len(databases)

    def still(self) -> bool:
        """Whether nothing was committed since this was asked last, by any process. What is committed after this answer shows at the next."""
        now = tuple(database.stamp() for database in self._databases)
        same = None not in now and now == self._seen
        self._seen = now
        return same

    def forget(self) -> None:
        """The next look is made in any case."""
        self._seen = (None,) * len(self._databases)
