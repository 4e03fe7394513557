"""Packs of old points: the same answers as before, AWS's retention, nothing counted twice or lost."""

from __future__ import annotations

import random

import numpy as np
import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.services.cloudwatch import seen
from modelyard.services.cloudwatch.heap import Heap
from modelyard.services.cloudwatch.metric_store import MetricStore
from modelyard.services.cloudwatch.statistic import extended

START, DAY, HOUR = 1_699_999_200.0, 86_400, 3_600
"""A whole hour."""


@pytest.fixture
def store(tmp_path):
    clock = ManualClock(START)
    made = MetricStore(SQLite(tmp_path / "m.db", durable=False), clock)
    made.clock = clock
    yield made
    made.db.close()


def put(store, at, value, name="m", **more):
    store.put("1", "r", "N", [{"MetricName": name, "Value": value, "Timestamp": at, **more}])


def ask(store, start, end, period, stat="Sum", name="m", unit=None):
    exact = stat not in ("Sum", "SampleCount", "Minimum", "Maximum", "Average")
    found = store.buckets("1", "r", "N", name, [], start, end, period, unit, anchor=start, exact=exact)
    return [(bucket.start - START, bucket.statistic(stat)) for bucket in found]


def count(store, table):
    return store.db.read(f"SELECT count(*) FROM {table}")[0][0]


STATS = ["Sum", "SampleCount", "Minimum", "Maximum", "Average", "p50", "p99", "tm90", "PR(:5)", "IQM"]


@pytest.mark.parametrize("start", [START, START + 60, START + 25 * 60])
def test_packing_changes_no_answer(store, start):
    chance = random.Random(7)
    for minute in range(0, 300, 2):
        for _ in range(chance.randint(1, 3)):
            put(store, START + 60 * minute, float(chance.randint(0, 9)), Unit=chance.choice(["Count", "Bytes"]))
    asked = [
        (start, START + 5 * HOUR, period, stat, "m", unit) for period in (60, 300, 3600, 420) for stat in STATS for unit in (None, "Bytes")
    ]
    store.clock.advance(6 * HOUR)
    before = [ask(store, *one) for one in asked]
    assert all(before)
    store.sweep()
    assert count(store, "metric_points") < 150 and count(store, "metric_packs") > 0
    assert same([ask(store, *one) for one in asked], before)
    store.clock.advance(6 * HOUR)
    store.sweep()
    store.sweep()
    assert count(store, "metric_points") == 0
    assert same([ask(store, *one) for one in asked], before)


def same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert [at for at, _ in one] == [at for at, _ in other]
        assert [value for _, value in one] == pytest.approx([value for _, value in other])
    return True


def test_late_points_join_their_period(store):
    put(store, START, 1.0)
    store.clock.advance(5 * HOUR)
    store.sweep()
    put(store, START + 60, 10.0)
    assert ask(store, START, START + HOUR, 3600) == [(0, 11.0)]
    assert ask(store, START, START + HOUR, 3600, "p100") == [(0, 10.0)]
    store.sweep()
    assert count(store, "metric_points") == 0 and ask(store, START, START + HOUR, 3600) == [(0, 11.0)]
    assert ask(store, START, START + HOUR, 60) == [(0, 1.0), (60, 10.0)]


