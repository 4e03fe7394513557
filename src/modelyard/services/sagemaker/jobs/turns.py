"""Work on the folder of a job that only one process may do at a time: any of several engines may look after a job."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Among all processes: a copy of inputs that another engine has begun; an upload that began while the job ran and must not end
    after the last one, with older bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
