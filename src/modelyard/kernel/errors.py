"""Errors that reach a client.

`ApiError` is what operations raise; the gateway alone turns it into bytes of the protocol at hand.
Any other exception is a bug: the client sees InternalFailure (500) and a request id, the log the trace.

Modelled errors come from the service's own `api.error.<Name>` (see `service.py`), which looks code and
HTTP status up in botocore's model. The common ones that every AWS service may answer are here.
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An AWS error: code, message, HTTP status, and further modelled members of the error shape."""

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 400,
        *,
        fields: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields or {}
        self.headers = headers or {}
        self.denial: dict[str, Any] | None = None
        """Of a call that policies denied: the decision, policy by policy, for the audit trail."""

    @property
    def sender_fault(self) -> bool:
        return self.status < 500


def validation(message: str) -> ApiError:
    """`ValidationException`, as the JSON services answer a request that has the wrong meaning."""
    return ApiError("ValidationException", message, 400)


def access_denied(message: str) -> ApiError:
    """The message says who may not do what, on which resource, and why (see the evaluation engine)."""
    return ApiError("AccessDeniedException", message, 400)


def not_built(service: str, operation: str) -> ApiError:
    """An operation that AWS has and this platform has not built yet.

    HTTP 501: the one server error that AWS's clients do not retry (botocore repeats 500, 502, 503 and 504).
    """
    return ApiError(
        "NotImplemented",
        f"Modelyard has not built {service}:{operation} yet; nothing was done. docs/reference/coverage.md lists what is there.",
        501,
    )


def disk_full() -> ApiError:
    """No AWS service runs out of disk, so none has a code for it. 507: clients do not retry it, as they do a 500 or 503."""
    return ApiError("InsufficientStorage", "The platform's disk is full: nothing was stored. Make room and try again.", 507)


def internal() -> ApiError:
    return ApiError("InternalFailure", "The request failed because of an internal error; the log has the trace.", 500)
