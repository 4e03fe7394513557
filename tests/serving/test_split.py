"""The weighted choice."""

from __future__ import annotations

import math
import random

import pytest

from modelyard.serving.routes import Replica, RouteTable, Variant, as_body, from_body
from modelyard.serving.split import choose, named


def table(*weights: float) -> RouteTable:
    variants = tuple(Variant(f"v{n}", w, (Replica(f"r{n}", f"/s{n}"),)) for n, w in enumerate(weights))
    return RouteTable("arn", "1", "r", "e", 1, variants)


@pytest.mark.parametrize("weights", [(0.9, 0.1), (9, 1), (1, 1, 1), (5, 0, 1)])
def test_calls_follow_the_weights_within_three_sigma(weights):
    rng, calls = random.Random(7), 10_000
    counts = dict.fromkeys((f"v{n}" for n in range(len(weights))), 0)
    for _ in range(calls):
        counts[choose(table(*weights), rng.random()).name] += 1
    for n, weight in enumerate(weights):
        share = weight / sum(weights)
        assert abs(counts[f"v{n}"] - calls * share) <= 3 * math.sqrt(calls * share * (1 - share))


@pytest.mark.parametrize("key, name", [(0.0, "v0"), (0.8999, "v0"), (0.9001, "v1"), (0.999999999999999, "v1")])
def test_weights_lie_end_to_end(key, name):
    assert choose(table(0.9, 0.1), key).name == name


def test_weight_zero_gets_nothing_but_can_be_named():
    assert all(choose(table(0, 1), k / 100).name == "v1" for k in range(100))
    assert choose(table(0, 0), 0.5) is None
    assert choose(table(0), 0.5) is None
    assert named(table(0, 1), "v0").name == "v0" and named(table(1), "x") is None


def test_table_survives_json():
    assert from_body(as_body(table(1, 2))) == table(1, 2)
