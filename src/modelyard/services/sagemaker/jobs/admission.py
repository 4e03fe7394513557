"""Which jobs may start now: places by CPU and memory over all kinds of jobs, fair by arrival.

A job asks at every look until it has its place, and leaves when it has ended; both are harmless to repeat. The table is in the
store, so whoever is killed loses no place and no turn. Nobody overtakes: a big job at the head waits until it fits.

What a place costs. CPU: what the instance type promises, capped at this machine, per host; places add up to twice the CPUs that are here. A
job that was given its place some time ago and lets the CPU lie (it sleeps, it waits for another job) costs next to nothing, so
jobs that start jobs and wait for them cannot block each other. Memory: each young job is promised a share, and only what is
really available is promised. Whoever is alone gets in, however big: the limits of its box hold it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.records import Record

CPU_PLACES = 2.0
"""Places are given for so many times the CPUs of the machine: a job is not always busy."""
MEMORY_SHARE = 8
"""A job is promised an eighth of the machine's memory, or what its instance type has where that is less."""
YOUNG_SECONDS = 10.0
"""For so long a job costs what it asked for, whatever it does."""
IDLE_CPUS, IDLE_COST = 0.05, 0.1
SAMPLE_SECONDS = 2.0
HEAD_LOOKS_SECONDS, OTHERS_LOOK_SECONDS = 0.5, 10.0

MIGRATIONS = [
    """
    CREATE TABLE places (
        uid TEXT PRIMARY KEY, arrival DOUBLE PRECISION NOT NULL, cpus DOUBLE PRECISION NOT NULL, memory DOUBLE PRECISION NOT NULL,
        since DOUBLE PRECISION);
    CREATE INDEX places_turn ON places (arrival, uid)
    """,
    # A warm place costs nothing: its job has ended, and a job that asks for the like takes it over. `took` is whose place it was,
    # and `taken` says so until that job has heard of it.
    """
    ALTER TABLE places ADD COLUMN warm TEXT;
    ALTER TABLE places ADD COLUMN took TEXT;
    CREATE TABLE taken (uid TEXT PRIMARY KEY, taker TEXT NOT NULL)
    """,
]

ENTER = (
    "INSERT INTO places (uid, arrival, cpus, memory, since, took) VALUES (?,?,?,?,?,?) "
    "ON CONFLICT (uid) DO UPDATE SET since = excluded.since, took = excluded.took"
)
"""Into the queue (`since` NULL), or to a place; nobody writes another's row while it has none."""


@dataclass(frozen=True)
class Place:
    """`admitted`, or how many are `ahead` in the queue; `took` is the uid of the job whose warm place this was. True where it
    is admitted."""

    admitted: bool
    ahead: int = 0
    took: str | None = None

    def __bool__(self) -> bool:
        return self.admitted

    @property
    def look_in_real_s(self) -> float:
        """When to ask again, should nobody wake the job before."""
        return HEAD_LOOKS_SECONDS if self.ahead == 0 else OTHERS_LOOK_SECONDS


@dataclass(frozen=True)
class Machine:
    """What this machine has for jobs: CPUs, bytes of memory, and how many of these are available now."""

    cpus: float
    memory: float
    available: float


@dataclass(frozen=True)
class Held:
    """A place that was given: what it asked for, for how long (real seconds), how busy it is (CPUs; None: not known)."""

    cpus: float
    memory: float
    age_s: float
    busy: float | None = None


def fits(machine: Machine, held: Iterable[Held], cpus: float, memory: float) -> bool:
    """Whether one more job may start beside those that hold places. Pure."""
    holders = list(held)
    if not holders:
        return True
    room = machine.cpus * CPU_PLACES - sum(_cost(one) for one in holders)
    promised = sum(_share(machine, one.memory) for one in holders if one.age_s < YOUNG_SECONDS)
    return min(cpus, machine.cpus * CPU_PLACES) <= room and _share(machine, memory) <= machine.available - promised


