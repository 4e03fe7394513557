"""SageMaker SDK v2: managed spot training with checkpoints, and one job on two hosts. Leaves facts in $FACTS."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time

import boto3
import sagemaker
from sagemaker.inputs import TrainingInput
from sagemaker.sklearn import SKLearn
from sagemaker.xgboost import XGBoost

spot_code, hosts_code, *interrupting = sys.argv[1:]
session = sagemaker.Session()
bucket, role = session.default_bucket(), sagemaker.get_execution_role()
s3, facts = boto3.client("s3"), {}


def printed(work):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        work()
    return said.getvalue()


def model(estimator):
    _, _, where = estimator.model_data.partition("s3://")
    place, _, key = where.partition("/")
    body = s3.get_object(Bucket=place, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return {member.name: tar.extractfile(member).read().decode() for member in tar.getmembers() if member.isfile()}


def interrupt(name):
    while not s3.list_objects_v2(Bucket=bucket, Prefix="spot/checkpoints/epoch").get("Contents"):
        time.sleep(0.2)
    facts["interrupt"] = subprocess.run([*interrupting, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


spot = SKLearn(
    "train.py", source_dir=spot_code, framework_version="1.2-1", instance_type="ml.m5.large", role=role, sagemaker_session=session,
    use_spot_instances=True, max_run=120, max_wait=240, checkpoint_s3_uri=f"s3://{bucket}/spot/checkpoints", hyperparameters={"epochs": 60},
    metric_definitions=[{"Name": "epoch", "Regex": "epoch=([0-9]+);"}],
)  # fmt: skip
threading.Thread(target=interrupt, args=("spot-1",), daemon=True).start()
facts["spot_said"] = printed(lambda: spot.fit(job_name="spot-1"))
facts["spot"] = session.describe_training_job("spot-1")
facts["spot_model"] = model(spot)

for number in range(4):
    s3.put_object(Bucket=bucket, Key=f"shards/{number}", Body=str(10.0**number).encode())
two = XGBoost(
    "train.py", source_dir=hosts_code, framework_version="1.7-1", instance_type="ml.m5.large", instance_count=2, role=role,
    sagemaker_session=session,
)  # fmt: skip
shards = TrainingInput(f"s3://{bucket}/shards/", distribution="ShardedByS3Key")
facts["hosts_said"] = printed(lambda: two.fit({"train": shards}, job_name="hosts-1"))
facts["hosts"] = session.describe_training_job("hosts-1")
facts["hosts_model"] = model(two)

with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file, default=str)
