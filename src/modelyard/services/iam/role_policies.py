"""Policies of roles: inline ones and attached managed ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api, entity_policies
from modelyard.services.iam.role import find_role, refuse_service_linked


def _reader(call: Call, request: dict[str, Any]) -> Callable[[], Record]:
    return lambda: find_role(call, request["RoleName"])


def _writer(call: Call, request: dict[str, Any]) -> Callable[[], Record]:
    """The roles of services keep the policies that the service gave them."""

    def read() -> Record:
        record = find_role(call, request["RoleName"])
        refuse_service_linked(record)
        return record

    return read


@api.operation
def put_role_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return entity_policies.put_inline(call, _writer(call, request), "role", request)


@api.operation
def get_role_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return {"RoleName": request["RoleName"], **entity_policies.get_inline(_reader(call, request), "role", request)}


@api.operation
def delete_role_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return entity_policies.delete_inline(call, _writer(call, request), "role", request)


@api.operation
def list_role_policies(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return entity_policies.list_inline(_reader(call, request), request)


@api.operation
def attach_role_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return entity_policies.attach(call, _writer(call, request), "role", request)


@api.operation
def detach_role_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return entity_policies.detach(call, _writer(call, request), request)


@api.operation
def list_attached_role_policies(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return entity_policies.list_attached(_reader(call, request), request)
