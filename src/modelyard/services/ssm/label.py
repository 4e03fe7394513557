"""Labels of versions: names that move from version to version."""

from __future__ import annotations

import re
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.ssm import api
from modelyard.services.ssm.parameter import change, newest, the_parameter, version_of

MOST = 10
_LABEL = re.compile(r"(?![0-9])(?!aws|ssm)[A-Za-z0-9_.\-]{1,100}\Z", re.IGNORECASE)


@api.operation
def label_parameter_version(call, request):
    record = the_parameter(call, request["Name"])
    number = _version(call, record, request.get("ParameterVersion"))
    good = [label for label in dict.fromkeys(request["Labels"]) if _LABEL.match(label)]

    def labelled(now: Record) -> dict[str, Any]:
        labels = {**now.spec.get("Labels", {}), **dict.fromkeys(good, number)}
        if sum(version == number for version in labels.values()) > MOST:
            raise api.error.ParameterVersionLabelLimitExceeded(
                f"A parameter version can have a maximum of {MOST} labels. Move one or more labels to another version and try again."
            )
        return {"Labels": labels}

    if good:
        change(call, record, labelled, "LabelParameterVersion")
    return {"InvalidLabels": [label for label in request["Labels"] if label not in good], "ParameterVersion": number}


@api.operation
def unlabel_parameter_version(call, request):
    record = the_parameter(call, request["Name"])
    number = _version(call, record, request["ParameterVersion"])
    removed: list[str] = []

    def unlabelled(now: Record) -> dict[str, Any]:
        labels = now.spec.get("Labels", {})
        removed[:] = [label for label in request["Labels"] if labels.get(label) == number]
        return {"Labels": {label: version for label, version in labels.items() if label not in removed}}

    change(call, record, unlabelled, "UnlabelParameterVersion")
    return {"RemovedLabels": removed, "InvalidLabels": [label for label in request["Labels"] if label not in removed]}


def _version(call: Any, record: Record, number: int | None) -> int:
    if number is None:
        return newest(record)["Version"]
    if version_of(call, record, number) is None:
        raise api.error.ParameterVersionNotFound(
            f"Systems Manager could not find version {number} of {record.name}. Verify the version and try again."
        )
    return number