def _cost(one: Held) -> float:
    idle = one.age_s >= YOUNG_SECONDS and one.busy is not None and one.busy < IDLE_CPUS
    return min(one.cpus, IDLE_COST) if idle else one.cpus


def _share(machine: Machine, memory: float) -> float:
    return min(memory, machine.memory / MEMORY_SHARE)


def admit(world: Any, record: Record, cpus: float, memory: float, hosts: int = 1, warm: str | None = None) -> Place:
    """Whether this job may start now. `cpus` and `memory` (bytes) are what a host of it is given on this machine. Ask again
    until it may; then the place is the job's until `leave`. A place that is kept `warm` under this very key is taken at once."""
    return _gate(world).admit(world, record, cpus * hosts, memory * hosts, warm)


def keep_warm(world: Any, uid: str, key: str) -> None:
    """The job has ended; its place waits for one that asks for a warm place of this key, until `leave`."""
    _gate(world).keep_warm(world, uid, key)


def taker(world: Any, uid: str) -> str | None:
    """The uid of the job that took over this job's warm place."""
    return _gate(world).taker(uid)


def leave(world: Any, uid: str) -> None:
    """The job has ended, or needs no place for a while; whoever is next is woken."""
    _gate(world).leave(world, uid)


class Gate:
    def __init__(self, db: Any) -> None:
        self._db = db
        self._load = Load()
        self._turn = threading.Lock()
        self.machine: Callable[[], Machine] = this_machine
        db.migrate("places", MIGRATIONS)

    def admit(self, world: Any, record: Record, cpus: float, memory: float, warm: str | None = None) -> Place:
        known = self._db.read("SELECT since, took FROM places WHERE uid = ?", (record.uid,))
        if known and known[0][0] is not None:
            return Place(True, took=known[0][1])
        row = (record.uid, record.created_at, cpus, memory)
        if warm and (took := self._take(row, warm)):
            world.wake(took)
            return Place(True, took=took)
        ahead = self._ahead(record)
        if not ahead and self._enter(world, row):
            self._wake_next(world)
            return Place(True)
        if not known:
            self._db.grouped(lambda tx: tx.execute(ENTER, (*row, None, None)))
        return Place(False, ahead)

    def _enter(self, world: Any, row: tuple[str, float, float, float]) -> bool:
        """One at a time: two that ask for the first time would both find the last place free."""
        with self._turn:
            if self._fits(world, *row[2:]):
                self._db.grouped(lambda tx: tx.execute(ENTER, (*row, real_now(), None)))
                return True
            return False

    def _fits(self, world: Any, cpus: float, memory: float) -> bool:
        now = real_now()
        rows = self._db.read("SELECT uid, cpus, memory, since FROM places WHERE since IS NOT NULL AND warm IS NULL")
        busy = self._load.of(world, [row[0] for row in rows], now)
        if fits(self.machine(), [Held(row[1], row[2], now - row[3], busy.get(row[0])) for row in rows], cpus, memory):
            return True
        self._forget_gone()
        return False

    def _take(self, row: tuple[str, float, float, float], key: str) -> str | None:
        if not self._db.read("SELECT 1 FROM places WHERE warm = ? LIMIT 1", (key,)):
            return None

        def take(tx: Any) -> str | None:
            found = tx.execute("SELECT uid FROM places WHERE warm = ? ORDER BY since, uid LIMIT 1", (key,))
            if not found:
                return None
            took = found[0][0]
            tx.execute("DELETE FROM places WHERE uid = ?", (took,))
            tx.execute("INSERT INTO taken VALUES (?,?) ON CONFLICT (uid) DO NOTHING", (took, row[0]))
            tx.execute(ENTER, (*row, real_now(), took))
            return took

        return self._db.grouped(take)

    def keep_warm(self, world: Any, uid: str, key: str) -> None:
        if self._db.read("SELECT 1 FROM places WHERE uid = ? AND warm IS NULL AND since IS NOT NULL", (uid,)):
            self._db.grouped(lambda tx: tx.execute("UPDATE places SET warm = ? WHERE uid = ?", (key, uid)))
            self._wake_next(world)

    def taker(self, uid: str) -> str | None:
        found = self._db.read("SELECT taker FROM taken WHERE uid = ?", (uid,))
        return found[0][0] if found else None

    def leave(self, world: Any, uid: str) -> None:
        if self._db.read("SELECT 1 FROM taken WHERE uid = ?", (uid,)):
            self._db.grouped(lambda tx: tx.execute("DELETE FROM taken WHERE uid = ?", (uid,)))
        if not self._db.read("SELECT 1 FROM places WHERE uid = ?", (uid,)):
            return
        self._db.grouped(lambda tx: tx.execute("DELETE FROM places WHERE uid = ?", (uid,)))
        self._wake_next(world)

    def _ahead(self, record: Record) -> int:
        """How many came before and wait still."""
        before = "since IS NULL AND (arrival, uid) < (?, ?)"
        ahead = self._db.read(f"SELECT count(*) FROM places WHERE {before}", (record.created_at, record.uid))[0][0]
        if ahead:
            self._forget_gone()
        return ahead

    def _forget_gone(self) -> None:
        """A job whose record is gone has no place and no turn."""
        gone = "uid NOT IN (SELECT uid FROM records)"
        if self._db.read(f"SELECT 1 FROM places WHERE {gone} LIMIT 1"):
            self._db.grouped(lambda tx: tx.execute(f"DELETE FROM places WHERE {gone}"))

    def _wake_next(self, world: Any) -> None:
        for (uid,) in self._db.read("SELECT uid FROM places WHERE since IS NULL ORDER BY arrival, uid LIMIT 1"):
            world.wake(uid)


