"""What MetricDefinitions find in lines, and the plain text that spares most lines their expressions."""

from __future__ import annotations

import pytest

from modelyard.kernel.clock import SystemClock
from modelyard.kernel.plaintext import said_always
from modelyard.services.logs.follow import LogFollower
from modelyard.services.sagemaker.training_job.metrics import Finder, last_metrics


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        (r"loss[:=] ?([0-9\.]+)", "loss"),
        (r".*\[[0-9]+\].*#011train-auc:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*", "#011train-auc:"),
        (r"\btest_loss\b=(\d+)", "test_loss"),
        (r"x(?P<n>yyy+)z\.\[", "z.["),
        (r"ab+c?d*e", "a"),
        (r"colou?r (.)", "colo"),
        (r"(loss) (.)", " "),
        (r"a|loss", ""),
        (r"(?i)loss", ""),
        (r"\x41loss (.)", ""),
        (r"loss{0}", "los"),
        (r"[]x]a", "a"),
    ],
)
def test_the_text_that_every_match_has(expression, part):
    assert said_always(expression) == part


def test_a_line_is_matched_as_its_expression_alone_would():
    lines = ["LOSS: 1", "loss: 2 acc 3", "los: 4", "x=5", "A loss=6"]
    expressions = {"loss": r"loss[:=] ?(\d)", "any": r"(?i)loss[:=] ?(\d)", "either": r"x=(\d)|acc (\d)", "bad": "(", "none": r"loss"}
    finder = Finder({"Name": name, "Regex": expression} for name, expression in expressions.items())
    found = [(name, value) for line in lines for name, value, _ in finder.find(0.0, line)]
    assert found == [("any", 1.0), ("loss", 2.0), ("any", 2.0), ("either", 5.0), ("loss", 6.0), ("any", 6.0)]


def test_the_last_values_are_found_from_the_end(tmp_path):
    path, clock = tmp_path / "log", SystemClock()
    lines = [f"{1000 + n} loss={n} {'acc=1' if n == 3 else ''} {'x' * (n % 700)}" for n in range(5000)] + [
        "",
        "6001 loss=nan",
        "6002 no end",
    ]
    path.write_text("\n".join(lines))
    follower = LogFollower(None, clock)
    forward = list(follower.lines(path))
    assert list(follower.newest_lines(path)) == [line for line in forward if line[1]][::-1]
    definitions = [{"Name": name, "Regex": rf"{name}=(\S+)"} for name in ("loss", "acc", "never")] + [{"Name": "no group", "Regex": "loss"}]
    seen = []
    answer = last_metrics(definitions, (seen.append(line) or line for line in follower.newest_lines(path)))
    assert {one["MetricName"]: one["Value"] for one in answer} == {"loss": 4999.0, "acc": 1.0}
    seen.clear()
    last_metrics(definitions[:1], (seen.append(line) or line for line in follower.newest_lines(path)))
    assert len(seen) == 3
