"""A throw-away PostgreSQL cluster for the tests of a session, on a unix socket."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.needs import postgresql_bin


@contextmanager
def cluster(connections: int = 100) -> Iterator[str]:
    """Yields the URL of an empty cluster's `postgres` database; the cluster is gone afterwards."""
    programs = postgresql_bin()
    assert programs, "PostgreSQL is required here and not installed"
    folder = Path(tempfile.mkdtemp(prefix="my-pg-", dir="/tmp"))
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres", "postgres")

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, capture_output=True, cwd=folder)

    data = folder / "data"
    run(f"{programs}/initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c max_connections={connections}"
    run(f"{programs}/pg_ctl", "-D", str(data), "-o", options, "-w", "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql:///postgres?host={folder}&user=postgres"
    finally:
        run(f"{programs}/pg_ctl", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


class Scratch:
    """A cluster for as long as this process lives, with an empty database for each data folder that asks: `MODELYARD_TEST_STORE=postgresql`
    runs tests that know nothing of it on PostgreSQL. A folder that is opened again has its database still; one that was closed is
    dropped when the next folder comes."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._url = ""
        self._names: dict[Path, str] = {}
        self._closed: list[Path] = []

    def url(self, folder: Path) -> str:
        import psycopg

        if not self._url:
            self._url = self._stack.enter_context(cluster(connections=400))
            atexit.register(self._stack.close)
        with psycopg.connect(self._url, autocommit=True) as admin:
            while self._closed:
                if (gone := self._closed.pop()) != folder:
                    admin.execute(f"DROP DATABASE {self._names.pop(gone)} WITH (FORCE)")
            if folder not in self._names:
                self._names[folder] = f"t{uuid.uuid4().hex}"
                admin.execute(f"CREATE DATABASE {self._names[folder]}")
        return self._url.replace("///postgres?", f"///{self._names[folder]}?")

    def closed(self, folder: Path) -> None:
        if folder in self._names:
            self._closed.append(folder)


scratch = Scratch()


def store_of_tests(folder: Path) -> str:
    """The `store` setting of a platform in this process: SQLite, unless the environment says otherwise."""
    return scratch.url(folder) if os.environ.get("MODELYARD_TEST_STORE") == "postgresql" else ""
