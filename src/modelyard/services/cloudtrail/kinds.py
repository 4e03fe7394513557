"""Which calls are management events and which data events, which only read, and how CloudTrail names them.

Source: CloudTrail User Guide, "Logging management events" and "Logging data events", and the services' own pages about CloudTrail.
"""

from __future__ import annotations

from functools import cache

from modelyard.kernel import models

_DATA = {
    "sagemaker-runtime": None,
    "sagemaker-metrics": None,
    "cloudwatch": {"PutMetricData", "GetMetricData", "GetMetricStatistics", "GetMetricWidgetImage", "ListMetrics"},
    "logs": {"PutLogEvents"},
    "sns": {"Publish", "PublishBatch"},
    "sqs": {
        "SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch", "ChangeMessageVisibility",
        "ChangeMessageVisibilityBatch",
    },
    "s3": {"DeleteObjects", "ListObjects", "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads"},
}  # fmt: skip
_DATA_TYPES = {
    "s3": "AWS::S3::Object",
    "sagemaker-runtime": "AWS::SageMaker::Endpoint",
    "sagemaker-metrics": "AWS::SageMaker::ExperimentTrialComponent",
    "cloudwatch": "AWS::CloudWatch::Metric",
    "sns": "AWS::SNS::Topic",
    "sqs": "AWS::SQS::Queue",
}
"""What trails call the resources of a service's data events."""
_SOURCES = {
    "cloudwatch": "monitoring",
    "application-autoscaling": "autoscaling",
    "sagemaker-runtime": "sagemaker",
    "sagemaker-metrics": "sagemaker",
}
_READS = (
    "Get", "List", "Describe", "Head", "Lookup", "Search", "BatchGet", "BatchDescribe", "Simulate", "Filter", "Query", "Verify", "Test", "Explain",
    "QueryLineage", "StartLiveTail",
)  # fmt: skip
_READS_TOO = {
    "kms": {
        "Encrypt",
        "Decrypt",
        "ReEncrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateRandom",
        "Sign",
        "DeriveSharedSecret",
    },
    "sts": {"AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "DecodeAuthorizationMessage"},
    "iam": {"GenerateCredentialReport", "GenerateServiceLastAccessedDetails"},
    "logs": {"StartQuery"},
}
_NAMES = {
    "s3": {
        "ListObjectsV2": "ListObjects",
        "PutBucketLifecycleConfiguration": "PutBucketLifecycle",
        "GetBucketLifecycleConfiguration": "GetBucketLifecycle",
        "PutBucketNotificationConfiguration": "PutBucketNotification",
        "GetBucketNotificationConfiguration": "GetBucketNotification",
        "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
        "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
        "DeletePublicAccessBlock": "DeleteBucketPublicAccessBlock",
    }
}


@cache
def is_data(service: str, operation: str) -> bool:
    named = _DATA.get(service, frozenset())
    if named is None or operation in named:
        return True
    return service == "s3" and "{Key" in models.service_model("s3")["operations"][operation]["http"]["requestUri"]


def data_type(service: str) -> str:
    """ "": no trail can ask for its data events."""
    return _DATA_TYPES.get(service, "")


@cache
def reads(service: str, operation: str) -> bool:
    return operation.startswith(_READS) or operation in _READS_TOO.get(service, ())


@cache
def source(service: str) -> str:
    if service == "modelyard":
        return "modelyard"
    return f"{_SOURCES.get(service, models.service_model(service)['metadata']['endpointPrefix'])}.amazonaws.com"


def name(service: str, operation: str) -> str:
    return _NAMES.get(service, {}).get(operation, operation)
