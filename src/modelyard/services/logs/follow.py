"""Follows the log files of runs into log streams: live, in order, without a loss or a repeat over kill -9.

A run's log (see `runtime/base.py`) has one `<epoch milliseconds> <text>` line per output line. How far a file
was read is committed with the events. Times are real when the run writes them; they are told in platform time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.kernel.clock import Clock, real_now
from modelyard.kernel.reserve import spare
from modelyard.services.logs.log_store import LogStore

log = logging.getLogger("modelyard.logs")
LOOK_SECONDS, FAILED_SECONDS = 0.05, 2.0
FORGET_SECONDS = 300.0
"""A file that nobody asked for in so long is another engine's by now: where there are several, any may look after a run."""
CHUNK_BYTES = 1 << 20


@dataclass
class Followed:
    account: str
    region: str
    group: str
    stream: str
    path: Path
    on_lines: Callable[[list[int], list[tuple[int, str]]], None] | None = None
    place: int = -1
    asked: float = field(default_factory=real_now)
    lock: threading.Lock = field(default_factory=threading.Lock)


class LogFollower:
    """One thread that follows many files. `platform.follower` in the engine."""

    def __init__(self, store: LogStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._files: dict[str, Followed] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(
        self,
        key: str,
        account: str,
        region: str,
        group: str,
        stream: str,
        path: Path,
        on_lines: Callable[[list[int], list[tuple[int, str]]], None] | None = None,
    ) -> None:
        """Follows `path` from where it was left; a second call with the same key changes nothing. `on_lines` sees
        (places where they end, lines) before they are committed; it may see lines again, after a crash or from another engine."""
        with self._lock:
            if key not in self._files:
                self._files[key] = Followed(account, region, group, stream, Path(path), on_lines)
            self._files[key].asked = real_now()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log follower", daemon=True)
                self._thread.start()
        self._wake.set()

    def drain(self, key: str) -> None:
        """Reads the file to its end now (its writer is gone) and stops following it."""
        followed = self._files.get(key)
        if followed is not None:
            while self._read(key, followed, last=True):
                pass
            with self._lock:
                self._files.pop(key, None)

    def lines(self, path: Path) -> Iterator[tuple[float, str]]:
        """(platform time, text) of every line of a run's log, from its beginning."""
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            for raw in file:
                at_ms, text = line_of(raw.rstrip(b"\n"), self._clock)
                yield at_ms / 1000, text

    def newest_lines(self, path: Path) -> Iterator[tuple[float, str]]:
        """The same from its end."""
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            place, rest = file.seek(0, 2), b""
            while place > 0 or rest:
                size = min(place, CHUNK_BYTES)
                place -= size
                file.seek(place)
                parts = (file.read(size) + rest).split(b"\n")
                rest = parts[0] if place > 0 else b""
                for raw in reversed(parts[1:] if place > 0 else parts):
                    if raw:
                        at_ms, text = line_of(raw, self._clock)
                        yield at_ms / 1000, text

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                since = real_now() - FORGET_SECONDS
                for key in [key for key, followed in self._files.items() if followed.asked < since]:
                    del self._files[key]
                files = list(self._files.items())
            busy = failed = False
            for key, followed in files:
                try:
                    busy |= self._read(key, followed)
                except Exception:
                    failed = True
                    log.exception("following %s failed; it is tried again", followed.path)
            if not files:
                self._wake.wait()
                self._wake.clear()
            elif not busy:
                self._stop.wait(FAILED_SECONDS if failed else LOOK_SECONDS)

    def _read(self, key: str, followed: Followed, last: bool = False) -> bool:
        """Moves one chunk; True if there was one."""
        with followed.lock:
            if followed.place < 0:
                followed.place = self._store.source_place(key)
            try:
                if followed.path.stat().st_size <= followed.place:
                    return False
                spare(followed.path.parent)
                with followed.path.open("rb") as file:
                    file.seek(followed.place)
                    chunk = file.read(CHUNK_BYTES)
            except FileNotFoundError:
                return False
            end = chunk.rfind(b"\n") + 1
            if end == 0:
                if not (last or len(chunk) == CHUNK_BYTES):
                    return False
                end = len(chunk)
            lines = [line_of(raw, self._clock) for raw in chunk[:end].split(b"\n") if raw]
            if followed.on_lines is not None:
                followed.on_lines(_places(chunk[:end], followed.place), lines)
            part = (key, followed.place, followed.place + end)
            whose = self._store.append(followed.account, followed.region, followed.group, followed.stream, lines, source=part)
            followed.place = followed.place + end if whose else self._store.source_place(key)
            return end > 0


def _places(chunk: bytes, start: int) -> list[int]:
    """Where in the file each (not empty) line of a chunk ends."""
    places, at = [], start
    for raw in chunk.split(b"\n"):
        at += len(raw) + 1
        if raw:
            places.append(at)
    return places


def line_of(raw: bytes, clock: Clock) -> tuple[int, str]:
    """(platform ms, text) of one line of a run's log."""
    text = raw.decode("utf-8", "replace")
    stamp, _, rest = text.partition(" ")
    real, said = (int(stamp) / 1000, rest) if stamp.isdigit() else (real_now(), text)
    return int(clock.of_real(real) * 1000), said
