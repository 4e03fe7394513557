"""The pure parts of a search: scales, draws, the Gaussian process, pruning, completion."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys

import pytest

from modelyard.optimiser.space import space_of
from modelyard.services.sagemaker.tuning_job import completion, pruning
from modelyard.services.sagemaker.tuning_job.search import Known, suggest
from modelyard.services.sagemaker.tuning_job.trials import Trial
from tests.support.tuning import categories, numbers


def one(kind="Continuous", low="0", high="1", scale="Auto"):
    return space_of({f"{kind}ParameterRanges": [{"Name": "x", "MinValue": low, "MaxValue": high, "ScalingType": scale}]})


def draws(space, count=400):
    return [suggest("Random", space, "seed", n, Known())["x"] for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("low", "high", "scale", "median"),
    [
        ("0", "10", "Linear", 5.0),
        ("0.0001", "1", "Logarithmic", 0.01),
        ("0.0001", "1", "Auto", 0.01),
        ("0.1", "1", "Auto", 0.55),
        ("0", "0.9999", "ReverseLogarithmic", 0.99),
        ("-5", "5", "Auto", 0.0),
    ],
)
def test_half_of_the_draws_lie_on_each_side_of_the_scales_middle(low, high, scale, median):
    found = [float(text) for text in draws(one(low=low, high=high, scale=scale))]
    assert all(float(low) <= value <= float(high) for value in found)
    assert 0.4 < sum(value < median for value in found) / len(found) < 0.6


@pytest.mark.parametrize(
    ("low", "high", "scale"), [("1", "4", "Linear"), ("1", "4000", "Logarithmic"), ("7", "7", "Auto"), ("-2", "1", "Auto")]
)
def test_integers_are_integers_and_reach_both_ends(low, high, scale):
    space = one("Integer", low, high, scale)
    assert {space.values([0.0])["x"], space.values([1.0])["x"]} == {low, high}
    for text in draws(space, 100):
        assert int(low) <= int(text) <= int(high)
        assert space.values(space.point({"x": text})) == {"x": text}


def test_few_integers_are_equally_likely():
    found = draws(one("Integer", "1", "4", "Linear"), 2000)
    assert all(420 < found.count(text) < 580 for text in "1234")


def test_values_outside_a_range_have_no_point():
    assert one().point({"x": "2"}) is None and one().point({"x": "red"}) is None and one().point({}) is None
    assert space_of(categories(c=["a", "b"])).point({"c": "z"}) is None


def test_a_small_space_is_tried_whole_before_anything_twice():
    space, tried = space_of(categories(a=["1", "2", "3"], b=["u", "v"])), []
    for strategy in ("Random", "Bayesian"):
        tried = []
        for n in range(1, 7):
            tried.append(suggest(strategy, space, "s", n, Known([({**values, "epochs": "3"}, float(values["a"])) for values in tried])))
        assert len({str(values) for values in tried}) == 6


def branin(values):
    a, b = 15 * float(values["x"]) - 5, 15 * float(values["y"])
    return (b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


def best_of(strategy, seed, parallel, trials=18):
    space, observed, running = space_of(numbers(x=(0, 1), y=(0, 1))), [], []
    while len(observed) < trials:
        while len(running) < parallel:
            running.append(suggest(strategy, space, f"{seed}", len(observed) + len(running) + 1, Known(observed, running)))
        values = running.pop(0)
        observed.append((values, branin(values)))
    return min(value for _, value in observed)


@pytest.mark.parametrize("parallel", [1, 3])
def test_bayesian_finds_what_random_does_not(parallel):
    found = {s: statistics.median(best_of(s, seed, parallel) for seed in range(4)) for s in ("Bayesian", "Random")}
    assert found["Bayesian"] < 0.8 < found["Random"]  # the minimum is 0.398


def test_running_trials_are_not_suggested_again():
    observed = [({"x": str(x), "y": "0.5"}, (x - 0.5) ** 2) for x in (0.0, 0.25, 0.75, 1.0)]
    space, running = space_of(numbers(x=(0, 1), y=(0, 1))), []
    for n in range(5, 9):
        running.append(suggest("Bayesian", space, "s", n, Known(observed, running)))
    points = [(float(values["x"]), float(values["y"])) for values in running]
    assert min(math.dist(a, b) for i, a in enumerate(points) for b in points[:i]) > 0.02


def test_numpy_is_not_loaded_before_a_model_is_asked():
    """Gateways and the start of an engine stay light: no numpy, and no Pillow before the first picture."""
    code = "import sys; from modelyard import app; app.load_services(); sys.exit(len({'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def trial(number, value=None, status="Completed", curve=(), **more):
    return Trial(number, f"t{number}", "", f"u{number}", status, "", {}, {}, "loss", False, 0.0, value, curve, ended=float(number), **more)


def test_the_median_rule_waits_for_three():
    ended = [trial(n, curve=[1.0, 1.0]) for n in (1, 2)]
    late = trial(9, status="InProgress", curve=[5.0])
    assert pruning.worse_than_median([*ended, late]) == []
    assert pruning.worse_than_median([*ended, trial(3, curve=[1.0]), late]) == [late]


def test_rungs_and_resources():
    assert pruning.rungs_between(1, 27) == [1, 3, 9] and pruning.rungs_between(2, 10) == [2, 6]
    assert pruning.resources({}, {"epochs": '"30"'}) == (1, 30) and pruning.resources({}, {"rate": "3"}) is None


def test_an_improvement_is_one_percent():
    assert completion.not_improving([trial(n, value) for n, value in enumerate((-10.0, -10.05, -10.2, -10.21))]) == 1


def test_all_of_fewer_than_five_failing_is_a_failure():
    failed = [trial(n, status="Failed", reason="x") for n in (1, 2)]
    assert completion.failure(failed, all_done=False) is None
    assert "after 2 attempts" in completion.failure(failed, all_done=True)
