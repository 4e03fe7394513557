"""DeleteParameter, DeleteParameters. The versions of what is gone are forgotten by a reader (policies.py)."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.ssm import api
from modelyard.services.ssm.names import split_name
from modelyard.services.ssm.parameter import find, not_found, the_parameter, told_event


@api.operation
def delete_parameter(call, request):
    _delete(call, the_parameter(call, request["Name"]))
    return {}


@api.operation
def delete_parameters(call, request):
    deleted, invalid = [], []
    for given in dict.fromkeys(request["Names"]):
        names, selector = split_name(call, given)
        record = None if selector else find(call, names)
        if record is None:
            invalid.append(given)
        else:
            _delete(call, record)
            deleted.append(given)
    return {"DeletedParameters": deleted, "InvalidParameters": invalid}


def _delete(call: Any, record: Record) -> None:
    while True:
        try:
            call.store.delete(record, told_event(record, "Delete", call.now()))
            return
        except Moved:
            found = call.store.by_uid(record.uid)
            if found is None:
                raise not_found(record.name) from None
            record = found
