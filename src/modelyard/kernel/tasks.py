"""Long work of a reconciler (copying inputs, building an image, collecting outputs) beside the loop.

A task lives in this process only: after a crash it is absent and `ensure` starts it again, so its work must
be repeatable. What it finished it leaves on disk or in the store; the in-memory result is a convenience.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

log = logging.getLogger("modelyard.tasks")


@dataclass(frozen=True)
class TaskState:
    """`state` is absent, running, done or failed; `error` is the exception of a failed one."""

    state: str
    result: Any = None
    error: BaseException | None = None


ABSENT = TaskState("absent")
RUNNING = TaskState("running")


class Tasks:
    def __init__(self) -> None:
        self._states: dict[str, TaskState] = {}
        self._lock = threading.Lock()

    def ensure(self, key: str, work: Callable[[], Any], on_end: Callable[[], Any] = lambda: None) -> TaskState:
        """Starts `work` on a thread of its own unless a task of this key is known; answers what is known."""
        with self._lock:
            have = self._states.get(key, ABSENT)
            if have.state != "absent":
                return have
            self._states[key] = RUNNING
        threading.Thread(target=self._run, args=(key, work, on_end), name=f"task {key}", daemon=True).start()
        return RUNNING

    def attempt(self, key: str, work: Callable[[], Any], final: tuple[type[Exception], ...]) -> None:
        """Short work on this very thread. A `final` exception is kept as the failure of task `key`, for the next look to
        decide on; any other is raised, so that the engine tries again."""
        try:
            work()
        except final as problem:
            self._states[key] = TaskState("failed", error=problem)

    def look(self, key: str) -> TaskState:
        return self._states.get(key, ABSENT)

    def forget(self, key: str) -> None:
        """Drops the result of an ended task, so that the same key may run again."""
        with self._lock:
            if self._states.get(key, ABSENT).state in ("done", "failed"):
                del self._states[key]

    def _run(self, key: str, work: Callable[[], Any], on_end: Callable[[], Any]) -> None:
        try:
            end = TaskState("done", work())
        except BaseException as problem:
            end = TaskState("failed", error=problem)
        with self._lock:
            self._states[key] = end
        try:
            on_end()
        except Exception:
            log.exception("the end of task %s was not told", key)
