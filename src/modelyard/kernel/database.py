"""SQL for the store and for the measured hot paths: one seam over SQLite (WAL) and PostgreSQL.

Statements are written once in the subset both understand, with `?` for parameters
(`INSERT … ON CONFLICT DO UPDATE … RETURNING` is in both). Where they differ, `db.dialect` says which
it is ("sqlite" or "postgres"). JSON is TEXT in both; times are DOUBLE PRECISION epoch seconds.

    with db.write() as tx:            # one transaction; commits at the end, rolls back on an exception
        tx.execute("UPDATE …", (…))
    rows = db.read("SELECT …", (…))   # a list of tuples, on a connection of the calling thread

Why not an ORM or SQLAlchemy Core: docs/design/store.md.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from modelyard.kernel.commitstamp import CommitStamp
from modelyard.kernel.reserve import is_full

log = logging.getLogger("modelyard.database")
Row = tuple[Any, ...]


class Tx(Protocol):
    """A transaction under way."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Runs one statement and answers its rows (of a SELECT or of RETURNING; else [])."""

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None: ...


class Database(Protocol):
    dialect: str

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]: ...

    def write(self) -> Any:
        """Context manager of one transaction (serialised per process; BEGIN IMMEDIATE in SQLite)."""

    def grouped(self, work: Callable[[Tx], Any]) -> Any:
        """Runs `work(tx)` in a transaction shared with whatever other threads ask for at the same time
        (group commit) and answers its result once that transaction is durable. A `work` that raises
        spoils only itself (savepoint) and its exception is raised here."""

    def later(self, work: Callable[[Tx], Any], tell: Callable[[Any, BaseException | None], None]) -> None:
        """`grouped` for who must not wait: `tell(result, error)` is called once that transaction is durable, on another thread, which
        it must not hold up."""

    def stamp(self) -> bytes | None:
        """Two equal stamps: nothing was committed in between, by any process. None: not known. Costs no query."""

    def give_back(self, most: int) -> int:
        """Gives up to so many free pages back to the disk; answers how many are free still, 0 where the file does not shrink."""

    def migrate(self, component: str, steps: Sequence[str]) -> None:
        """Brings `component` to len(steps); each step is one or more statements, separated by `;`."""

    def close(self) -> None: ...


WRITER_CACHE_KIB = 8192
# There is a reader per thread and database; pages come from the shared mapping, so their own caches stay small.
READER_CACHE_KIB = 1024
MAPPED_MIB = 64
"""How much of a file is read through the shared mapping; it takes addresses, not memory of its own."""
SYNCHRONOUS = {True: "FULL", False: "NORMAL"}


