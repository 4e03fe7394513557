"""PostgreSQL behind the same seam as SQLite: for more machines, or a database a team already runs.

Needs the `postgres` extra (psycopg 3). Writers are serialised per process like in SQLite; across processes the
guarded updates keep them right. Readers share a few connections, whatever the number of threads: a process has eight databases, and the
server a hundred connections. What lost its server meanwhile is connected anew, before anything was written. `events.seq` must be seen in commit order by readers of the outbox, and a
BIGSERIAL alone does not promise that, so every writing transaction takes one advisory lock (docs/design/store.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from modelyard.kernel.database import GroupCommit, Row, Tx, _migrate

WRITERS_LOCK = 0x6D6F64656C  # "model"
READERS = 4


class Postgres:
    dialect = "postgres"

    def __init__(self, url: str) -> None:
        import psycopg

        self._connect = lambda: psycopg.connect(url, autocommit=True)
        self._lock = threading.RLock()
        self._idle: list[Any] = []
        self._turns = threading.BoundedSemaphore(READERS)
        self._is_closed = False
        self._writer = self._connect()
        self._depth = 0
        self._group = GroupCommit(self)

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with self._turns:
            while True:
                try:
                    connection, fresh = self._idle.pop(), False
                except IndexError:
                    if self._is_closed:
                        raise RuntimeError("the database is closed") from None
                    connection, fresh = self._connect(), True
                try:
                    return connection.execute(_marks(sql), parameters).fetchall()
                except Exception:
                    if fresh or not connection.broken:
                        raise  # else it had lost its server before: another one
                finally:
                    self._idle.append(connection) if not (connection.closed or self._is_closed) else connection.close()

    @contextmanager
    def write(self) -> Iterator[Tx]:
        with self._lock, ExitStack() as stack:
            self._begin(stack)
            self._depth += 1
            try:
                yield _PostgresTx(self._writer)
            finally:
                self._depth -= 1

    def _begin(self, stack: ExitStack) -> None:
        """Enters a transaction; on a new connection where the old one has lost its server."""
        try:
            self._enter(stack)
        except Exception:
            if self._depth or self._is_closed or not self._writer.closed:
                raise
            stack.pop_all()
            self._writer = self._connect()
            self._enter(stack)

    def _enter(self, stack: ExitStack) -> None:
        stack.enter_context(self._writer.transaction())
        self._writer.execute("SELECT pg_advisory_xact_lock(%s)", (WRITERS_LOCK,))

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
        self._is_closed = True
        self._writer.close()
        while self._idle:
            self._idle.pop().close()


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
