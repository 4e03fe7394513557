"""PostgreSQL behind the same seam as SQLite: for more machines, or a database a team already runs.

Needs the `postgres` extra (psycopg 3). Writers are serialised per process like in SQLite; across processes the
guarded updates keep them right. `events.seq` must be seen in commit order by readers of the outbox, and a
BIGSERIAL alone does not promise that, so every writing transaction takes one advisory lock (docs/design/store.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from modelyard.kernel.database import GroupCommit, Row, Tx, _migrate

WRITERS_LOCK = 0x6D6F64656C  # "model"


class Postgres:
    dialect = "postgres"

    def __init__(self, url: str) -> None:
        import psycopg

        self._connect = lambda: psycopg.connect(url, autocommit=True)
        self._lock = threading.RLock()
        self._local = threading.local()
        self._all: list[Any] = []
        self._all_lock = threading.Lock()
        self._writer = self._open()
        self._group = GroupCommit(self)

    def _open(self) -> Any:
        connection = self._connect()
        with self._all_lock:
            self._all.append(connection)
        return connection

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        connection = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            connection = self._local.connection = self._open()
        return connection.execute(_marks(sql), parameters).fetchall()

    @contextmanager
    def write(self) -> Iterator[Tx]:
        with self._lock:
            if self._writer.closed:
                self._writer = self._open()
            with self._writer.transaction():
                self._writer.execute("SELECT pg_advisory_xact_lock(%s)", (WRITERS_LOCK,))
                yield _PostgresTx(self._writer)

    def grouped(self, work: Callable[[Tx], Any]) -> Any:
        return self._group.run(work)

    def later(self, work: Callable[[Tx], Any], tell: Callable[[Any, BaseException | None], None]) -> None:
        self._group.later(work, tell)

    def stamp(self) -> None:
        """Not known here: there is nothing to look at without a query."""

    def give_back(self, most: int) -> int:
        """Its own vacuum does."""
        return 0

    def migrate(self, component: str, steps: Sequence[str]) -> None:
        _migrate(self, component, steps)

    def close(self) -> None:
        self._group.close()
        with self._all_lock:
            for connection in self._all:
                connection.close()
            self._all.clear()


class _PostgresTx:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        cursor = self._connection.execute(_marks(sql), parameters)
        return cursor.fetchall() if cursor.description else []

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_marks(sql), rows)


def _marks(sql: str) -> str:
    """`?` → `%s`; a literal percent sign is doubled. No statement of ours has a question mark in a literal."""
    return sql.replace("%", "%%").replace("?", "%s")
