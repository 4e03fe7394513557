"""Filters of DescribeParameters and GetParametersByPath: names with and without their slash, and what SSM says of wrong ones."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def ssm(yard):
    made = yard.client("ssm")
    for name in ("param", "/param-2", "/tangent-3", "tangram-4", "/deep/er"):
        made.put_parameter(Name=name, Value="v", Type="String")
    return made


@pytest.mark.parametrize(
    ("option", "value", "found"),
    [
        ("Equals", "/param", ["param"]),
        ("Equals", "param-2", ["/param-2"]),
        ("BeginsWith", "param", ["/param-2", "param"]),
        ("Contains", "/tan", ["/tangent-3", "tangram-4"]),
        ("Contains", "ram", ["/param-2", "param", "tangram-4"]),
    ],
)
def test_names_with_and_without_their_slash(ssm, option, value, found):
    told = ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Option": option, "Values": [value]}])["Parameters"]
    assert sorted(one["Name"] for one in told) == found


def test_the_root_has_what_has_no_path(ssm):
    found = ssm.get_parameters_by_path(Path="/")["Parameters"]
    assert sorted(one["Name"] for one in found) == ["/param-2", "/tangent-3", "param", "tangram-4"]
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path="/", Recursive=True, PaginationConfig={"PageSize": 2})
    assert sorted(one["Name"] for page in pages for one in page["Parameters"]) == [
        "/deep/er", "/param-2", "/tangent-3", "param", "tangram-4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "code", "text"),
    [
        ([{"Key": "Label", "Values": ["a"]}], "InvalidFilterKey", "Label. Valid filter keys include: [Path, Name, Type, KeyId, Tier"),
        ([{"Key": "Name", "Values": ["a"]}] * 2, "InvalidFilterKey", "duplicated in the request: Name. A request can contain only one"),
        ([{"Key": "Name"}], "InvalidFilterValue", "The following filter values are missing : null for filter key Name"),
        ([{"Key": "Path", "Values": ["/aws"]}], "ValidationException", "Filters for common parameters can't be prefixed"),
        ([{"Key": "Path", "Values": ["//"]}], "ValidationException", "Valid example: /get/parameters2-/by1./path0_."),
        ([{"Key": "Path", "Option": "Equals", "Values": ["/a"]}], "InvalidFilterOption", "Valid options include: [Recursive, OneLevel]"),
        ([{"Key": "Tier", "Values": ["x"]}], "InvalidFilterValue", "not valid: x. Valid values include: [Standard, Advanced, Int"),
        ([{"Key": "Name", "Option": "x", "Values": ["a"]}], "InvalidFilterOption", "Valid options include: [BeginsWith, Equals]."),
    ],
)
def test_wrong_filters(ssm, filters, code, text):
    with pytest.raises(ClientError) as caught:
        ssm.describe_parameters(ParameterFilters=filters)
    error = caught.value.response["Error"]
    assert error["Code"] == code and text in error["Message"], error