class Load:
    """How many CPUs jobs keep busy, from one sample to the next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: dict[str, tuple[float, float]] = {}
        self._busy: dict[str, float] = {}

    def of(self, world: Any, uids: list[str], now: float) -> dict[str, float]:
        """CPUs in use since the sample before, of jobs that run long enough to have one."""
        runtime = world.parts.get("runtime")
        if not uids or not hasattr(runtime, "usage"):
            return {}
        with self._lock:
            newest = max((at for at, _ in self._before.values()), default=0.0)
            if now - newest >= SAMPLE_SECONDS:
                self._sample(runtime, set(uids), now)
            return self._busy

    def _sample(self, runtime: Any, uids: set[str], now: float) -> None:
        spent: dict[str, float] = {}
        for run_id, (seconds, _) in runtime.usage([run for run in runtime.ids() if run.rpartition("-")[0] in uids]).items():
            uid = run_id.rpartition("-")[0]
            spent[uid] = spent.get(uid, 0.0) + seconds
        before, self._before = self._before, {uid: (now, seconds) for uid, seconds in spent.items()}
        self._busy = {uid: max(0.0, seconds - before[uid][1]) / (now - before[uid][0]) for uid, seconds in spent.items() if uid in before}


def this_machine() -> Machine:
    """CPUs this process may use; memory as the kernel tells it, or as the control group of a container allows it."""
    said = {}
    with open("/proc/meminfo") as file:
        for line in file:
            name, _, value = line.partition(":")
            said[name] = float(value.split()[0]) * 1024
    memory, available = said["MemTotal"], said.get("MemAvailable", said["MemFree"])
    limit, used = _group("memory.max"), _group("memory.current")
    if limit is not None and used is not None and limit < memory:
        memory, available = limit, min(available, limit - used)
    return Machine(len(os.sched_getaffinity(0)), memory, available)


def _group(name: str) -> float | None:
    try:
        with open(f"/sys/fs/cgroup/{name}") as file:
            return float(file.read())
    except (OSError, ValueError):  # no such group, or "max"
        return None


_MAKING = threading.Lock()


def _gate(world: Any) -> Gate:
    with _MAKING:
        if "admission" not in world.parts:
            world.parts["admission"] = Gate(world.store.db)
        return world.parts["admission"]