class SQLite:
    """SQLite in WAL mode: one writing connection per process, one reading connection per thread.

    `durable` chooses synchronous=FULL (a commit survives power loss) over NORMAL (survives kill -9). A file that `shrinks` from its beginning
    can give free pages back.
    """

    dialect = "sqlite"

    def __init__(self, path: Path, durable: bool = True, mapped_mib: int = MAPPED_MIB, shrinks: bool = False) -> None:
        self._path, self._durable, self._mapped_mib, self._shrinks = path, durable, mapped_mib, shrinks
        self.on_full: Callable[[], None] = lambda: None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._local = threading.local()
        self._readers: list[tuple[sqlite3.Connection, threading.Lock]] = []
        self._readers_lock = threading.Lock()
        self._closed = False
        self._writer = self._connect(WRITER_CACHE_KIB)
        self._group = GroupCommit(self)
        self._commits = CommitStamp(path)
        self.stamp = self._commits.read

    def _connect(self, cache_kib: int) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30, cached_statements=512)
        for pragma in (
            *(
                ["auto_vacuum=INCREMENTAL"] if self._shrinks else []
            ),  # means something while the file is empty, and before the journal's mode only
            f"synchronous={SYNCHRONOUS[self._durable]}",
            "journal_mode=WAL",
            "busy_timeout=30000",
            "temp_store=MEMORY",
            f"cache_size=-{cache_kib}",
            f"mmap_size={self._mapped_mib << 20}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        try:
            connection, in_use = self._local.reader
        except AttributeError:
            connection, in_use = self._reader()
        with in_use:
            return connection.execute(sql, parameters).fetchall()

    def _reader(self) -> tuple[sqlite3.Connection, threading.Lock]:
        """This thread's own connection. Its lock is only ever contended by `close`."""
        made = self._connect(READER_CACHE_KIB), threading.Lock()
        with self._readers_lock:
            if self._closed:
                made[0].close()
            self._readers.append(made)
        self._local.reader = made
        return made

    @contextmanager
    def write(self) -> Iterator[Tx]:
        with self._lock:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield _SQLiteTx(self._writer)
                self._writer.execute("COMMIT")
            except BaseException as problem:
                if not self._closed and self._writer.in_transaction:  # a full disk has rolled back already, or has failed in the commit
                    self._writer.execute("ROLLBACK")
                if is_full(problem):
                    self.on_full()
                raise

    def grouped(self, work: Callable[[Tx], Any]) -> Any:
        return self._group.run(work)

    def later(self, work: Callable[[Tx], Any], tell: Callable[[Any, BaseException | None], None]) -> None:
        self._group.later(work, tell)

    def give_back(self, most: int) -> int:
        with self._lock:
            if self._closed:
                return 0
            self._writer.execute(f"PRAGMA incremental_vacuum({most})").fetchall()
            if self._writer.execute("PRAGMA auto_vacuum").fetchone()[0] != 2:
                return 0
            return self._writer.execute("PRAGMA freelist_count").fetchone()[0]

    def migrate(self, component: str, steps: Sequence[str]) -> None:
        _migrate(self, component, steps)

    def close(self) -> None:
        """Waits for statements and transactions of other threads: to close a connection under them crashes the
        process (SQLite frees what they stand on). Later ones raise sqlite3.ProgrammingError."""
        self._group.close()
        with self._readers_lock:
            self._closed = True
            readers, self._readers = self._readers, []
        for connection, in_use in readers:
            with in_use:
                connection.close()
        with self._lock:
            self._writer.close()
        self._commits.close()


class _SQLiteTx:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return self._connection.execute(sql, parameters).fetchall()

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self._connection.executemany(sql, rows)


class GroupCommit:
    """Whoever comes first leads: it commits the work of all who came while the last commit ran. Those who do not wait have a thread
    that leads for them, begun with the first."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._queue: list[_Job] = []
        self._leader: tuple[threading.Thread, queue.SimpleQueue[bool]] | None = None

    def run(self, work: Callable[[Tx], Any]) -> Any:
        job = _Job(work)
        with self._lock:
            self._queue.append(job)
        with self._turn:
            if not job.done:
                self._lead()
        if job.error is not None:
            raise job.error
        return job.result

    def later(self, work: Callable[[Tx], Any], tell: Callable[[Any, BaseException | None], None]) -> None:
        with self._lock:
            self._queue.append(_Job(work, tell))
            if self._leader is None:
                bell: queue.SimpleQueue[bool] = queue.SimpleQueue()
                self._leader = threading.Thread(target=self._go_on, args=(bell,), name="commits", daemon=True), bell
                self._leader[0].start()
            self._leader[1].put(True)

    def close(self) -> None:
        """What was asked for before is committed and told when this returns."""
        with self._lock:
            leader, self._leader = self._leader, None
        if leader is not None:
            leader[1].put(False)
            leader[0].join()

    def _go_on(self, bell: queue.SimpleQueue[bool]) -> None:
        while bell.get():
            with self._turn:
                self._lead()

    def _lead(self) -> None:
        with self._lock:
            jobs, self._queue = self._queue, []
        if not jobs:
            return
        try:
            with self._db.write() as tx:
                for job in jobs:
                    self._do(job, tx, len(jobs) == 1)
        except BaseException as problem:
            for job in jobs:
                job.error = job.error or problem
        for job in jobs:
            job.done = True
            if job.tell is not None:
                try:
                    job.tell(job.result, job.error)
                except Exception:
                    log.exception("who asked for a commit could not be told of it")

    def _do(self, job: _Job, tx: Tx, alone: bool) -> None:
        if alone:  # it spoils nobody but itself: the transaction's own end is enough
            job.result = job.work(tx)
            return
        tx.execute("SAVEPOINT job")
        try:
            job.result = job.work(tx)
            tx.execute("RELEASE SAVEPOINT job")
        except BaseException as problem:
            tx.execute("ROLLBACK TO SAVEPOINT job")
            tx.execute("RELEASE SAVEPOINT job")
            job.error = problem


class _Job:
    __slots__ = ("done", "error", "result", "tell", "work")

    def __init__(self, work: Callable[[Tx], Any], tell: Callable[[Any, BaseException | None], None] | None = None) -> None:
        self.work, self.tell, self.done, self.result, self.error = work, tell, False, None, None


def _migrate(db: Database, component: str, steps: Sequence[str]) -> None:
    with db.write() as tx:
        tx.execute("CREATE TABLE IF NOT EXISTS migrations (component TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        have = tx.execute("SELECT version FROM migrations WHERE component = ?", (component,))
        version = have[0][0] if have else 0
        if version > len(steps):
            raise RuntimeError(
                f"the data of {component!r} has format {version}, this program knows {len(steps)}: it was written by a newer release"
            )
        for step in steps[version:]:
            for statement in filter(None, (part.strip() for part in step.split(";"))):
                tx.execute(statement)
        if not have or version < len(steps):  # else nothing is written: a process that starts waits for no disk
            tx.execute(
                "INSERT INTO migrations (component, version) VALUES (?, ?) ON CONFLICT (component) DO UPDATE SET version = excluded.version",
                (component, len(steps)),
            )


def open_database(url: str, path: Path, durable: bool = True, mapped_mib: int = MAPPED_MIB, shrinks: bool = False) -> Database:
    """`url` is a PostgreSQL URL, or empty for SQLite at `path`."""
    if not url:
        return SQLite(path, durable, mapped_mib, shrinks)
    from modelyard.kernel.postgres import Postgres

    return Postgres(url)
