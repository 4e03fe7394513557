"""The record of a parameter: its newest version whole, its labels; older versions lie in `platform.parameters`.

A version is {Version, Type, Value, KeyId, Description, AllowedPattern, Tier, Policies, DataType, At, User}. The value of a SecureString
is the ciphertext of KMS, in base64: the plain text is in memory only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.ids import new_uuid
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Store
from modelyard.services.ssm import api
from modelyard.services.ssm.names import split_name
from modelyard.services.ssm.public import public_parameter
from modelyard.services.ssm.secure import opened

PARAMETER = Lifecycle("ssm-parameter", "Active")
SECURE, DEFAULT_KEY = "SecureString", "alias/aws/ssm"


def find(call: Any, names: list[str]) -> Record | None:
    return next((found for name in names if (found := call.store.get(PARAMETER.kind, call.account, call.region, name))), None)


def the_parameter(call: Any, given: str) -> Record:
    """The parameter of a name or ARN without selector. Raises ParameterNotFound."""
    names, selector = split_name(call, given)
    record = None if selector else find(call, names)
    if record is None:
        raise not_found(given)
    return record


def not_found(name: str) -> ApiError:
    return api.error.ParameterNotFound(f"Parameter {name} not found.")


def newest(record: Record) -> dict[str, Any]:
    return record.spec["Current"]


def version_of(call: Any, record: Record, number: int) -> dict[str, Any] | None:
    return newest(record) if number == newest(record)["Version"] else call.platform.parameters.get(record.uid, number)


def versions(call: Any, record: Record) -> list[dict[str, Any]]:
    """Oldest first; a crash may have left the newest one among the older ones too."""
    last = newest(record)["Version"]
    return [one for one in call.platform.parameters.list(record.uid) if one["Version"] < last] + [newest(record)]


def labels_of(record: Record, number: int) -> list[str]:
    return sorted(label for label, version in record.spec.get("Labels", {}).items() if version == number)


def selected(call: Any, given: str) -> tuple[str, str, dict[str, Any], str] | None:
    """(name as it was asked for, ARN, version, selector) of what GetParameter means; None: there is no such parameter. Raises
    ParameterVersionNotFound."""
    names, selector = split_name(call, given)
    public = next((found for name in names if (found := public_parameter(name, call.region))), None)
    if public is not None:
        name, version = public
        if selector not in ("", ":1"):
            raise _no_version(selector, given)
        return name, f"arn:aws:ssm:{call.region}::parameter/{name.removeprefix('/')}", version, selector
    record = find(call, names)
    if record is None:
        return None
    wanted = selector[1:]
    if not wanted:
        return names[0] if _by_name(given) else record.name, record.arn, newest(record), ""
    number = int(wanted) if wanted.isdigit() and len(wanted) < 18 else record.spec.get("Labels", {}).get(wanted)
    version = version_of(call, record, number) if number is not None else None
    if version is None:
        raise _no_version(selector, record.name)
    return names[0] if _by_name(given) else record.name, record.arn, version, selector


def _by_name(given: str) -> bool:
    """Not by ARN: `name` and `/name` are one parameter, and each is answered as it was asked for."""
    return not given.startswith("arn:")


def _no_version(selector: str, name: str) -> ApiError:
    what = f"version {selector[1:]}" if selector[1:].isdigit() else f"label {selector[1:]}"
    return api.error.ParameterVersionNotFound(
        f"Systems Manager could not find {what} of {name.partition(':')[0]}. Verify the version and try again."
    )


def value_of(call: Any, arn: str, version: Mapping[str, Any], decrypt: bool) -> str:
    """Raises AccessDenied without kms:Decrypt on the key, or InvalidKeyId where the key cannot be used."""
    if version["Type"] != SECURE or not decrypt:
        return version["Value"]
    return opened(call, arn, version["Value"])


def by_prefix(store: Store, account: str, region: str, prefix: str, after: str = "") -> Iterator[Record]:
    """Parameters whose names begin so, in the order of names, from after `after`; read in pages."""
    place = max(prefix, after)
    if not after and prefix and (exact := store.get(PARAMETER.kind, account, region, prefix)) is not None:
        yield exact
    while True:
        found = store.list(PARAMETER.kind, account, region, order_by="name", limit=100, after=("", place))
        for record in found:
            if not record.name.startswith(prefix):
                return
            yield record
        if len(found) < 100:
            return
        place = found[-1].name


def change(call: Any, record: Record, changes: Callable[[Record], Mapping[str, Any]], operation: str, *, due: bool = False) -> Record:
    """Merges `changes(the record as it is now)` into its spec, with the event of `operation`. A parameter that is gone is not found."""
    while True:
        try:
            spec = changes(record)
            return call.store.request(record, spec, due=due, detail=told_event(record, operation, call.now()))
        except Moved:
            found = call.store.by_uid(record.uid)
            if found is None:
                raise not_found(record.name) from None
            record = found


def told_event(record: Record | None, operation: str, now: float, **of_new: Any) -> dict[str, Any]:
    """{"aws": …}: the event as EventBridge hears it, committed with the change that it tells of."""
    name, arn = (record.name, record.arn) if record is not None else (of_new["name"], of_new["arn"])
    current = newest(record) if record is not None else of_new["version"]
    told = {"operation": operation, "name": name, "type": current["Type"]}
    if current.get("Description"):
        told["description"] = current["Description"]
    return {"aws": envelope("Parameter Store Change", arn, told, now)}


def envelope(kind: str, arn: str, detail: Mapping[str, Any], now: float) -> dict[str, Any]:
    pieces = arn.split(":")
    time = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"version": "0", "id": new_uuid(), "detail-type": kind, "source": "aws.ssm", "account": pieces[4], "time": time,
            "region": pieces[3], "resources": [arn], "detail": dict(detail)}  # fmt: skip
