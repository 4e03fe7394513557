"""How a built-in algorithm ends when the user can do something about it."""

from __future__ import annotations

CUSTOMER_ERROR = 2
"""AWS's exit code for what the user has to change; the platform then says ClientError instead of AlgorithmError."""


class ClientError(Exception):
    """`message (caused by kind)`, then the cause's own words, as AWS's algorithms write it into FailureReason."""

    def __init__(self, message: str, kind: str | None = None, cause: str | None = None):
        text = message + (f" (caused by {kind})" if kind else "")
        super().__init__(text + (f"\n\nCaused by: {cause}" if cause else ""))
