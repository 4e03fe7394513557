"""The three kinds of errors that AWS's algorithms end with.

Tracebacks and failure texts show the names AWS's algorithm toolkit has, because job logs and FailureReason
are searched for them.
"""

from __future__ import annotations


class ToolkitError(Exception):
    """`message`, or the cause's own text, followed by `(caused by <type>)` when there is a cause."""

    def __init__(self, message: str | None = None, caused_by: BaseException | None = None):
        text = message or (str(caused_by) if caused_by else "unknown error occurred")
        if caused_by:
            text += f" (caused by {type(caused_by).__name__})"
        super().__init__(text)
        self.message = text


class UserError(ToolkitError):
    """A failure the user can prevent: wrong hyperparameters, wrong data."""


class AlgorithmError(ToolkitError):
    """An unexpected failure of the algorithm."""


class PlatformError(ToolkitError):
    """The environment is not as the contract says."""


for _kind in (UserError, AlgorithmError, PlatformError):
    _kind.__module__ = "sagemaker_algorithm_toolkit.exceptions"


def without_stack(error: BaseException) -> str:
    """An error's text without the C++ stack that XGBoost adds to it."""
    return str(error).partition("\nStack trace:")[0].strip()
