"""Arrays of numbers and times are written as lists of them are."""

from __future__ import annotations

import re

import cbor2
import numpy as np
import orjson
import pytest

from modelyard.wire.codec import codec

PROTOCOLS = ["smithy-rpc-v2-cbor", "json", "query"]


def answer(at, values):
    one = {"Id": "a", "Label": "l", "Timestamps": at, "Values": values, "StatusCode": "Complete"}
    return {"MetricDataResults": [one, {**one, "Id": "b"}]}


def meaning(protocol, body):
    if protocol == "query":
        return [float(text) if text[:5] != "2023-" else text for text in re.findall("<member>([^<]+)</member>", body.decode())]
    return (cbor2 if "cbor" in protocol else orjson).loads(body)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("count", [0, 1, 23, 24, 300, 70_000])
@pytest.mark.parametrize("begin", [1_700_000_000.0, 1_700_000_000.125])
def test_an_array_means_what_its_list_means(protocol, count, begin):
    at, values = begin + np.arange(float(count)) % 1000, np.arange(count) * -1.1e-7
    writer = codec("cloudwatch", "GetMetricData", protocol)
    fast = writer.serialise(answer(at[::-1], values), "r", True).body
    plain = writer.serialise(answer(at[::-1].tolist(), values.tolist()), "r", True).body
    assert meaning(protocol, fast) == meaning(protocol, plain)
