"""Packs of old points: the same answers as before, AWS's retention, nothing counted twice or lost."""

from __future__ import annotations

import random

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.services.cloudwatch.metric_store import MetricStore
from modelyard.services.cloudwatch.packs import make_pack, open_pack
from modelyard.services.cloudwatch.rollup import thinned

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


def test_many_values_of_a_period_are_thinned_to_one_per_cent(store):
    for number in range(1, 2001):
        put(store, START, float(number))
    store.clock.advance(6 * HOUR)
    exact = ask(store, START, START + HOUR, 3600, "p90")[0][1]
    store.sweep()
    assert ask(store, START, START + HOUR, 3600, "p90")[0][1] == pytest.approx(exact, rel=0.01)
    assert len(thinned([(float(n), 1.0) for n in range(1, 2001)])) < 700


def test_packs_of_single_values_are_small(store):
    import numpy as np

    columns = np.array([[0.0, 60.0], [1.0, 1.0], [5.0, 6.0], [5.0, 6.0], [5.0, 6.0]])
    assert len(make_pack(columns)) == 8 + 2 * 2 * 8 and np.array_equal(open_pack(make_pack(columns)), columns)
    columns[1] = 2.0
    assert np.array_equal(open_pack(make_pack(columns)), columns)
