from __future__ import annotations

import pytest

from modelyard.services.sagemaker.searching.expression import matches, values

DOCUMENT = {
    "TrainingJobName": "iris-1",
    "TrainingJobStatus": "Completed",
    "CreationTime": 1_700_000_000.0,
    "HyperParameters": {"eta": "0.1", "dotted.name": "x"},
    "FinalMetricDataList": [{"MetricName": "validation:merror", "Value": 0.1}],
    "InputDataConfig": [
        {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "s3://b/train"}}},
        {"ChannelName": "test", "DataSource": {"S3DataSource": {"S3Uri": "s3://b/test"}}},
    ],
    "Tags": [{"Key": "team", "Value": "red"}],
    "Parameters": {"lr": {"NumberValue": 0.1}, "model": {"StringValue": "adam"}},
}


@pytest.mark.parametrize(
    ("name", "operator", "value", "hit"),
    [
        ("TrainingJobName", "Equals", "iris-1", True),
        ("TrainingJobName", "Contains", "RIS", True),
        ("TrainingJobStatus", "NotEquals", "Completed", False),
        ("TrainingJobStatus", "In", "Failed,Completed", True),
        ("CreationTime", "GreaterThan", "2023-11-14T00:00:00Z", True),
        ("CreationTime", "LessThan", "2023-11-14T00:00:00Z", False),
        ("HyperParameters.eta", "LessThan", "0.2", True),
        ("HyperParameters.dotted.name", "Equals", "x", True),
        ("Metrics.validation:merror", "GreaterThanOrEqualTo", "0.1", True),
        ("Metrics.absent", "LessThan", "5", False),
        ("Tags.team", "Equals", "red", True),
        ("Tags.Key", "Equals", "team", True),
        ("Parameters.lr", "LessThan", "0.2", True),
        ("Parameters.lr.NumberValue", "Equals", "0.1", True),
        ("Parameters.model", "Equals", "adam", True),
        ("Parameters.none", "Exists", None, False),
        ("FailureReason", "NotExists", None, True),
        ("TrainingJobName", "Exists", None, True),
        ("InputDataConfig.DataSource.S3DataSource.S3Uri", "Contains", "test", True),
    ],
)
def test_operators(name, operator, value, hit):
    one = {"Name": name, "Operator": operator} | ({"Value": value} if value is not None else {})
    assert matches({"Filters": [one]}, DOCUMENT) is hit


def test_and_or_and_sub_expressions():
    yes, no = {"Name": "TrainingJobName", "Value": "iris-1"}, {"Name": "TrainingJobName", "Value": "other"}
    assert not matches({"Filters": [yes, no]}, DOCUMENT)
    assert matches({"Filters": [yes, no], "Operator": "Or"}, DOCUMENT)
    assert matches({"Filters": [yes], "SubExpressions": [{"Filters": [no, yes], "Operator": "Or"}]}, DOCUMENT)
    assert matches({}, DOCUMENT)


def test_a_nested_filter_holds_for_one_item():
    def nested(channel, uri):
        prefix = "InputDataConfig"
        return {
            "NestedFilters": [
                {
                    "NestedPropertyName": prefix,
                    "Filters": [
                        {"Name": f"{prefix}.ChannelName", "Operator": "Equals", "Value": channel},
                        {"Name": f"{prefix}.DataSource.S3DataSource.S3Uri", "Operator": "Contains", "Value": uri},
                    ],
                }
            ]
        }

    assert matches(nested("train", "s3://b/train"), DOCUMENT)
    assert not matches(nested("train", "s3://b/test"), DOCUMENT)


def test_values_reads_through_lists():
    assert values(DOCUMENT, "InputDataConfig.ChannelName") == ["train", "test"]
