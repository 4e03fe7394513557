"""Microseconds to parse a request and to serialise an answer, beside botocore's own serialiser and parser of the same
operation in the same run.

    python benchmarks/wire.py [seconds per figure, default 0.3]

`ratio` is ours to botocore's: the other half of the same work, done by the client everybody has. The best of five rounds counts.
"""

from __future__ import annotations

import sys
import timeit
from typing import Any

import botocore.session
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from modelyard.kernel.service import BytesBody
from modelyard.wire.codec import codec
from modelyard.wire.http import HttpRequest
from modelyard.wire.routing import route

JOB = {
    "TrainingJobName": "xgboost-2026-01-01",
    "RoleArn": "arn:aws:iam::123456789012:role/r",
    "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.0-1-cpu-py3"},
    "InputDataConfig": [{"ChannelName": c, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/k"}}} for c in ("train", "validation")],
    "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
    "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    "HyperParameters": {f"p{i}": str(i) for i in range(8)},
}  # fmt: skip
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("sagemaker", "CreateTrainingJob", JOB, {"TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/x"}),
    ("sagemaker", "DescribeTrainingJob", {"TrainingJobName": "x"}, {**JOB, "TrainingJobArn": "a" * 20, "TrainingJobStatus": "Completed",
     "ModelArtifacts": {"S3ModelArtifacts": "s3://b/m"}, "SecondaryStatus": "Completed", "CreationTime": 1.7e9}),
    ("sagemaker-runtime", "InvokeEndpoint", {"EndpointName": "e", "Body": b"1,2,3", "ContentType": "text/csv"}, {"Body": b"1.0", "ContentType": "text/csv"}),
    ("s3", "GetObject", {"Bucket": "b", "Key": "a/b"}, {"Body": b"x" * 1024, "ContentLength": 1024, "ETag": '"e"', "LastModified": 1.7e9}),
    ("s3", "ListObjectsV2", {"Bucket": "b", "Prefix": "p/"}, {"Contents": [{"Key": f"p/{i}", "Size": i, "ETag": '"e"', "LastModified": 1.7e9} for i in range(100)]}),
    ("iam", "GetRole", {"RoleName": "r"}, {"Role": {"RoleName": "r", "Arn": "arn:aws:iam::1:role/r", "Path": "/", "RoleId": "AROA", "CreateDate": 1.7e9}}),
    ("logs", "PutLogEvents", {"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": i, "message": "m" * 80} for i in range(100)]}, {"nextSequenceToken": "1"}),
    ("cloudwatch", "PutMetricData", {"Namespace": "n", "MetricData": [{"MetricName": "m", "Value": 1.0, "Timestamp": 1.7e9} for _ in range(20)]}, {}),
    ("ec2", "DescribeInstances", {"InstanceIds": ["i-1", "i-2"]}, {"Reservations": [{"Instances": [{"InstanceId": "i-1", "LaunchTime": 1.7e9}]}]}),
]  # fmt: skip


def microseconds(work: Any, seconds: float) -> float:
    timer = timeit.Timer(work)
    count = max(1, int(seconds / 5 / (timer.timeit(3) / 3)))
    return min(timer.repeat(5, count)) / count * 1e6


def measure(service: str, operation: str, params: dict[str, Any], answer: dict[str, Any], seconds: float) -> list[float]:
    model = botocore.session.get_session().get_service_model(service)
    known, protocol = model.operation_model(operation), model.resolved_protocol
    serialiser, parser = create_serializer(protocol, include_validation=False), create_parser(protocol)
    made = serialiser.serialize_to_request(params, known)
    request, body = as_http(made, model.signing_name)
    found = route(request, None, body)
    used = codec(service, operation, found.protocol)

    def parse() -> dict[str, Any]:
        return used.parse(found, request, BytesBody(body) if used.streams_in else body)

    parsed = parse()
    used.validate(parsed)
    sent = used.serialise(answer, "rid")
    raw = {"headers": HeadersDict(sent.headers), "status_code": sent.status, "body": sent.body, "context": {"operation_name": operation}}
    if known.has_streaming_output:
        raw["body"] = None  # botocore hands the stream on as it is
    shape = known.output_shape
    work = [
        lambda: route(request, None, body),
        parse,
        lambda: used.validate(parsed),
        lambda: serialiser.serialize_to_request(params, known),
        lambda: used.serialise(answer, "rid"),
        lambda: parser.parse(raw, shape),
    ]
    return [microseconds(one, seconds) for one in work]


def as_http(made: dict[str, Any], signing: str) -> tuple[HttpRequest, bytes]:
    from urllib.parse import urlencode

    body = made["body"]
    body = urlencode(body).encode() if isinstance(body, dict) else body or b""
    headers = [(key.lower(), str(value)) for key, value in made["headers"].items()]
    headers += [("host", "127.0.0.1"), ("authorization", f"AWS4-HMAC-SHA256 Credential=A/2026/us-east-1/{signing}/aws4_request, S")]
    path, _, query = made["url_path"].partition("?")
    said = urlencode(made["query_string"]) if made["query_string"] else ""
    return HttpRequest(made["method"], path, "&".join(filter(None, (query, said))), headers, BytesBody(body)), body


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.3
    columns = ("route", "parse", "validate", "botocore in", "ratio", "serialise", "botocore out", "ratio")
    print(f"{'operation':36}" + "".join(f"{column:>13}" for column in columns))
    for service, operation, params, answer in CASES:
        routed, parsed, validated, theirs_in, written, theirs_out = measure(service, operation, params, answer, seconds)
        row = (routed, parsed, validated, theirs_in, parsed / theirs_in, written, theirs_out, written / theirs_out)
        print(f"{service + ' ' + operation:36}" + "".join(f"{value:13.2f}" for value in row))


if __name__ == "__main__":
    main()
