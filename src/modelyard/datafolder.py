"""The data folder as the processes of one platform share it: format, lock, settings, state, clock anchor.

VERSION            format number of the folder
run/lock           held (flock) by the supervisor; JSON of its pid and endpoint
run/settings.json  the settings every process of this start reads
run/state.json     the processes that are there, written by the supervisor at every change
clock.json         anchor of the platform clock, so that its time never goes back
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from modelyard.config import DATA_FORMAT, Settings

UPGRADES: dict[int, Callable[[Path], None]] = {}
"""From format n to n + 1: `UPGRADES[n](folder)`; each must bear being run again after a crash."""


class NewerFormat(Exception):
    """The data folder was written by a newer release: this one must not touch it."""


class Held(Exception):
    """Another supervisor holds this data folder; `holder` is what it wrote (pid, endpoint)."""

    def __init__(self, holder: dict[str, Any]) -> None:
        super().__init__("the data folder is in use")
        self.holder = holder


def prepare(folder: Path) -> None:
    """Makes the folder (0700) or brings an older one to this release's format. Raises NewerFormat."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in ("run", "logs", "secrets", "runs"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    version = folder / "VERSION"
    found = int(version.read_text().strip()) if version.exists() else DATA_FORMAT
    if found > DATA_FORMAT:
        raise NewerFormat(
            f"{folder} has data format {found}; this release knows formats up to {DATA_FORMAT}. Use the newer release it was made by."
        )
    while found < DATA_FORMAT:
        UPGRADES[found](folder)
        found += 1
        write_text(version, f"{found}\n")
    if not version.exists():
        write_text(version, f"{found}\n")


# --- lock ----------------------------------------------------------------------------------------


class Lock:
    """Holds the folder as long as this process lives (kill -9 frees it)."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "run/lock"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(20):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.02)  # a `holder()` of somebody may have it for an instant
        else:
            os.close(self._fd)
            raise Held(_json(self._path) or {})
        self.tell({"pid": os.getpid()})

    def tell(self, holder: dict[str, Any]) -> None:
        """Writes who holds it, for those who find it held."""
        data = json.dumps(holder).encode()
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))

    def free(self) -> None:
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def holder(folder: Path) -> dict[str, Any] | None:
    """Who holds the folder now (pid, endpoint); None when nobody does."""
    path = folder / "run/lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _json(path) or {}
    finally:
        os.close(fd)
    return None


# --- settings and state --------------------------------------------------------------------------


def save_settings(settings: Settings) -> None:
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(settings).items()}
    write_text(settings.data / "run/settings.json", json.dumps(plain, indent=1))


def load_settings(folder: Path) -> Settings:
    """The settings of the last start; unknown ones (of another release) are left out."""
    plain = _json(folder / "run/settings.json")
    if plain is None:
        return Settings(data=folder)
    known = {f.name for f in fields(Settings)}
    values = {key: Path(value) if key in ("data", "cache") else value for key, value in plain.items() if key in known}
    return Settings(**{**values, "data": folder})


def save_state(folder: Path, state: dict[str, Any]) -> None:
    write_text(folder / "run/state.json", json.dumps(state, indent=1))


def load_state(folder: Path) -> dict[str, Any]:
    return _json(folder / "run/state.json") or {}


# --- clock ---------------------------------------------------------------------------------------


def load_anchor(folder: Path) -> dict[str, float] | None:
    """speed, anchor_real, anchor_platform; None: platform time has always been real time."""
    return _json(folder / "clock.json")


def save_anchor(folder: Path, anchor: dict[str, float]) -> None:
    write_text(folder / "clock.json", json.dumps(anchor))


# --- files ---------------------------------------------------------------------------------------


def write_text(path: Path, text: str) -> None:
    """Whole or not at all, also through power loss; 0600."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
