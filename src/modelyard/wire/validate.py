"""Requests against the constraints of the model, in AWS's words.

    2 validation errors detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null; Value 'x' at …

Paths are printed as AWS prints them: members with their first letter in lower case, list items as `.1.member`.
Constraints of scalars in lists and maps are told of the whole list (`Member must satisfy constraint: [ … ]`) or map
(`Map keys must satisfy constraint: [ … ]`, `Map value must satisfy constraint: [ … ]`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.wire.codecs.common import Compiler
from modelyard.wire.java_regex import full_match
from modelyard.wire.shapes import Model, Shape

MAX_TOLD = 50
"""At most so many violations are told in one message."""

TELL_NO_VALUES = frozenset({"iam"})
"""IAM told the wrong value (and the words of an enum) until 2024, and does not any more."""

LONGEST_TOLD = 4096
"""A value is told up to so many characters: ten thousand log events would make an error of half a megabyte."""

GOOD_KEPT, LONGEST_KEPT = 64, 128
"""Texts that were found good are remembered, so many per shape of a model: clients send the same names all day."""

Report = list[str]
Check = Callable[[Any, str, Report], None]
Test = tuple[Callable[[Any], bool], str]
"""Whether a value is wrong, and the text of the constraint it violates."""


def validator(service: Model, shape: Shape) -> Callable[[dict[str, Any]], None] | None:
    """The check of an operation's input; None where the model has no constraint."""
    check = _Checks().compile(shape)
    if check is None:
        return None
    make_error = _DIALECTS.get(service.name) or _BY_PROTOCOL.get(service.metadata["protocol"]) or _validation_exception
    if service.metadata["protocol"] == "query" and service.name not in _DIALECTS:
        make_error = _validation_error
    if service.name == "logs" and "Delivery" in shape.name:  # its newer operations have the newer code
        make_error = _validation_exception

    def validate(parsed: dict[str, Any]) -> None:
        report: Report = []
        check(parsed, "", report)
        if report:
            raise make_error(report)

    return validate


class _Checks(Compiler):
    def structure(self, shape: Shape) -> Check | None:
        required = [(name, _camel(name)) for name in shape.required]
        checks = {name: (_camel(name), check) for name, member in shape.members.items() if (check := self.compile(member)) is not None}
        if not required and not checks:
            return None

        def run(value: dict[str, Any], path: str, report: Report) -> None:
            prefix = f"{path}." if path else ""
            for name, camel in required:
                if value.get(name) is None:
                    report.append(f"Value null at '{prefix}{camel}' failed to satisfy constraint: Member must not be null")
            told = len(report)
            each(value, value, prefix, report)
            if len(report) > told + 1:  # the order of the model is that in which AWS tells them
                del report[told:]
                each(checks, value, prefix, report)

        def each(names: Iterable[str], value: dict[str, Any], prefix: str, report: Report) -> None:
            for name in names:
                item, known = value.get(name), checks.get(name)
                if item is not None and known is not None:
                    known[1](item, prefix + known[0], report)

        return run

    def list(self, shape: Shape) -> Check | None:
        length, deep = _length_tests(shape), shape.member.kind in ("structure", "list", "map")
        inner = self.compile(shape.member) if deep else None
        tests = [] if deep else _tests(shape.member)

        def run(value: list[Any], path: str, report: Report) -> None:
            _run(length, value, path, report, shape)
            if inner is not None:
                for number, item in enumerate(value, 1):
                    if item is not None:
                        inner(item, f"{path}.{number}.member", report)
            elif tests and any(item is not None and wrong(item) for item in value for wrong, _ in tests):
                report.append(_of_all("Member", tests, value, path, shape, shape.member))
            for number, item in enumerate(value, 1):
                if item is None and not shape.trait("sparse"):
                    report.append(f"Value null at '{path}.{number}.member' failed to satisfy constraint: Member must not be null")

        return run

    def map(self, shape: Shape) -> Check | None:
        length, keys = _length_tests(shape), _tests(shape.key)
        deep = shape.value.kind in ("structure", "list", "map")
        inner = self.compile(shape.value) if deep else None
        values = [] if deep else _tests(shape.value)

        def run(value: dict[str, Any], path: str, report: Report) -> None:
            _run(length, value, path, report, shape)
            if keys and any(wrong(key) for key in value for wrong, _ in keys):
                report.append(_of_all("Map keys", keys, value, path, shape, shape.key))
            if values and any(item is not None and wrong(item) for item in value.values() for wrong, _ in values):
                report.append(_of_all("Map value", values, value, path, shape, shape.value))
            if inner is not None:
                for key, item in value.items():
                    if item is not None:
                        inner(item, f"{path}.{key}.member", report)

        return run

    def scalar(self, shape: Shape) -> Check | None:
        tests = _tests(shape)
        if not tests:
            return None
        if shape.kind != "string" or shape.trait("sensitive"):
            return lambda value, path, report: _run(tests, value, path, report, shape)
        good: set[str] = set()

        def run(value: Any, path: str, report: Report) -> None:
            if value in good:
                return
            told = len(report)
            _run(tests, value, path, report, shape)
            if len(report) == told and len(value) <= LONGEST_KEPT:
                if len(good) >= GOOD_KEPT:
                    good.clear()
                good.add(value)

        return run


