"""Protocol cases as data, run against our side: the requests of `input` cases are parsed, the results of `output` cases
serialised and read by botocore's own parser.

The cases in `cases/` are ours and always run. botocore's (about 730; its repository's `tests/unit/protocols`, not in its
package) run where MODELYARD_BOTOCORE_PROTOCOL_TESTS names that folder.
"""

import os
import re
from pathlib import Path

import pytest

from tests.support.protocol_cases import cases, our_response, parsed_request, read_by_botocore, same, to_python

OURS = Path(__file__).parent / "cases"
BOTOCORE = os.environ.get("MODELYARD_BOTOCORE_PROTOCOL_TESTS")

CANNOT_BE_SEEN = {
    "the case gives the compressed parameters but no body": "SDKAppl|SDKAppend",
    "the client fills the token in by itself": "IdempotencyTokenAutoFill$",
    "a form or query string cannot say an empty list or map": "ec2/Ec2EmptyQueryLists|EmptyQueryMaps|OmitsEmptyListQueryValues",
    "no header is the same as no map of headers": "PrefixHeadersAreNotPresent",
    "an absent structure payload is sent as {}": "WithEmptyStructurePayload|WithHeadersButNoPayload",
    "a map of query parameters holds those that have no member of their own": (
        "rest-json/.*(AllQueryStringTypes|QueryStringEscaping|FloatQueryValues|ZeroAndFalseQueryValues)|QueryPrecedence"
    ),
    "the path of the endpoint comes before the model's": "rest-json/RestJsonHostWithPath",
    "the case gives the JSON text, not the value": "MediaTypeHeaderInput",
}
"""Input cases whose parameters the request does not carry, by the reason; patterns of their names."""

BOTOCORE_READS_OTHERWISE = {
    "botocore splits quoted header lists at every comma": "QuotedStringHeaders",
    "botocore splits lists of HTTP dates at every comma": "TimestampHeaders",
    "botocore reads an empty payload as one": "rest-.*(WithNoBlobBody|WithUnsetUnion)",
    "botocore reads flattened lists by the name of their items": "/(Ec2|Query|)XmlLists$",
    "botocore looks for the shape's name where the member's is sent": "BodyWithXmlName",
    "a prefix of no letters takes every header of the answer": "HttpPrefixHeadersResponse",
}
"""Output cases that botocore's parser (its own ignore list has most of them) does not read as the case says."""


def known(name, reasons):
    return next((reason for reason, pattern in reasons.items() if re.search(pattern, name)), None)


def collected(side, reasons):
    folders = [("ours", OURS)] + ([("botocore", Path(BOTOCORE))] if BOTOCORE else [])
    for origin, folder in folders:
        for case in cases(folder, side):
            reason = known(case.name, reasons) if origin == "botocore" else None
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
            yield pytest.param(case, id=f"{origin}-{case.name}", marks=marks)


@pytest.mark.parametrize("case", list(collected("input", CANNOT_BE_SEEN)))
def test_requests_are_parsed(case):
    shape = case.codec().input
    wanted = to_python(shape, case.case["params"]) if shape else {}
    parsed = parsed_request(case)
    assert same(parsed, wanted), (parsed, wanted)


@pytest.mark.parametrize("case", list(collected("output", BOTOCORE_READS_OTHERWISE)))
def test_results_are_serialised(case):
    answer = our_response(case)
    if "contains" in case.case:
        body = answer.body.decode()
        assert all(piece in body for piece in case.case["contains"]), body
        assert dict(answer.headers).items() >= case.case.get("headers", {}).items(), answer.headers
    parsed = read_by_botocore(case, answer)
    if "error" in case.case:
        assert parsed.pop("Error")["Code"] == case.case.get("errorCode", "")
        parsed = {k: v for k, v in parsed.items() if k in case.case["error"]}
        wanted = {k: v for k, v in case.case["error"].items() if k in parsed}
        assert same(parsed, wanted) and len(parsed) == len(case.case["error"]), (parsed, wanted)
        return
    shape = case.codec().output
    wanted = to_python(shape, case.case["result"]) if shape else {}
    parsed = to_python(shape, parsed) if shape else parsed
    assert same(parsed, wanted), (parsed, wanted)
