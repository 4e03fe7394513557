"""One frozen Settings: every knob of the platform, with its default and its help."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

DATA_FORMAT = 1


def default_data() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "modelyard"


def default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard"


def knob(default, help: str):
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Settings:
    data: Path = field(default_factory=default_data, metadata={"help": "folder that holds everything the platform remembers"})
    cache: Path = field(default_factory=default_cache, metadata={"help": "folder of built images, shared by data folders"})
    host: str = knob("127.0.0.1", "address to listen on")
    port: int = knob(4566, "port of the platform (0: any free one)")
    auth: str = knob("iam", "iam: signatures and policies are checked; open: any key is accepted (loopback only)")
    account: str = knob("123456789012", "account ID of the first account")
    region: str = knob("us-east-1", "region when a client names none")
    clock_speed: float = knob(1.0, "how many platform seconds pass in a real second")
    gateways: int = knob(1, "gateway processes")
    engines: int = knob(1, "engine processes")
    patience: float = knob(3.0, "longest real seconds a describe waits for a record on its way (0: never)")
    store: str = knob("", "PostgreSQL URL; empty: SQLite in the data folder")
    access_log: bool = knob(False, "write a line per request to logs/access.log in the data folder")
    strict: bool = knob(False, "a response member that the model lacks is a failure (tests)")

    @property
    def socket_dir(self) -> Path:
        """A short folder for unix sockets (their paths may have 107 bytes): in the data folder where
        that fits, else a private folder under /tmp named by the data folder's hash."""
        own = self.data / "run" / "s"
        if len(str(own)) <= 60:
            return own
        digest = hashlib.sha256(str(self.data.resolve()).encode()).hexdigest()[:12]
        return Path(f"/tmp/modelyard-{os.getuid()}-{digest}")

    @property
    def runs(self) -> Path:
        return self.data / "runs"

    @property
    def secrets(self) -> Path:
        return self.data / "secrets"
