"""SageMaker SDK v2: a PyTorch job on two hosts. Leaves facts in $FACTS."""

import io
import json
import os
import sys
import tarfile

import boto3
import sagemaker
from sagemaker.inputs import TrainingInput
from sagemaker.pytorch import PyTorch

session = sagemaker.Session()
bucket, s3 = session.default_bucket(), boto3.client("s3")
for number, text in enumerate(("1 3", "5 7")):
    s3.put_object(Bucket=bucket, Key=f"gloo/{number}", Body=text.encode())
estimator = PyTorch(
    "train.py", source_dir=sys.argv[1], framework_version="2.1", py_version="py310", instance_type="ml.m5.large", instance_count=2,
    role=sagemaker.get_execution_role(), sagemaker_session=session,
)  # fmt: skip
estimator.fit({"train": TrainingInput(f"s3://{bucket}/gloo/", distribution="ShardedByS3Key")}, job_name="gloo-1", logs="None")
_, _, where = estimator.model_data.partition("s3://")
place, _, key = where.partition("/")
body = s3.get_object(Bucket=place, Key=key)["Body"].read()
with tarfile.open(fileobj=io.BytesIO(body)) as tar:
    model = {m.name: tar.extractfile(m).read().decode() for m in tar.getmembers() if m.isfile()}
events = boto3.client("logs").filter_log_events(
    logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="gloo-1/", filterPattern="weight"
)
with open(os.environ["FACTS"], "w") as file:
    json.dump({"model": model, "said": [event["message"] for event in events["events"]]}, file)
