"""Policies of users: inline ones and attached managed ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api, entity_policies
from modelyard.services.iam.user import find_user


def _reader(call: Call, request: dict[str, Any]) -> Callable[[], Record]:
    return lambda: find_user(call, request["UserName"])


@api.operation
def put_user_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return entity_policies.put_inline(call, _reader(call, request), "user", request)


@api.operation
def get_user_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return {"UserName": request["UserName"], **entity_policies.get_inline(_reader(call, request), "user", request)}


@api.operation
def delete_user_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return entity_policies.delete_inline(call, _reader(call, request), "user", request)


@api.operation
def list_user_policies(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return entity_policies.list_inline(_reader(call, request), request)


@api.operation
def attach_user_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return entity_policies.attach(call, _reader(call, request), "user", request)


@api.operation
def detach_user_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return entity_policies.detach(call, _reader(call, request), request)


@api.operation
def list_attached_user_policies(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return entity_policies.list_attached(_reader(call, request), request)