def test_statistic_sets_have_no_percentiles_when_packed_either(store):
    store.put(
        "1",
        "r",
        "N",
        [{"MetricName": "m", "Timestamp": START, "StatisticValues": {"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2}}],
    )
    put(store, START + 60, 5.0)
    for _ in range(2):
        assert ask(store, START, START + HOUR, 3600, "p50") == [(0, None)] and ask(store, START, START + HOUR, 3600) == [(0, 8.0)]
        store.clock.advance(5 * HOUR)
        store.sweep()


RETENTION = [(1, 3 * HOUR), (60, 15 * DAY), (300, 63 * DAY), (3600, 455 * DAY)]


@pytest.mark.parametrize("swept", [False, True])
def test_each_resolution_is_kept_as_long_as_aws_keeps_it(store, swept):
    put(store, START, 7.0)
    for before, (size, seconds) in zip([None, *RETENTION], RETENTION, strict=False):
        store.clock.jump_to(START + seconds - size)
        if swept:
            store.sweep()
        assert ask(store, START, START + HOUR, size) == [(0, 7.0)], size
        if before is not None:
            assert ask(store, START, START + HOUR, before[0]) == [], size
    store.clock.jump_to(START + 455 * DAY + 61 * DAY)
    assert ask(store, START, START + HOUR, 3600) == []
    store.sweep()
    assert [count(store, table) for table in ("metric_points", "metric_packs", "metric_series")] == [0, 0, 0]


def test_single_values_of_training_jobs_stay_for_their_readers(store):
    job = [{"Name": "TrainingJobName", "Value": "j"}]
    store.put("1", "r", "/aws/sagemaker/TrainingJobs", [{"MetricName": "loss", "Dimensions": job, "Value": 0.5, "Timestamp": START + 7}])
    store.clock.advance(2 * DAY)
    store.sweep()
    assert store.every_point("1", "r", "/aws/sagemaker/TrainingJobs", job) == [("loss", START + 7, 0.5)]
    store.clock.advance(14 * DAY)
    store.sweep()
    assert count(store, "metric_points") == 0


def test_a_crash_while_packing_loses_and_doubles_nothing(store, monkeypatch):
    from modelyard.services.cloudwatch import rollup

    for number in range(3):
        put(store, START + 60 * number, 1.0, name=f"m{number}")
    store.clock.advance(6 * HOUR)
    whole, calls = rollup._add, []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        whole(*arguments)

    monkeypatch.setattr(rollup, "_add", dies)
    with pytest.raises(KeyboardInterrupt):
        store.sweep()
    monkeypatch.setattr(rollup, "_add", whole)
    for _ in range(2):
        assert [ask(store, START, START + HOUR, 3600, name=f"m{number}") for number in range(3)] == [[(0, 1.0)]] * 3
        store.sweep()


def test_many_values_of_a_pack_are_kept_in_groups(store):
    for number in range(1, 2001):
        put(store, START, float(number))
    store.clock.advance(6 * HOUR)
    exact = ask(store, START, START + HOUR, 3600, "p90")[0][1]
    store.sweep()
    assert count(store, "metric_points") == 0
    assert ask(store, START, START + HOUR, 3600, "p90")[0][1] == pytest.approx(exact, rel=0.001)


def test_a_thousand_different_values_are_kept_exactly(store):
    for number in range(1, 1001):
        put(store, START + number % 50, float(number))
    store.clock.advance(9 * HOUR)
    exact = [ask(store, START, START + HOUR, 3600, stat) for stat in ("p90", "tm95", "TC(10:20)")]
    for _ in range(2):
        store.sweep()
        store.clock.advance(DAY)
        assert [ask(store, START, START + HOUR, 3600, stat) for stat in ("p90", "tm95", "TC(10:20)")] == exact


@pytest.mark.parametrize("rows", [
    [(0, 1, 5, 5, 5), (60, 1, 6, 6, 6)], [(0, 2, 10, 5, 5), (120, 2, 12, 6, 6)], [(0, 2, 10, 4, 6), (60, 1, 6, 6, 6), (61, 1, 9, 9, 9)],
])  # fmt: skip
def test_a_pack_gives_back_what_it_got(rows):
    heap = Heap.of_rows(rows)
    body, extremes, blob = heap.packed(0.0, 60)
    again = Heap.of_pack(body, extremes, blob, 0.0, 60)
    assert again.packed(0.0, 60) == (body, extremes, blob)
    assert again.columns[:2].sum() == heap.columns[:2].sum() and set(again.at) == {at - at % 60 for at in heap.at}
    assert sorted(again.values.value) == sorted(set(heap.values.value)) and list(again.unknown) == list(heap.unknown)


def test_packs_of_single_values_are_small():
    body, extremes, blob = Heap.of_rows([(60.0 * n, 1, n, n, n) for n in range(1440)]).packed(0.0, 60)
    assert len(body) < 1440 * 8 + 20 and extremes == blob == b""


def test_packs_of_older_releases_are_read_and_grown(store):
    """Absolute starts and all columns in one blob, values as JSON, 60 days of hours in a pack."""
    put(store, START, 1.0)
    ((series,),) = store.db.read("SELECT id FROM metric_series")
    rows = np.array([[START, START + HOUR], [2.0, 1.0], [7.0, 5.0], [3.0, 5.0], [4.0, 5.0]])
    start = START - START % (3600 * 1440)
    old = (series, 3600, start, "None", np.float64(5).tobytes() + rows.tobytes(), b"[[%.1f,[[3.0,1.0],[4.0,1.0]]]]" % START)
    store.db.grouped(lambda tx: tx.execute("INSERT INTO metric_packs (series_id, size, start, unit, body, seen) VALUES (?,?,?,?,?,?)", old))
    for _ in range(2):
        store.clock.advance(9 * HOUR)
        assert ask(store, START, START + 2 * HOUR, 3600) == [(0, 8.0), (3600, 5.0)]
        assert ask(store, START, START + 2 * HOUR, 3600, "p50") == [(0, 3.0), (3600, 5.0)]
        store.sweep()


def test_seen_survives_values_of_all_sizes():
    values = np.concatenate([np.zeros(1), -np.logspace(-90, 90, 3000), np.logspace(-90, 90, 3000)])
    blob = seen.write(seen.Values(np.zeros(len(values)), values, None), 0.0, 60)
    again = seen.flat(seen.read(blob, 0.0, 60))
    assert np.allclose(np.sort(again.value), np.sort(values), rtol=0.001) and again.weight is None


def test_an_answer_sees_a_point_once_while_it_is_moved(store):
    """One statement brings packs and rows: what is packed in between is in one of them."""
    put(store, START, 1.0)
    store.clock.advance(6 * HOUR)
    seen_by, whole = [], store.db.read

    def read(sql, values=()):
        seen_by.append(sql)
        return whole(sql, values)

    store.db.read = read
    ask(store, START, START + HOUR, 3600)
    assert len([sql for sql in seen_by if "metric_packs" in sql or "metric_points" in sql]) == 1


@pytest.mark.parametrize(
    "stat", ["p0", "p50", "p99.5", "p100", "tm80", "tm(20%:70%)", "TM(3:7)", "wm90", "WM(2:)", "tc50", "ts50", "PR(2:5)", "iqm"]
)
@pytest.mark.parametrize("weighted", [1.0, 3.0, 0.5])
def test_statistics_of_many_series_are_those_of_their_values(store, stat, weighted):
    chance, wanted = random.Random(3), extended(stat)
    values = {}
    for name in "abc":
        for _ in range(60):
            at, value = START + chance.randint(0, 3 * HOUR - 1), float(chance.randint(-3, 9))
            store.put("1", "r", "N", [{"MetricName": name, "Values": [value], "Counts": [weighted], "Timestamp": at}])
            values.setdefault((name, (at - START) // HOUR), []).append((value, weighted))
    put(store, START + HOUR, 1.0, name="b", Value=None, StatisticValues={"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2})
    ids = store.find("1", "r", [("N", name, []) for name in "abc"])
    for _ in range(2):  # as rows, then as packs
        ((_, spread),) = store.spreads(ids, START, START + 3 * HOUR, HOUR, None, START)
        found = spread.statistic(wanted)
        for line, name in enumerate("abc"):
            for hour in range(3):
                told = None if (name, hour) == ("b", 1) else wanted.of(values[name, hour])
                assert np.isnan(found[line, hour]) if told is None else found[line, hour] == pytest.approx(told), (name, hour)
        store.clock.advance(8 * HOUR)
        store.sweep()


@pytest.mark.parametrize("end", [0, 7 * HOUR])
def test_days_are_made_of_what_their_hours_are_made_of(store, monkeypatch, end):
    chance, midnight = random.Random(5), START - START % DAY
    for hour in range(3 * 24):
        for _ in range(chance.choice([1, 4])):
            put(store, midnight + HOUR * hour, float(chance.randint(0, 50)), name="m")
        put(store, midnight + HOUR * hour, 1.0, name="sets")
    sets = {"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2}
    put(store, midnight + 30 * HOUR, 1.0, name="sets", Value=None, StatisticValues=sets)
    ids = store.find("1", "r", [("N", "m", []), ("N", "sets", [])])

    def by_the_day(stat):
        ((_, spread),) = store.spreads(ids, midnight, midnight + 2 * DAY + end, DAY, None, midnight)
        return spread.statistic(extended(stat)).tolist(), [part.counts.sum() for part in spread.parts]

    store.clock.advance(4 * DAY)
    store.sweep()
    put(store, midnight + HOUR, 70.0)
    store.clock.advance(HOUR)
    store.sweep()
    stats = ["p50", "p100", "tm50", "tc100"]
    days = [by_the_day(stat) for stat in stats]
    assert days[1][0][0][0] == 70.0 and np.isnan(days[0][0][1][1]) and not np.isnan(days[0][0][1][0])
    monkeypatch.setattr(seen, "days", lambda *_: None)
    hours = [by_the_day(stat) for stat in stats]
    assert [str(values) for values, _ in days] == [str(values) for values, _ in hours]
    assert days[0][1] != hours[0][1]
