"""Metric math: the expression language of GetMetricData and of alarms ("Using math expressions with CloudWatch metrics").

`parse(text)` makes a tree, `evaluate(tree, context)` a value. Pure: what a query or a SEARCH brings is given by the context.
"""

from modelyard.services.cloudwatch.expressions.parse import ExpressionError, parse
from modelyard.services.cloudwatch.expressions.values import Context, Series

__all__ = ["Context", "ExpressionError", "Series", "parse"]
