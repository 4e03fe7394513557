"""The credential report: a CSV of all users of an account, made once and good for four hours.

Source: IAM User Guide, "Generate credential reports for your AWS account" (columns and their words).
"""

from __future__ import annotations

import csv
import io
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import account, api, names
from modelyard.services.iam.context import iso
from modelyard.services.iam.mfa_device import devices_of

GOOD_FOR_S = 4 * 3600.0
COLUMNS = [
    "user",
    "arn",
    "user_creation_time",
    "password_enabled",
    "password_last_used",
    "password_last_changed",
    "password_next_rotation",
    "mfa_active",
    "access_key_1_active",
    "access_key_1_last_rotated",
    "access_key_1_last_used_date",
    "access_key_1_last_used_region",
    "access_key_1_last_used_service",
    "access_key_2_active",
    "access_key_2_last_rotated",
    "access_key_2_last_used_date",
    "access_key_2_last_used_region",
    "access_key_2_last_used_service",
    "cert_1_active",
    "cert_1_last_rotated",
    "cert_2_active",
    "cert_2_last_rotated",
]
NONE, UNKNOWN = "N/A", "not_supported"


def _moment(epoch: float | None) -> str:
    return NONE if epoch is None else iso(epoch).replace("Z", "+00:00")


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _root(call: Call, record: Record) -> list[str]:
    first = ["<root_account>", names.root_arn(call.account), _moment(record.created_at), UNKNOWN, NONE, UNKNOWN, UNKNOWN, "false"]
    keys = [_key(call, key) for key in _two(call, call.account, names.ACCESS_KEY.kind)]
    return [*first, *keys[0], *keys[1], "false", NONE, "false", NONE]


def _password(call: Call, user: Record) -> list[str]:
    login = user.spec.get("Login")
    if not login:
        return ["false", NONE, NONE, NONE]
    age = (account.password_policy(call) or {}).get("MaxPasswordAge")
    return ["true", "no_information", _moment(login["Changed"]), _moment(login["Changed"] + age * 86_400 if age else None)]


def _key(call: Call, record: Record | None) -> list[str]:
    if record is None:
        return ["false", NONE, NONE, NONE, NONE]
    use = call.platform.identity.last_used.last(record.name)
    told = [_moment(use.at), use.region, use.service] if use is not None else [NONE, NONE, NONE]
    return [_flag(record.spec["Status"] == "Active"), _moment(record.created_at), *told]


def _certificate(record: Record | None) -> list[str]:
    return ["false", NONE] if record is None else [_flag(record.spec["Status"] == "Active"), _moment(record.created_at)]


def _two(call: Call, owner: str, kind: str) -> list[Record | None]:
    found = sorted(call.store.children(owner, kind), key=lambda record: (record.created_at, record.name))
    return [*found, None, None][:2]


def _user(call: Call, user: Record) -> list[str]:
    row = [user.name, user.arn, _moment(user.created_at), *_password(call, user), _flag(bool(devices_of(call, user)))]
    for key in _two(call, user.uid, names.ACCESS_KEY.kind):
        row += _key(call, key)
    for certificate in _two(call, user.uid, names.SIGNING_CERTIFICATE.kind):
        row += _certificate(certificate)
    return row


def _written(call: Call) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerow(_root(call, account.of(call)))
    for user in call.store.list(names.USER.kind, call.account, names.GLOBAL, order_by="name"):
        writer.writerow(_user(call, user))
    return out.getvalue().rstrip("\n")


def _report(call: Call) -> Record | None:
    return call.store.get(names.CREDENTIAL_REPORT.kind, call.account, names.GLOBAL, "report")


@api.operation
def generate_credential_report(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """The report is made at once; the call that makes it answers STARTED, as AWS's does."""
    have = _report(call)
    if have is not None and call.now() - have.spec["At"] < GOOD_FOR_S:
        return {"State": "COMPLETE"}
    spec = {"At": call.now(), "Content": _written(call)}
    if have is not None:
        call.store.request(have, spec, due=False)
    else:
        arn = f"arn:aws:iam::{call.account}:report"
        try:
            call.store.create(names.CREDENTIAL_REPORT, account=call.account, region=names.GLOBAL, name="report", arn=arn, spec=spec)
        except Taken:  # another call was quicker
            return {"State": "COMPLETE"}
    return {"State": "STARTED", "Description": "No report exists. Starting a new report generation task"}


@api.operation
def get_credential_report(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    have = _report(call)
    if have is None:
        raise api.error.CredentialReportNotPresentException("No report present. Use GenerateCredentialReport to make one.")
    if call.now() - have.spec["At"] >= GOOD_FOR_S:
        raise api.error.CredentialReportExpiredException("The report has expired. Use GenerateCredentialReport to make a new one.")
    return {"Content": have.spec["Content"].encode(), "ReportFormat": "text/csv", "GeneratedTime": have.spec["At"]}
