"""What was acknowledged is there with the right bytes; what was not is absent; a crash leaves at most orphan files."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from modelyard.config import Settings
from modelyard.kernel.clock import SystemClock
from modelyard.kernel.errors import ApiError
from modelyard.kernel.platform import Platform
from modelyard.kernel.service import Body, BytesBody
from modelyard.services.s3 import blobs, install
from modelyard.services.s3.depot import Draft
from modelyard.services.s3.ingest import SMALL, Promise, receive


def open_depot(data):
    return install(Platform(Settings(data=data), SystemClock(), None))


@pytest.fixture
def depot(tmp_path):
    made = open_depot(tmp_path)
    add_bucket(made)
    return made


def add_bucket(depot):
    depot.index.db.grouped(
        lambda tx: tx.execute(
            "INSERT INTO s3_buckets VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING", ("b", "1" * 12, "us-east-1", 0.0, "", None, "{}")
        )
    )


def put(depot, key, data):
    return depot.put("b", key, Draft(receive(depot.blobs, BytesBody(data), Promise()), {}))


def read(depot, key):
    _, data = depot.find_open("b", key)
    return data if isinstance(data, bytes) else data.read()


def files(data):
    return {path.name for path in (data / "objects").rglob("*") if path.is_file()}


class Broken(Body):
    """Fails after some bytes, as a client does that goes away."""

    def __init__(self, good):
        self._left, self.trailers = good, {}

    def read(self, size=1 << 18):
        if self._left <= 0:
            raise ApiError("IncompleteBody", "gone", 400)
        self._left -= size
        return b"x" * size


@pytest.mark.parametrize("good", [0, 100, 3 << 20])
def test_a_body_that_breaks_off_leaves_nothing(depot, tmp_path, good):
    with pytest.raises(ApiError):
        receive(depot.blobs, Broken(good), Promise())
    assert files(tmp_path) == set()
    assert [one for one in threading.enumerate() if one.name == "s3 hash"] == []


@pytest.mark.parametrize("step", ["write", "rename", "fsync", "commit"])
def test_a_step_that_fails_leaves_the_old_object(depot, tmp_path, monkeypatch, step):
    old, new = os.urandom(SMALL * 2), os.urandom(SMALL * 2)
    put(depot, "k", old)
    before = files(tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    if step == "commit":
        monkeypatch.setattr(depot.index, "insert", full)
    else:
        monkeypatch.setattr(blobs.os, step, full)
    with pytest.raises(OSError, match="No space"):
        put(depot, "k", new)
    monkeypatch.undo()
    assert read(depot, "k") == old and files(tmp_path) == before
    put(depot, "k", new)
    assert read(depot, "k") == new and len(files(tmp_path)) == 1


def test_sweep_takes_orphans_only_and_only_old_ones(depot, tmp_path):
    put(depot, "k", b"x" * SMALL * 2)
    kept = files(tmp_path)
    orphan, half = depot.blobs.writer(), depot.blobs.writer()
    orphan.write(b"orphan")
    orphan.commit()
    half.write(b"half")
    assert depot.sweep() == 0 and len(files(tmp_path)) == 3
    assert depot.sweep(grace_s=-1.0) == 1
    assert files(tmp_path) == kept and read(depot, "k") == b"x" * SMALL * 2


def test_readers_see_one_version_whole_while_others_overwrite(depot):
    stop, wrong = threading.Event(), []

    def write():
        n = 0
        while not stop.is_set():
            n += 1
            put(depot, "k", bytes([n % 256]) * (SMALL * (1 + n % 3)))

    def look():
        while not stop.is_set():
            found, data = depot.find_open("b", "k")
            whole = data if isinstance(data, bytes) else data.read()
            if hashlib.md5(whole).hexdigest() != found.etag:
                wrong.append(found)

    put(depot, "k", b"first")
    threads = [threading.Thread(target=one) for one in (write, write, look, look)]
    for one in threads:
        one.start()
    time.sleep(1.0)  # how long the race runs, not a wait for anything
    stop.set()
    for one in threads:
        one.join()
    assert wrong == []


WRITER = """
    import sys, random, hashlib
    from pathlib import Path
    from tests.services.s3.test_durability import open_depot, add_bucket, put
    depot = open_depot(Path(sys.argv[1])); add_bucket(depot)
    rng = random.Random(int(sys.argv[2]))
    while True:
        key, data = f"k{rng.randrange(8)}", rng.randbytes(rng.choice([10, 5_000, 40_000, 400_000]))
        print("want", key, hashlib.md5(data).hexdigest(), flush=True)
        put(depot, key, data)
        print("have", key, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_kill_9_in_mid_write(tmp_path, seed):
    rng, held = random.Random(seed), {}
    for round in range(4):
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), str(seed * 100 + round)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        said = process.stdout.readline()
        time.sleep(rng.uniform(0.05, 0.4))  # the moment of the crash
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read()
        process.wait()
        pending = None
        for line in said[: said.rfind("\n") + 1].splitlines():
            kind, key, *digest = line.split()
            if kind == "want":
                pending = (key, digest[0])
            elif pending is not None:
                held[key], pending = pending[1], None
        depot = open_depot(tmp_path)
        for key in list(held):
            found = hashlib.md5(read(depot, key)).hexdigest()
            if pending and key == pending[0] and found == pending[1]:
                held[key] = found  # committed, but its word did not reach us
            assert found == held[key]
        depot.sweep(grace_s=-5.0)
        rows = {row[0] for row in depot.index.db.read("SELECT blob FROM s3_objects WHERE blob NOT LIKE 'i%' AND blob <> ''")}
        assert files(tmp_path) == rows
        depot.index.db.close()
    assert held
