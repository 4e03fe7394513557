"""Stamps of commits: equal while nothing is committed, another after a commit of whatever process."""

import subprocess
import sys
import threading

import pytest

from modelyard.kernel.commitstamp import is_next
from modelyard.kernel.database import SQLite
from modelyard.kernel.unchanged import Unchanged
from modelyard.services.iam.changes import Changes

COMMIT = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit(); db.close()"


@pytest.fixture
def db(tmp_path):
    db = SQLite(tmp_path / "some.db")
    db.migrate("test", ["CREATE TABLE things (name TEXT)"])
    yield db
    db.close()


def elsewhere(path, sql):
    subprocess.run([sys.executable, "-c", COMMIT, str(path), sql], check=True)


def test_reading_leaves_the_stamp(db):
    before = db.stamp()
    assert before is not None
    assert db.read("SELECT * FROM things") == []
    assert db.stamp() == before


def test_every_commit_changes_it(db, tmp_path):
    seen = [db.stamp()]
    for number in range(20):
        with db.write() as tx:
            tx.execute("INSERT INTO things VALUES ('same')")
        seen.append(db.stamp())
        if number % 10 == 5:
            db.read("PRAGMA wal_checkpoint(TRUNCATE)")
        elsewhere(tmp_path / "some.db", "INSERT INTO things VALUES ('same')")
        seen.append(db.stamp())
    assert len(set(seen)) == len(seen)


def test_a_rollback_is_no_commit(db):
    before = db.stamp()
    with pytest.raises(ZeroDivisionError), db.write() as tx:
        tx.execute("INSERT INTO things VALUES ('x')")
        raise ZeroDivisionError
    assert db.stamp() == before


def test_locks_outlive_a_second_user_of_the_file(db, tmp_path):
    """Closing one database of this process must not take the POSIX locks of another one on the same file away."""
    other = SQLite(tmp_path / "some.db")
    assert other.stamp() == db.stamp()
    other.close()
    assert other.stamp() is None
    before = db.stamp()
    elsewhere(tmp_path / "some.db", "INSERT INTO things VALUES ('later')")
    assert db.stamp() != before
    assert db.read("SELECT name FROM things") == [("later",)]


def test_what_was_answered_elsewhere_is_seen_by_the_next_look(db, tmp_path):
    db.migrate("events", ["CREATE TABLE events (kind TEXT)"])
    changes = Changes(db)
    for number in range(1, 6):
        elsewhere(tmp_path / "some.db", "INSERT INTO events VALUES ('model')")
        assert changes.version() == number
        elsewhere(tmp_path / "some.db", "INSERT INTO events VALUES ('iam-role')")
        assert changes.version() == number + 1


def test_a_version_read_during_commits_is_never_kept_too_long(db, tmp_path):
    db.migrate("events", ["CREATE TABLE events (kind TEXT)"])
    changes, wrong, done = Changes(db), [], threading.Event()
    committed = [1]

    def look():
        while not done.is_set():
            least = committed[0]
            if changes.version() < least:
                wrong.append(least)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        with db.write() as tx:
            tx.execute("INSERT INTO events VALUES ('iam-role')")
        committed[0] += 1
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_unchanged_is_true_only_while_nothing_was_committed_since_it_was_asked(db, tmp_path):
    looker, other = Unchanged(db), Unchanged(db)
    assert [looker.still(), looker.still(), looker.still()] == [False, True, True]
    elsewhere(tmp_path / "some.db", "INSERT INTO things VALUES ('x')")
    assert [looker.still(), looker.still(), other.still()] == [False, True, False]
    looker.forget()
    assert [looker.still(), looker.still()] == [False, True]


def test_unchanged_of_two_and_of_one_that_cannot_tell(db, tmp_path):
    class Mute:
        def stamp(self):
            return None

    second = SQLite(tmp_path / "second.db")
    second.migrate("test", ["CREATE TABLE things (name TEXT)"])
    looker = Unchanged(db, second)
    assert [looker.still(), looker.still()] == [False, True]
    elsewhere(tmp_path / "second.db", "INSERT INTO things VALUES ('x')")
    assert not looker.still()
    second.close()
    looker = Unchanged(db, Mute())
    assert [looker.still(), looker.still()] == [False, False]


def test_next_is_one_commit_later(tmp_path):
    db, other = SQLite(tmp_path / "a.db"), SQLite(tmp_path / "a.db")
    db.migrate("t", ["CREATE TABLE t (a INTEGER)"])

    def commit(of):
        with of.write() as tx:
            tx.execute("INSERT INTO t VALUES (1)")

    commit(db)
    first = db.stamp()
    commit(db)
    second = db.stamp()
    assert is_next(first, second) and not is_next(first, first) and not is_next(second, first)
    commit(other)
    assert is_next(second, db.stamp()) and not is_next(first, db.stamp())
    with db.write() as tx:
        inside = db.stamp()
        tx.execute("INSERT INTO t VALUES (2)")
    assert is_next(inside, db.stamp()), "as it is seen within a transaction, before its own commit"
    assert not is_next(None, first) and not is_next(first, None)
    db.close()
    other.close()
