"""Follows the log files of runs into log streams: live, in order, without a loss or a repeat over kill -9.

A run's log (see `runtime/base.py`) has one `<epoch milliseconds> <text>` line per output line. How far a file
was read is committed with the events. Times are real when the run writes them; they are told in platform time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.kernel.clock import Clock, real_now
from modelyard.services.logs.log_store import LogStore

log = logging.getLogger("modelyard.logs")
LOOK_SECONDS = 0.05
CHUNK_BYTES = 1 << 20


@dataclass
class Followed:
    account: str
    region: str
    group: str
    stream: str
    path: Path
    on_lines: Callable[[list[tuple[int, str]]], None] | None = None
    place: int = -1
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
        on_lines: Callable[[list[tuple[int, str]]], None] | None = None,
    ) -> None:
        """Follows `path` from where it was left; a second call with the same key changes nothing. `on_lines` sees each
        batch of (timestamp ms, text) before it is committed; it may see a batch again after a crash."""
        with self._lock:
            if key not in self._files:
                self._files[key] = Followed(account, region, group, stream, Path(path), on_lines)
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

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                files = list(self._files.items())
            busy = False
            for key, followed in files:
                try:
                    busy |= self._read(key, followed)
                except Exception:
                    log.exception("following %s failed; it is tried again", followed.path)
            if not files:
                self._wake.wait()
                self._wake.clear()
            elif not busy:
                self._stop.wait(LOOK_SECONDS)

    def _read(self, key: str, followed: Followed, last: bool = False) -> bool:
        """Moves one chunk; True if there was one."""
        with followed.lock:
            if followed.place < 0:
                followed.place = self._store.source_place(key)
            try:
                if followed.path.stat().st_size <= followed.place:
                    return False
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
            shift_ms = self._shift_ms()
            lines = [_line(raw, shift_ms) for raw in chunk[:end].splitlines()]
            if followed.on_lines is not None:
                followed.on_lines(lines)
            self._store.append(
                followed.account, followed.region, followed.group, followed.stream, lines, source=(key, followed.place + end)
            )
            followed.place += end
            return end > 0

    def _shift_ms(self) -> int:
        """What to add to a real time of just now to have it in platform time."""
        return 0 if self._clock.speed == 1.0 else int((self._clock.now() - real_now()) * 1000)


def _line(raw: bytes, shift_ms: int) -> tuple[int, str]:
    stamp, _, text = raw.decode("utf-8", "replace").partition(" ")
    return (int(stamp) + shift_ms, text) if stamp.isdigit() else (int(real_now() * 1000) + shift_ms, raw.decode("utf-8", "replace"))
