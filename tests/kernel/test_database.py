"""The SQLite seam: what holds whatever the threads do."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

import pytest

from modelyard.kernel.database import SQLite

CLOSE_UNDER_LOAD = """
import pathlib, sqlite3, sys, threading
from modelyard.kernel.database import SQLite

def work(db, number):
    try:
        while True:
            with db.write() as tx:
                tx.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 500))
            db.read("SELECT * FROM t ORDER BY b, a LIMIT 50")
    except sqlite3.ProgrammingError:
        pass

for turn in range(12):
    db = SQLite(pathlib.Path(sys.argv[1]) / f"{turn}.db", durable=False)
    db.migrate("t", ["CREATE TABLE t (a INTEGER, b TEXT)"])
    threads = [threading.Thread(target=work, args=(db, n)) for n in range(6)]
    for thread in threads:
        thread.start()
    threading.Event().wait(0.05)
    db.close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
print("closed")
"""


def test_closing_under_other_threads_does_not_crash(tmp_path):
    """In a process of its own: a connection freed under a running statement is a segmentation fault."""
    ran = subprocess.run([sys.executable, "-c", CLOSE_UNDER_LOAD, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout.strip()) == (0, "closed"), ran.stderr[-2000:]


def test_close_waits_for_a_transaction(tmp_path):
    db = SQLite(tmp_path / "a.db")
    db.migrate("t", ["CREATE TABLE t (a INTEGER)"])
    inside, go_on = threading.Event(), threading.Event()

    def write():
        with db.write() as tx:
            inside.set()
            go_on.wait(20)
            tx.execute("INSERT INTO t VALUES (7)")

    writer = threading.Thread(target=write)
    writer.start()
    assert inside.wait(20)
    closer = threading.Thread(target=db.close)
    closer.start()
    go_on.set()
    writer.join(20)
    closer.join(20)
    assert SQLite(tmp_path / "a.db").read("SELECT a FROM t") == [(7,)]
    with pytest.raises(sqlite3.ProgrammingError):
        db.read("SELECT 1")
    with pytest.raises(sqlite3.ProgrammingError), db.write():
        pass


def test_later_is_told_after_the_commit_and_an_error_spoils_only_itself(tmp_path):
    db, told, done = SQLite(tmp_path / "a.db"), [], threading.Semaphore(0)
    db.migrate("t", ["CREATE TABLE t (a INTEGER PRIMARY KEY)"])

    def tell(result, error):
        seen = sqlite3.connect(tmp_path / "a.db").execute("SELECT count(*) FROM t WHERE a = ?", (result,)).fetchone()
        told.append((result, type(error), seen[0]))
        done.release()

    def work(number):
        def insert(tx):
            tx.execute("INSERT INTO t VALUES (?)", (number,))
            return number

        return insert

    gate, inside = threading.Event(), threading.Event()

    def slow(tx):
        inside.set()
        gate.wait(20)

    holder = threading.Thread(target=db.grouped, args=(slow,))
    holder.start()
    inside.wait(20)
    for number in (1, 2, 2, 3):  # wait together, so they share one commit
        db.later(work(number), tell)
    gate.set()
    holder.join(20)
    for _ in range(4):
        assert done.acquire(timeout=20)
    assert told == [(1, type(None), 1), (2, type(None), 1), (None, sqlite3.IntegrityError, 0), (3, type(None), 1)]
    db.close()


def test_close_commits_what_was_asked_for_and_ends_the_thread(tmp_path):
    others = set(threading.enumerate())
    db, told = SQLite(tmp_path / "a.db"), []
    db.migrate("t", ["CREATE TABLE t (a INTEGER)"])
    for number in range(50):
        db.later(lambda tx, n=number: tx.execute("INSERT INTO t VALUES (?)", (n,)), lambda result, error: told.append(error))
    db.close()
    assert told == [None] * 50
    assert not any(thread.name == "commits" for thread in set(threading.enumerate()) - others)
    assert sqlite3.connect(tmp_path / "a.db").execute("SELECT count(*) FROM t").fetchone() == (50,)
