"""The services. Each package has `api = Service("<botocore name>")` and a file per resource."""

SERVICES = [
    "sagemaker",
    "sagemaker_runtime",
    "sagemaker_metrics",
    "s3",
    "iam",
    "sts",
    "logs",
    "cloudwatch",
    "sqs",
    "applicationautoscaling",
    "modelyard",
    "sns",
    "kms",
    "ssm",
    "secretsmanager",
    "cloudtrail",
]
"""The table of contents: packages of this folder, in no order that matters."""
