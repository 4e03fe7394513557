"""Seeing targets and policies out: alarms first, records last, so that whoever comes after a crash finds what is left to do."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.applicationautoscaling.acting import acting


def remove_target(world: Any, target: Record) -> None:
    """A target that is marked for deletion, with its policies and scheduled actions."""
    for child in world.store.children(target.uid):
        if "alarms" in child.spec:
            remove_policy(world, child)
        else:
            _delete(world, child)
    _delete(world, target)


def remove_policy(world: Any, policy: Record) -> None:
    names = list(policy.spec["alarms"].values())
    if names:
        delete_alarms(world, policy.account, policy.region, names)
    _delete(world, policy)


def delete_alarms(world: Any, account: str, region: str, names: list[str]) -> None:
    """Those that are there; somebody may have deleted them before."""
    hands = acting(world, account, region)
    there = hands.invoke("cloudwatch", "DescribeAlarms", {"AlarmNames": names, "AlarmTypes": ["MetricAlarm"]}).get("MetricAlarms", [])
    if not there:
        return
    try:
        hands.invoke("cloudwatch", "DeleteAlarms", {"AlarmNames": [alarm["AlarmName"] for alarm in there]})
    except ApiError as problem:
        if problem.status != 404:
            raise


def _delete(world: Any, record: Record) -> None:
    """Whatever somebody wished of it meanwhile."""
    while (now := world.store.by_uid(record.uid)) is not None:
        try:
            world.store.delete(now)
        except Moved:
            continue
