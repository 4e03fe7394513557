"""Tree → value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelyard.services.cloudwatch.expressions.functions import FUNCTIONS, NOT_BUILT
from modelyard.services.cloudwatch.expressions.parse import Array, Binary, ExpressionError, Function, Name, Number, Text, Unary, functions
from modelyard.services.cloudwatch.expressions.values import Context, Series, combine

_WORDS = {"REPEAT", "LINEAR", "ASC", "DESC", "AVG", "MIN", "MAX", "SUM", "LAST"}


def evaluate(tree: Any, context: Context) -> Any:
    """A number, a Series, or a list of Series; raises ExpressionError."""
    if isinstance(tree, (Number, Text)):
        return tree.value
    if isinstance(tree, Name):
        return tree.value.upper() if tree.value.upper() in _WORDS and tree.value not in context.series else context.find(tree.value)
    if isinstance(tree, Unary):
        return combine("*", evaluate(tree.operand, context), -1.0)
    if isinstance(tree, Binary):
        return combine(tree.sign, evaluate(tree.left, context), evaluate(tree.right, context))
    if isinstance(tree, Array):
        return _flat([evaluate(item, context) for item in tree.items])
    check_functions(tree)
    return FUNCTIONS[tree.name](context, *(evaluate(argument, context) for argument in tree.arguments))


def check_functions(tree: Any) -> None:
    """Raises for functions that are not there, by name."""
    for name in functions(tree):
        if name in NOT_BUILT:
            raise ExpressionError(f"Modelyard has not built the function {name} yet")
        if name not in FUNCTIONS:
            raise ExpressionError(f"Unsupported function {name}")


def result(tree: Any, context: Context, label: str) -> list[Series]:
    """What an expression as a whole gives: its time series, one or several (with labels of their own). A number alone is none."""
    value = evaluate(tree, context)
    if isinstance(value, Series):
        return [replace(value, label=label)]
    if isinstance(value, list):
        return value
    raise ExpressionError("The result of the expression is not a time series")


def _flat(values: list[Any]) -> list[Series]:
    found: list[Series] = []
    for value in values:
        if isinstance(value, list):
            found += value
        elif isinstance(value, Series):
            found.append(value)
        else:
            raise ExpressionError("An array takes time series only")
    return found


__all__ = ["Function", "check_functions", "evaluate", "result"]
