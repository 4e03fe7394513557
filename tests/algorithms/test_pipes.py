"""The feeder of Pipe mode: pipes by epoch, order, shuffle, shards, wrapping, unpacking."""

from __future__ import annotations

import gzip
import struct
import threading

import pytest

from modelyard.algorithms import pipes


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "data").mkdir()
    for n in range(4):
        (tmp_path / "in" / f"o{n}").write_bytes(b"%d\n" % n)
    return tmp_path


def channel(folder, **more):
    entries = [[{"file": f"o{n}"}] for n in range(4)]
    return {
        "name": "train",
        "folder": str(folder / "in"),
        "entries": entries,
        "wrap": False,
        "gzip": False,
        "seed": None,
        "host": 1,
        "hosts": 1,
    } | more


def epochs(folder, made, count):
    """What a reader gets from one pipe after the other."""
    feeder = threading.Thread(target=pipes.feed, args=(made, str(folder / "data"), count), daemon=True)
    pipes.make(pipes.pipe_path(str(folder / "data"), made, 0))
    feeder.start()
    found = []
    for epoch in range(count):
        with open(folder / "data" / f"train_{epoch}", "rb") as pipe:
            found.append(pipe.read())
    feeder.join(10)
    return found


def test_every_epoch_is_the_whole_channel(folder):
    assert epochs(folder, channel(folder), 3) == [b"0\n1\n2\n3\n"] * 3


def test_a_reader_that_stops_early_gets_the_next_epoch_whole(folder):
    (folder / "in" / "o0").write_bytes(b"x" * (4 << 20))
    made = channel(folder, entries=[[{"file": "o0"}]])
    pipes.make(pipes.pipe_path(str(folder / "data"), made, 0))
    threading.Thread(target=pipes.feed, args=(made, str(folder / "data"), 2), daemon=True).start()
    with open(folder / "data" / "train_0", "rb") as pipe:
        assert pipe.read(10) == b"x" * 10
    with open(folder / "data" / "train_1", "rb") as pipe:
        assert len(pipe.read()) == 4 << 20


def test_a_shuffle_differs_by_epoch_and_is_the_same_for_the_same_seed(folder):
    made = channel(folder, seed=7, entries=[[{"text": str(n)}] for n in range(30)])
    first, second = (b"".join(pipes.stream(made, epoch)) for epoch in (0, 1))
    assert first != second and sorted(first) == sorted(second)
    assert first == b"".join(pipes.stream(dict(made), 0))


@pytest.mark.parametrize("seed", [None, 3])
def test_shards_are_disjoint_and_complete_in_every_epoch(folder, seed):
    for epoch in (0, 1):
        parts = [b"".join(pipes.stream(channel(folder, seed=seed, host=host, hosts=3), epoch)).split() for host in (1, 2, 3)]
        assert sorted(sum(parts, [])) == [b"0", b"1", b"2", b"3"]


def test_records_are_wrapped_and_padded(folder):
    (folder / "in" / "o0").write_bytes(b"hello")
    data = b"".join(pipes.stream(channel(folder, wrap=True, entries=[[{"file": "o0"}, {"text": "ab"}]]), 0))
    assert data == struct.pack("<II", 0xCED7230A, 5) + b"hello\0\0\0" + struct.pack("<II", 0xCED7230A, 2) + b"ab\0\0"


def test_gzip_is_unpacked(folder):
    (folder / "in" / "o0").write_bytes(gzip.compress(b"a,b\n"))
    assert b"".join(pipes.stream(channel(folder, gzip=True, entries=[[{"file": "o0"}]]), 0)) == b"a,b\n"
