"""SageMaker SDK v2: the built-in XGBoost on one and on two instances, with sharded data. Leaves facts in $FACTS."""

import hashlib
import io
import json
import os
import random
import tarfile

import boto3
import sagemaker
from sagemaker.estimator import Estimator
from sagemaker.image_uris import retrieve
from sagemaker.inputs import TrainingInput

session = sagemaker.Session()
bucket, s3, facts = session.default_bucket(), boto3.client("s3"), {}
draw = random.Random(3)
for part in range(5):
    rows = ((a := draw.random(), b := draw.random()) and f"{int(a + b > 1)},{a:.4f},{b:.4f}" for _ in range(40))
    s3.put_object(Bucket=bucket, Key=f"xgb/part-{part}.csv", Body="\n".join(rows).encode())
image = retrieve("xgboost", session.boto_region_name, "1.7-1")
for count in (1, 2):
    estimator = Estimator(
        image, sagemaker.get_execution_role(), count, "ml.m5.large", sagemaker_session=session,
        hyperparameters={"objective": "binary:logistic", "num_round": "5", "seed": "1"},
    )  # fmt: skip
    data = TrainingInput(f"s3://{bucket}/xgb/", distribution="ShardedByS3Key", content_type="text/csv")
    estimator.fit({"train": data}, job_name=f"xgb-{count}", logs="None")
    _, _, where = estimator.model_data.partition("s3://")
    place, _, key = where.partition("/")
    body = s3.get_object(Bucket=place, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        facts[str(count)] = {m.name: hashlib.sha256(tar.extractfile(m).read()).hexdigest() for m in tar.getmembers() if m.isfile()}
events = boto3.client("logs").filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="xgb-2/")["events"]
facts["said"] = [event["message"] for event in events]
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
