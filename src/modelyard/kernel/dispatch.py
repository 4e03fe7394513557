"""From a named operation to its function: the part of a call that does not know the wire."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from modelyard.kernel.errors import ApiError, not_built
from modelyard.kernel.ids import new_uuid
from modelyard.kernel.platform import Platform
from modelyard.kernel.service import Call, Operation


class Dispatch:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def find(self, service: str, operation: str) -> Operation:
        found = self._platform.services.get(service)
        if found is None or operation not in found.operations:
            raise not_built(service, operation)
        return found.operations[operation]

    def call(self, caller: Call, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """In process, on this thread, in the name of the caller's principal, authorised like any other."""
        found = self.find(service, operation)
        call = replace(
            caller, service=service, operation=operation, held=None, auth=None, further=None, weighed=None, ruled=None,
            invoked_by=caller.service, request_id=new_uuid(),
        )  # fmt: skip
        trail = self._platform.parts.get("trail")
        try:
            self._platform.identity.authorize(call, request)
            said = (asyncio.run(found.function(call, request)) if found.is_async else found.function(call, request)) or {}
        except ApiError as error:
            if trail is not None:
                trail.note(call, request, None, error)
            raise
        if trail is not None:
            trail.note(call, request, said, None)
        return said
