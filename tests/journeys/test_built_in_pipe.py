"""A built-in algorithm in Pipe mode: it reads the channel's pipe, and makes the model that it makes of files."""

from __future__ import annotations

import hashlib
import io
import tarfile

from tests.journeys.conftest import wait

IMAGE, ROLE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1", "arn:aws:iam::123456789012:role/ModelyardExecutionRole"


def test_kmeans_from_a_pipe_is_kmeans_from_files(yard):
    sagemaker, s3 = yard.client("sagemaker"), yard.client("s3")
    s3.create_bucket(Bucket="pipes")
    for part in range(3):
        rows = "\n".join(f"{part * 10 + n / 50:.3f},{n % 5}" for n in range(50))
        s3.put_object(Bucket="pipes", Key=f"in/part-{part}.csv", Body=(rows + "\n").encode())
    models = {}
    for mode in ("File", "Pipe"):
        sagemaker.create_training_job(
            TrainingJobName=f"kmeans-{mode.lower()}",
            RoleArn=ROLE,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": mode},
            HyperParameters={"k": "3", "feature_dim": "2", "mini_batch_size": "50"},
            InputDataConfig=[
                {
                    "ChannelName": "train",
                    "ContentType": "text/csv;label_size=0",
                    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://pipes/in/"}},
                }
            ],
            OutputDataConfig={"S3OutputPath": "s3://pipes/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )
        name = f"kmeans-{mode.lower()}"
        job = wait(lambda name=name: ended(sagemaker.describe_training_job(TrainingJobName=name)), 200)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        body = s3.get_object(Bucket="pipes", Key=f"out/{name}/output/model.tar.gz")["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            models[mode] = {m.name: hashlib.sha256(tar.extractfile(m).read()).hexdigest() for m in tar.getmembers() if m.isfile()}
    assert models["File"] == models["Pipe"] and models["Pipe"]


def ended(job):
    return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None
