"""Which objects a job has and which of them are done: files in the job's folder, so that a crash neither loses one nor does one twice.

The list is made once, before anything is transformed: objects that come to the prefix later are not of this job, and each host
finds its share by number. A host appends a line for each object it is done with, after its output is in S3.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.jobs.inputs import Item
from modelyard.serving.transform.errors import Refused

UNKNOWN_BYTES = 64 << 10
"""What an object counts whose size a manifest does not tell."""


class Ledger:
    def __init__(self, job: Record, world: Any) -> None:
        self.folder = Path(world.settings.data) / "jobs" / job.uid
        self._list = self.folder / "objects.jsonl"
        self.stop_sign = self.folder / "stop"

    # --- the list --------------------------------------------------------------------------------

    def write_list(self, items: Iterable[Item]) -> tuple[int, int]:
        """Answers how many objects there are, and their bytes. The list is there whole or not, and the first one stays: another
        engine may have gone on with it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        half = self.folder / f"objects-{os.urandom(6).hex()}.half"
        try:
            with half.open("wb") as file:
                for item in items:
                    file.write(orjson.dumps([item.bucket, item.key, item.name, item.size], option=orjson.OPT_APPEND_NEWLINE))
            with contextlib.suppress(FileExistsError):
                os.link(half, self._list)
        finally:
            half.unlink(missing_ok=True)
        count = size = 0
        for item in self.items():
            count, size = count + 1, size + (item.size or UNKNOWN_BYTES)
        return count, size

    def items(self) -> Iterator[Item]:
        with self._list.open("rb") as file:
            for line in file:
                yield Item(*orjson.loads(line))

    def share(self, host: int, hosts: int) -> Iterator[tuple[int, Item]]:
        """(number, object) of those that are the `host`th's (from 1): dealt out in the order of keys, as ShardedByS3Key does."""
        return islice(enumerate(self.items()), host - 1, None, hosts)

    # --- what is done ----------------------------------------------------------------------------

    def mark(self, host: int, number: int, problem: Refused | None) -> None:
        told = None if problem is None else [problem.side, problem.short()]
        with self._done(host).open("ab") as file:
            file.write(orjson.dumps([number, told], option=orjson.OPT_APPEND_NEWLINE))

    def done(self, host: int) -> dict[int, list[str] | None]:
        """Number → None, or [side, text] of what was wrong. A line that a crash cut is not there."""
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self._done(host).read_bytes().split(b"\n")[:-1]:
                with contextlib.suppress(ValueError):
                    number, told = orjson.loads(line)
                    found[number] = told
        return found

    def all_done(self, hosts: int) -> dict[int, list[str] | None]:
        return {number: told for host in range(1, hosts + 1) for number, told in self.done(host).items()}

    def ask_to_stop(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.stop_sign.touch()

    # --- uploads under way -------------------------------------------------------------------------

    def note_upload(self, host: int, bucket: str, key: str, upload: str) -> Path:
        """A multipart upload that has begun; the file goes when it has ended."""
        path = self.folder / f"upload-{host}-{upload[:40]}"
        path.write_bytes(orjson.dumps([bucket, key, upload]))
        return path

    def uploads(self, host: int) -> Iterator[tuple[Path, str, str, str]]:
        """Those that a killed worker left."""
        for path in self.folder.glob(f"upload-{host}-*"):
            with contextlib.suppress(ValueError, FileNotFoundError):
                yield path, *orjson.loads(path.read_bytes())

    @contextlib.contextmanager
    def working(self, host: int) -> Iterator[None]:
        """Held by the one who works for this host; whoever comes second waits."""
        with self._lock(host).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def is_worked_on(self, host: int) -> bool:
        """Whether somebody works for this host, be it another engine's worker."""
        try:
            with self._lock(host).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _lock(self, host: int) -> Path:
        return self.folder / f"lock-{host}"

    def _done(self, host: int) -> Path:
        return self.folder / f"done-{host}"
