"""What MetricDefinitions find in lines, and the plain text that spares most lines their expressions."""

from __future__ import annotations

import pytest

from modelyard.kernel.plaintext import said_always
from modelyard.services.sagemaker.training_job.metrics import Finder


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