def _run(tests: list[Test], value: Any, path: str, report: Report, shape: Shape) -> None:
    for wrong, constraint in tests:
        if wrong(value):
            report.append(f"Value {_told(value, shape)}at '{path}' failed to satisfy constraint: {constraint}")


def _of_all(what: str, tests: list[Test], value: Any, path: str, shape: Shape, member: Shape) -> str:
    told = "" if member.trait("sensitive") else _told(value, shape)
    constraints = ", ".join(text for _, text in tests)
    return f"Value {told}at '{path}' failed to satisfy constraint: {what} must satisfy constraint: [{constraints}]"


# --- the constraints of one value ---------------------------------------------------------------


_SERVICES_OWN = (
    "FilterRuleName",
    "ChecksumMode",
    "BucketCannedACL",
    "BucketLocationConstraint",
    "ServerSideEncryption",
    "TransitionDefaultMinimumObjectSize",
    "QueueAttributeName",
)
"""Enumerations that are not the whole truth, so the service checks them: S3 takes some words in any case (SDKs of other languages send
them in lower case) or more than its model tells, and has words of its own for unknown ones (as for unknown events of notifications);
ReceiveMessage of SQS takes names of message attributes where the model has those of queues."""


_LOOSE_PATTERNS = ("MetricNamespace", "CopySource")
"""Logs takes colons that its model forbids, and S3 a copy's source whose slash is encoded."""


def _tests(shape: Shape) -> list[Test]:
    """Tests of a scalar."""
    if shape.kind in ("string", "character"):
        tests = _length_tests(shape)
        if (enum := shape.trait("enum")) and shape.name not in _SERVICES_OWN and "s3:ObjectCreated:*" not in enum:
            tests.insert(0, _enum(enum, shape.model.name not in TELL_NO_VALUES))
        if (pattern := shape.trait("pattern")) and shape.name not in _LOOSE_PATTERNS:
            tests.append(_pattern(pattern))
        return tests
    if shape.kind in ("integer", "long", "float", "double"):
        return _range_tests(shape)
    return _length_tests(shape) if shape.kind == "blob" else []


def _length_tests(shape: Shape) -> list[Test]:
    tests, least, most = [], shape.trait("min"), shape.trait("max")
    text = shape.kind == "string"  # whose length in Java is never below Python's
    if most is not None:
        too_long = (lambda v: len(v) > most or (2 * len(v) > most and _utf16_length(v) > most)) if text else (lambda v: len(v) > most)
        tests.append((too_long, f"Member must have length less than or equal to {most}"))
    if least:
        too_short = (lambda v: len(v) < least and _utf16_length(v) < least) if text else (lambda v: len(v) < least)
        tests.append((too_short, f"Member must have length greater than or equal to {least}"))
    return tests


