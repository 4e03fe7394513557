"""Script-mode jobs and endpoints by boto3 alone, as the SDK would ask for them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from tests.journeys.conftest import HERE, Yard, wait

SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
BUCKET = "journeys-jobs"


def role_of(yard: Yard, *account: str) -> str:
    name = yard.client("sts").get_caller_identity()["Arn"].split("/")[1]
    return yard.client("iam").get_role(RoleName=name)["Role"]["Arn"]


def submit(yard: Yard, name: str, code: str, hyperparameters: dict[str, Any] | None = None, **more: Any) -> None:
    """CreateTrainingJob of the folder `code/CODE` on the scikit-learn image; `more` goes over the request."""
    s3, sagemaker = yard.client("s3"), yard.client("sagemaker")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=f"{name}/sourcedir.tar.gz", Body=archive(HERE / "code" / code))
    s3.put_object(Bucket=BUCKET, Key=f"{name}/train/rows.csv", Body=b"1,2,3\n")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{name}/train/", "S3DataDistributionType": "FullyReplicated"}
    request = {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": SKLEARN, "TrainingInputMode": "File"},
        "RoleArn": role_of(yard),
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/output"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "HyperParameters": {
            "sagemaker_program": json.dumps("train.py"),
            "sagemaker_submit_directory": json.dumps(f"s3://{BUCKET}/{name}/sourcedir.tar.gz"),
            **{key: json.dumps(value) for key, value in (hyperparameters or {}).items()},
        },
    }
    sagemaker.create_training_job(**request | more)


def finished(yard: Yard, name: str, seconds: float = 90) -> dict[str, Any]:
    """The description of the job when it has ended."""
    sagemaker = yard.client("sagemaker")

    def ended():
        said = sagemaker.describe_training_job(TrainingJobName=name)
        return said if said["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return wait(ended, seconds)


def model_file(yard: Yard, job: dict[str, Any], member: str) -> bytes:
    """One file of the job's model archive."""
    bucket, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").split("/", 1)
    body = yard.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return tar.extractfile(member).read()


def deploy(yard: Yard, job: dict[str, Any], endpoint: str) -> None:
    sagemaker = yard.client("sagemaker")
    container = {
        "Image": SKLEARN,
        "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
        "Environment": {
            "SAGEMAKER_PROGRAM": "train.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": json.loads(job["HyperParameters"]["sagemaker_submit_directory"]),
        },
    }
    sagemaker.create_model(ModelName=endpoint, PrimaryContainer=container, ExecutionRoleArn=job["RoleArn"])
    variant = {"VariantName": "all", "ModelName": endpoint, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName=endpoint, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=endpoint)

    def settled():
        said = sagemaker.describe_endpoint(EndpointName=endpoint)
        assert said["EndpointStatus"] != "Failed", said["FailureReason"]
        return said["EndpointStatus"] == "InService"

    wait(settled, 60)


def archive(folder: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path in sorted(folder.iterdir()):
            if path.is_file():
                tar.add(path, arcname=path.name)
    return packed.getvalue()
