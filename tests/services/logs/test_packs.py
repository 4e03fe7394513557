"""Packs of old lines: whatever is packed, and whenever, a reader finds the same lines in the same order."""

from __future__ import annotations

import random

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.services.logs import log_store, pack, packs, scan
from modelyard.services.logs.lines import END, START, LogEvent
from modelyard.services.logs.log_store import LogStore
from modelyard.services.logs.packing import Packing

NOW = 1_700_000_000
WORDS = ["alpha", "beta", "gämma", "NEEDLE", "x\ny", "", '"quoted"', "\\"]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(packs, "PACK_LINES", 32)
    monkeypatch.setattr(packs, "PACKS_AT_ONCE", 3)
    monkeypatch.setattr(scan, "MANY_ROWS", 16)
    monkeypatch.setattr(log_store, "MANY_ROWS", 64)
    monkeypatch.setattr(log_store, "LOOK_ROWS", 32)
    monkeypatch.setattr(log_store, "FEW_ROWS", 8)
    made = LogStore(SQLite(tmp_path / "logs.db", durable=False), ManualClock(NOW))
    yield made
    made.db.close()


def lines_of(chance, count, start=0):
    return [(NOW * 1000 + start + chance.randrange(200), f"{n} {chance.choice(WORDS)} {chance.randrange(50)}") for n in range(count)]


def streams_of(store, count):
    store.create_group("1", "r", "/g", None, "STANDARD")
    group = store.group("1", "r", "/g")
    for n in range(count):
        store.create_stream(group, f"s{n}")
    return group, lambda: store.streams(group, limit=100)


def texts(events):
    return [(e.stream_id, e.at_ms, e.seq, e.message) for e in events if e.message is not None]


