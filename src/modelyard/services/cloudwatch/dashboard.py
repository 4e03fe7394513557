"""Dashboards: stored as they come, known in every region of the account."""

from __future__ import annotations

import re
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.lifecycle import static
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.cloudwatch import api
from modelyard.services.cloudwatch.dashboard_body import check

DASHBOARD = static("dashboard")
EVERYWHERE, PAGE, LONGEST_NAME, LONGEST_BODY = "global", 1_000, 255, 1_000_000
_NAME = re.compile(r"[A-Za-z0-9_-]+")


@api.operation
def put_dashboard(call, request):
    name, body = request["DashboardName"], request["DashboardBody"]
    _check_name(name)
    warnings = _check_body(body)
    tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
    spec = {"body": body, "modified": call.now()}
    while True:
        record = _find(call, name)
        try:
            if record is None:
                call.store.create(
                    DASHBOARD, account=call.account, region=EVERYWHERE, name=name, arn=_arn(call, name), spec=spec, tags=tags
                )  # fmt: skip
            else:
                # Tags count at the creation only: of a dashboard that is there they stay as they are.
                call.store.request(record, spec, due=False)
            break
        except (Moved, Taken):
            continue
    return {"DashboardValidationMessages": warnings}


@api.operation
def get_dashboard(call, request):
    record = _find(call, request["DashboardName"])
    if record is None:
        raise api.error.DashboardNotFoundError(f"Dashboard {request['DashboardName']} does not exist")
    return {"DashboardArn": record.arn, "DashboardBody": record.spec["body"], "DashboardName": record.name}


@api.operation
def list_dashboards(call, request):
    prefix = request.get("DashboardNamePrefix", "")
    after = decode_token(request.get("NextToken"), api.error.InvalidParameterValueException, "") or ""
    records = call.store.list(DASHBOARD.kind, call.account, EVERYWHERE, contains=prefix or None)
    found = sorted((one for one in records if one.name.startswith(prefix) and one.name > after), key=lambda one: one.name)
    entries = [
        {
            "DashboardName": one.name,
            "DashboardArn": one.arn,
            "LastModified": one.spec["modified"],
            "Size": len(one.spec["body"].encode()),
        }
        for one in found[:PAGE]
    ]
    return {"DashboardEntries": entries} | ({"NextToken": encode_token(found[PAGE - 1].name)} if len(found) > PAGE else {})


@api.operation
def delete_dashboards(call, request):
    """All of them or none."""
    if not request["DashboardNames"]:
        raise api.error.InvalidParameterValueException("The collection DashboardNames must have at least one member.")
    records = {name: _find(call, name) for name in request["DashboardNames"]}
    missing = [name for name, record in records.items() if record is None]
    if missing:
        text = f"The following dashboards do not exist: [{', '.join(missing)}]. No dashboards were deleted."
        raise api.error.DashboardNotFoundError(text)
    for name, record in records.items():
        while record is not None:
            try:
                call.store.delete(record)
                break
            except Moved:
                record = _find(call, name)
    return {}


def _find(call: Any, name: str) -> Record | None:
    return call.store.get(DASHBOARD.kind, call.account, EVERYWHERE, name)


def _arn(call: Any, name: str) -> str:
    return f"arn:aws:cloudwatch::{call.account}:dashboard/{name}"


def _check_name(name: str) -> None:
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        wrong = f"is longer than {LONGEST_NAME} characters" if _NAME.fullmatch(name) else "contains invalid characters"
        raise api.error.InvalidParameterValueException(
            f"The value for field DashboardName {wrong}. It can only contain alphanumerics, dash (-) and underscore (_).\n"
        )


def _check_body(body: str) -> list[dict[str, str]]:
    if len(body.encode()) > LONGEST_BODY:
        raise api.error.DashboardInvalidInputError(f"The field DashboardBody must not be longer than {LONGEST_BODY} bytes.")
    try:
        findings = check(body)
    except ValueError:
        raise api.error.DashboardInvalidInputError("The field DashboardBody must be a valid JSON object") from None
    fatal = [{"dataPath": one.path, "message": one.message} for one in findings if one.fatal]
    if fatal:
        text = f"The dashboard body is invalid, there are {len(fatal)} validation errors:\n{orjson.dumps(fatal, option=orjson.OPT_INDENT_2).decode()}"
        told = [{"DataPath": one["dataPath"], "Message": one["message"]} for one in fatal]
        raise _invalid(text, told)
    return [{"DataPath": one.path, "Message": one.message} for one in findings]


def _invalid(text: str, findings: list[dict[str, str]]) -> ApiError:
    return api.error.DashboardInvalidInputError(text, dashboardValidationMessages=findings)
