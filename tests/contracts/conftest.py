"""Every store passes the same tests: SQLite always, PostgreSQL where the machine has it."""

from __future__ import annotations

import uuid

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.store import Store
from tests.support.needs import needs
from tests.support.postgres import cluster


@pytest.fixture(scope="session")
def postgres_url():
    with cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=needs("postgresql"))])
def database(request, tmp_path):
    if request.param == "sqlite":
        db = SQLite(tmp_path / "store.db")
        yield db
        db.close()
        return
    import psycopg

    from modelyard.kernel.postgres import Postgres

    url, name = request.getfixturevalue("postgres_url"), f"t{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    db = Postgres(url.replace("///postgres?", f"///{name}?"))
    yield db
    db.close()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(database, clock):
    return Store(database, clock)
