"""DecodeAuthorizationMessage. Encoded messages come with refusals of EC2; until this platform issues one, none is valid."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.service import Call
from modelyard.services.sts import api


@api.operation
def decode_authorization_message(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    raise api.error.InvalidAuthorizationMessageException("The message is not an encoded authorization message of this platform.")