def test_a_pack_opens_to_the_lines_it_was_closed_with():
    events = [LogEvent(n * 3, 7, NOW + n // 2, NOW + n, f"{word} {n}") for n, word in enumerate(WORDS * 3)]
    for some in (events, [e for e in events if "\n" not in e.message], events[:1]):
        places, text, bits = pack.close_pack(some)
        assert list(pack.open_pack(7, places, pack.text_of(text))) == some
        assert all(bits[at] & mask for at, mask in pack.probes([e.message for e in some]))
    wanted = pack.probes(["nowhere to be seen"])
    assert not all(bits[at] & mask for at, mask in wanted)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_packed_is_read_as_if_it_were_not(store, seed):
    """Lines come in disorder and late, so packs overlap each other and the loose lines."""
    chance = random.Random(seed)
    _, streams = streams_of(store, 3)
    for turn in range(6):
        for stream in streams():
            store.put(stream, lines_of(chance, chance.randrange(60), turn * 50))
    ways = [
        {},
        {"newest_first": True},
        {"contains": ["NEEDLE"]},
        {"contains": ["gä", "4"]},
        {"contains": ["x\ny"]},
        {"start_ms": NOW * 1000 + 100, "end_ms": NOW * 1000 + 220},
        {"after": (NOW * 1000 + 130, 40)},
    ]
    ask = lambda: [texts(store.scan(streams(), **way)) for way in ways]  # noqa: E731
    pages = lambda: [store.events([s.id], newest_first=down, limit=25) for s in streams() for down in (False, True)]  # noqa: E731
    before, some = ask(), pages()
    assert all(before)
    for up_to in (100, 10_000):
        for stream in streams():
            while store.packs.pack(stream.id, up_to):
                pass
        assert ask() == before and pages() == some
    assert store.db.read("SELECT count(*) FROM log_packs")[0][0] > 6
    assert store.db.read("SELECT count(*) FROM log_events")[0][0] < 3 * 32
    one = before[0][10]
    assert store.event(one[0], one[1], one[2]).message == one[3]


def test_lines_that_are_packed_while_they_are_read_are_read_once(store):
    chance = random.Random(5)
    _, streams = streams_of(store, 2)
    for stream in streams():
        store.put(stream, lines_of(chance, 200))
    for way in ({}, {"newest_first": True}, {"contains": ["NEEDLE"]}):
        wanted = texts(store.scan(streams(), **way))
        seen = []
        for event in store.scan(streams(), **way):
            seen.append(event)
            if chance.random() < 0.1:
                store.packs.pack(chance.choice(streams()).id, 10_000)
            if chance.random() < 0.1:
                store.put(streams()[0], [(NOW * 1000 - 5_000, "early")] if not way.get("newest_first") else [])
        assert [one for one in texts(seen) if one[3] != "early"] == [one for one in wanted if one[3] != "early"]


def test_packs_go_with_their_stream_their_group_and_their_time(store):
    group, streams = streams_of(store, 2)
    for stream in streams():
        store.put(stream, [(NOW * 1000 + n * 3_600_000, f"line {n}") for n in range(64)])
        while store.packs.pack(stream.id, 10_000):
            pass
    assert store.group("1", "r", "/g").bytes == 2 * sum(len(f"line {n}") + 26 for n in range(64))
    store.set_retention(group, 1)
    store._clock.advance(58 * 3600)
    store.sweep()
    assert store.db.read("SELECT count(*) FROM log_packs") == store.db.read("SELECT count(*) FROM log_pack_bits") == [(2,)]
    assert store.group("1", "r", "/g").bytes == 2 * sum(len(f"line {n}") + 26 for n in range(32, 64))
    assert streams()[0].first_ms == NOW * 1000 + 32 * 3_600_000
    store.delete_stream(streams()[0])
    assert store.db.read("SELECT count(*) FROM log_pack_bits") == [(1,)]
    store.delete_group(group)
    assert store.db.read("SELECT count(*) FROM log_packs") == store.db.read("SELECT count(*) FROM log_pack_bits") == [(0,)]


def test_two_engines_pack_each_line_once_and_only_what_has_lain_for_a_while(store):
    _, streams = streams_of(store, 2)
    engines = [Packing(), Packing()]
    for stream in streams():
        store.put(stream, [(NOW * 1000 + n, f"line {n}") for n in range(100)])
    assert [one.look(store, 1000.0) for one in engines] == [0, 0]
    for stream in streams():
        store.put(stream, [(NOW * 1000 + n, f"later {n}") for n in range(100)])
    assert [one.look(store, 1031.0) for one in engines] == [6, 0]
    assert len(texts(store.scan(streams()))) == 400
    assert all(
        "later" not in e.message
        for s in streams()
        for p in next(store.packs.between(s.id, START, END, 1 << 60))
        for e in store.packs.lines(p)
    )


def test_an_idle_stream_is_packed_though_it_has_few_lines(store):
    _, streams = streams_of(store, 1)
    store.put(streams()[0], [(NOW * 1000 + n, f"line {n}") for n in range(96)])
    packing = Packing()
    packing.look(store, 1000.0)
    assert packing.look(store, 1040.0) == 3
    store.put(streams()[0], [(NOW * 1000 + n, f"more {n}") for n in range(20)])
    packing.look(store, 1080.0)
    assert packing.look(store, 1120.0) == 0
    store._clock.advance(7200)
    assert packing.look(store, 1160.0) == 0  # 20 are too few to be worth it


def test_a_few_long_lines_are_a_pack(store, monkeypatch):
    monkeypatch.setattr(packs, "PACK_BYTES", 1000)
    _, streams = streams_of(store, 1)
    store.put(streams()[0], [(NOW * 1000 + n, str(n) * 400) for n in range(6)])
    wanted = texts(store.scan(streams()))
    while store.packs.pack(streams()[0].id, 10_000):
        pass
    assert store.db.read("SELECT sum(lines), max(lines) FROM log_packs")[0][1] == 2
    assert texts(store.scan(streams())) == wanted


def test_what_goes_gives_its_space_back(tmp_path, monkeypatch):
    monkeypatch.setattr(log_store, "PAGES_KEPT", 16)
    path = tmp_path / "shrinks.db"
    logs = LogStore(SQLite(path, durable=False, shrinks=True), ManualClock(NOW))
    try:
        logs.append("1" * 12, "us-east-1", "/old", "s", [(int(NOW * 1000), f"{n} {'x' * 500}") for n in range(4000)])
        logs.append("1" * 12, "us-east-1", "/kept", "s", [(int(NOW * 1000), "kept")])
        before = path.stat().st_size + path.with_name("shrinks.db-wal").stat().st_size
        logs.delete_group(logs.group("1" * 12, "us-east-1", "/old"))
        logs.sweep()
        kept = logs.group("1" * 12, "us-east-1", "/kept")
        assert [event.message for event in logs.scan(logs.streams(kept))] == ["kept"]
    finally:
        logs.db.close()
    assert before > 2_000_000
    assert path.stat().st_size < 300_000