def _utf16_length(text: str) -> int:
    """Java's length: characters beyond the basic plane count twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _range_tests(shape: Shape) -> list[Test]:
    tests, least, most = [], shape.trait("min"), shape.trait("max")
    if most is not None:
        tests.append((lambda value: value > most, f"Member must have value less than or equal to {most}"))
    if least is not None:
        tests.append((lambda value: value < least, f"Member must have value greater than or equal to {least}"))
    return tests


def _enum(values: list[str], told: bool) -> Test:
    known, words = frozenset(values), f": [{', '.join(values)}]" if told else ""
    return (lambda value: value not in known, f"Member must satisfy enum value set{words}")


def _pattern(pattern: str) -> Test:
    return (lambda value: not full_match(pattern, value), f"Member must satisfy regular expression pattern: {pattern}")


# --- how values and paths are printed -----------------------------------------------------------


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


def _told(value: Any, shape: Shape) -> str:
    """`'x' ` as AWS prints the value; nothing for a sensitive one, nor where the service tells none."""
    if shape.trait("sensitive") or shape.model.name in TELL_NO_VALUES:
        return ""
    told = _java(value, shape)
    return f"'{told}' " if len(told) <= LONGEST_TOLD else f"'{told[:LONGEST_TOLD]}…' "


def _java(value: Any, shape: Shape) -> str:
    if shape.kind == "list":
        return f"[{', '.join(_java(item, shape.member) for item in value)}]"
    if shape.kind == "map":
        return "{" + ", ".join(f"{key}={_java(item, shape.value)}" for key, item in value.items()) + "}"
    if shape.kind == "structure":
        members = shape.members
        told = (f"{_camel(name)}={'null' if value.get(name) is None else _java(value[name], member)}" for name, member in members.items())
        return f"{shape.name}({', '.join(told)})"
    if shape.kind == "blob":
        return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]" if isinstance(value, bytes) else ""
    if shape.trait("sensitive"):
        return "***"
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


# --- in which words the service says it ----------------------------------------------------------


def detected(report: Report) -> str:
    """`1 validation error detected: …`, `2 validation errors detected: …; …`."""
    count = len(report)
    return f"{count} validation error{'s' if count > 1 else ''} detected: {'; '.join(report[:MAX_TOLD])}"


def _validation_exception(report: Report) -> ApiError:
    return ApiError("ValidationException", detected(report), 400)


def _validation_error(report: Report) -> ApiError:
    return ApiError("ValidationError", detected(report), 400)


def _invalid_parameter(report: Report) -> ApiError:
    return ApiError("InvalidParameterException", detected(report), 400)


def _logs(report: Report) -> ApiError:
    if any(_place(line) in ("logGroupName", "logStreamName") and "length less than" in line for line in report):
        return ApiError("InvalidParameterException", "Invalid LogGroup or LogStream, both must have length less than or equal to 512.", 400)
    # Values that may be ARNs are not told.
    return _invalid_parameter([re.sub(r"^Value '.*' at 'logGroupIdentifier", "Value at 'logGroupIdentifier", line) for line in report])


def _missing_name(report: Report) -> str | None:
    """The member that is null, if that is the first complaint."""
    first = report[0]
    return first.split("'", 2)[1] if first.startswith("Value null at ") else None


def _pascal(path: str) -> str:
    return ".".join(part[:1].upper() + part[1:] for part in path.split("."))


def _place(line: str) -> str:
    """The path that a complaint names."""
    return line.partition(" at '")[2].partition("'")[0]


# What S3 says of headers and parameters: member → (header or parameter, text). The wrong value stands for {}.
_S3_WORDS = {
    "encodingType": ("encoding-type", "Invalid Encoding Method specified in Request"),
    "objectOwnership": ("x-amz-object-ownership", "Invalid x-amz-object-ownership header: {}"),
    "objectLockMode": ("x-amz-object-lock-mode", "Unknown wormMode directive."),
    "copySource": ("x-amz-copy-source", "Invalid copy source object key"),
}
_S3_REQUESTS = {
    "checksumAlgorithm": "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
    "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
    "transitionDefaultMinimumObjectSize": "Invalid TransitionDefaultMinimumObjectSize found: {}",
}


def _s3(report: Report) -> ApiError:
    place, value = _place(report[0]), report[0].removeprefix("Value '").partition("' at '")[0]
    if place == "policy":
        return ApiError("MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'", 400)
    if place == "storageClass":
        return ApiError("InvalidStorageClass", "The storage class you specified is not valid", 400, fields={"StorageClassRequested": value})
    if report[0].startswith("Value null at ") and place.endswith(("onfiguration", "tagging", "delete", "Status", "Controls")):
        return ApiError("MissingRequestBodyError", "Request Body is empty", 400)
    if place in _S3_REQUESTS:
        return ApiError("InvalidRequest", _S3_REQUESTS[place].format(value), 400)
    if place in _S3_WORDS:
        name, text = _S3_WORDS[place]
        fields = {"ArgumentName": name} | (
            {} if place == "objectOwnership" else {"ArgumentValue": name if place == "copySource" else value}
        )
        return ApiError("InvalidArgument", text.format(value), 400, fields=fields)
    if place == "aCL":
        return ApiError("InvalidArgument", detected(report), 400, fields={"ArgumentName": "x-amz-acl", "ArgumentValue": value})
    if "." in _place(report[0]):  # inside the XML, not in a header or the query
        code = "MalformedACLError" if _place(report[0]).startswith("accessControlPolicy.") else "MalformedXML"
        return ApiError(code, "The XML you provided was not well-formed or did not validate against our published schema", 400)
    return ApiError("InvalidArgument", detected(report), 400)


def _ec2(report: Report) -> ApiError:
    missing = _missing_name(report)
    if missing:
        return ApiError("MissingParameter", f"The request must contain the parameter {_pascal(missing)}", 400)
    return ApiError("InvalidParameterValue", detected(report), 400)


def _sqs(report: Report) -> ApiError:
    missing = _missing_name(report)
    if missing:
        return ApiError("MissingParameter", f"The request must contain the parameter {_pascal(missing)}.", 400)
    if any("at 'attribute" in line and "enum value set" in line for line in report):
        return ApiError("InvalidAttributeName", f"Unknown Attribute. {detected(report)}", 400)
    return ApiError("InvalidParameterValue", detected(report), 400)


def _sns(report: Report) -> ApiError:
    return ApiError("InvalidParameter", f"Invalid parameter: {detected(report)}", 400)


def _cloudwatch(report: Report) -> ApiError:
    missing = _missing_name(report)
    if missing:
        return ApiError("MissingParameter", f"The parameter {_pascal(missing)} is required.", 400)
    return ApiError("ValidationError", detected(report), 400)


# What IAM says of a name or path of a wrong pattern, once the rest of the model holds.
_IAM_PATTERNS = {
    r"[\w+=,.@-]+": "It must contain only alphanumeric characters and/or the following: +=,.@_-",
    r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)": "It must begin and end with / and contain only alphanumeric characters and/or / characters.",
}


def _iam(report: Report) -> ApiError:
    own = [(line, text) for line in report for pattern, text in _IAM_PATTERNS.items() if line.endswith(f" pattern: {pattern}")]
    others = [line for line in report if line not in [said for said, _ in own]]
    if others or not own:
        return _validation_error(others or report)
    return ApiError("ValidationError", f"The specified value for {_place(own[0][0])} is invalid. {own[0][1]}", 400)


_DIALECTS: dict[str, Callable[[Report], ApiError]] = {
    "s3": _s3,
    "ec2": _ec2,
    "iam": _iam,
    "sqs": _sqs,
    "sns": _sns,
    "cloudwatch": _cloudwatch,
    "logs": _logs,
    "ecr": _invalid_parameter,
    "sagemaker-runtime": _validation_error,
}
_BY_PROTOCOL: dict[str, Callable[[Report], ApiError]] = {"query": _validation_error}
