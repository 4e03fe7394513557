"""What only a server has: connections that are few, and that are lost."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelyard.kernel.postgres import READERS
from tests.support.needs import needs

pytestmark = needs("postgresql")


@pytest.fixture
def db(postgres_url):
    import psycopg

    from modelyard.kernel.postgres import Postgres

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    made = Postgres(postgres_url.replace("///postgres?", f"///{name}?"))
    made.migrate("t", ["CREATE TABLE t (n BIGINT)"])
    yield made
    made.close()


def connections(db):
    return db.read("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")[0][0]


def test_many_threads_share_a_few_connections(db):
    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(lambda n: db.read("SELECT ?::int", (n,))[0][0] == n, range(400))) == {True}
    assert connections(db) <= READERS + 1


def test_what_lost_its_server_is_connected_anew(db):
    with db.write() as tx:
        tx.execute("INSERT INTO t VALUES (1)")
    db.read("SELECT n FROM t")
    import psycopg

    with psycopg.connect(db._writer.info.dsn, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
    assert db.read("SELECT n FROM t") == [(1,)]
    with db.write() as tx:
        tx.execute("INSERT INTO t VALUES (2)")
    assert db.read("SELECT n FROM t ORDER BY n") == [(1,), (2,)]


def test_a_transaction_that_lost_its_server_is_not_half_there(db):
    import psycopg

    with pytest.raises(psycopg.OperationalError), db.write() as tx:
        tx.execute("INSERT INTO t VALUES (1)")
        with psycopg.connect(db._writer.info.dsn, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(?)".replace("?", str(db._writer.info.backend_pid)))
        with db.write() as inner:
            inner.execute("INSERT INTO t VALUES (2)")
    assert db.read("SELECT n FROM t") == []


def test_a_wrong_statement_does_not_cost_the_connection(db):
    import psycopg

    for _ in range(3):
        with pytest.raises(psycopg.errors.UndefinedTable):
            db.read("SELECT * FROM nothing")
    assert connections(db) <= 2
