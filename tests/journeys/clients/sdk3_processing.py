"""SageMaker SDK v3: ScriptProcessor and FrameworkProcessor, and processing jobs as core resources."""

import contextlib
import io
import json
import os
import sys
import time

import boto3
import numpy as np
import pandas as pd
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.processing import FrameworkProcessor, ScriptProcessor
from sagemaker.core.resources import ProcessingJob
from sagemaker.core.shapes import (
    AppSpecification,
    ProcessingClusterConfig,
    ProcessingInput,
    ProcessingOutput,
    ProcessingResources,
    ProcessingS3Input,
    ProcessingS3Output,
)

code = sys.argv[1]
facts = {}
session = Session()
role, bucket = get_execution_role(session), session.default_bucket()
s3, sm = boto3.client("s3"), boto3.client("sagemaker")
image = image_uris.retrieve("sklearn", session.boto_region_name, version="1.2-1")
random = np.random.default_rng(7)
os.makedirs("v3-customers", exist_ok=True)
for number in range(4):
    jobs = random.choice(["admin.", "services", "retired"], 50)
    pd.DataFrame({"age": random.integers(18, 90, 50), "job": jobs}).to_csv(f"v3-customers/part-{number}.csv", index=False)


def keys(prefix):
    return sorted(row["Key"][len(prefix) :] for row in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []))


def read(key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()


def output(name, path, uri):
    return ProcessingOutput(output_name=name, s3_output=ProcessingS3Output(s3_uri=uri, local_path=path, s3_upload_mode="EndOfJob"))


customers = ProcessingS3Input(s3_uri="v3-customers", local_path="/opt/ml/processing/input", s3_data_type="S3Prefix")
folder = "/opt/ml/processing/output"
script = ScriptProcessor(
    image_uri=image, command=["python3"], role=role, instance_type="ml.m5.large", instance_count=2, base_job_name="v3-prepare",
    sagemaker_session=session, tags=[{"Key": "team", "Value": "data"}],
)  # fmt: skip
said = io.StringIO()
with contextlib.redirect_stdout(said):
    script.run(
        code=f"{code}/prepare.py",
        inputs=[ProcessingInput(input_name="customers", s3_input=customers)],
        outputs=[
            output("train", f"{folder}/train", f"s3://{bucket}/v3-processing/train"),
            output("test", f"{folder}/test", f"s3://{bucket}/v3-processing/test"),
        ],
        arguments=["--split", "0.5"],
    )
job = ProcessingJob.get(script.latest_job.processing_job_name)
facts["script"] = {
    "status": job.processing_job_status,
    "message": job.exit_message,
    "logs": said.getvalue(),
    "train": keys("v3-processing/train/"),
    "test": keys("v3-processing/test/"),
}

framework = FrameworkProcessor(
    image_uri=image, command=["python3"], role=role, instance_type="ml.m5.large", instance_count=1, base_job_name="v3-framework",
    sagemaker_session=session,
)  # fmt: skip
framework.run(
    code="work.py",
    source_dir=f"{code}/bundle",
    requirements="requirements.txt",
    outputs=[output("seen", folder, f"s3://{bucket}/v3-processing/framework")],
    arguments=["--words", "two words"],
    logs=False,
)
facts["framework"] = json.loads(read("v3-processing/framework/seen.json"))

stamp = str(int(time.time()))
started = ProcessingJob.create(
    processing_job_name=f"v3-{stamp}",
    processing_resources=ProcessingResources(
        cluster_config=ProcessingClusterConfig(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10)
    ),
    app_specification=AppSpecification(image_uri=image, container_entrypoint=["sleep", "600"]),
    role_arn=role,
)
while "processing_start_time" not in started.refresh().model_dump(exclude_unset=True) and started.processing_job_status == "InProgress":
    time.sleep(0.2)
started.stop()
started.wait(poll=1)
facts["core"] = {
    "status": started.processing_job_status,
    "listed": [one.processing_job_name for one in ProcessingJob.get_all(name_contains="v3-", status_equals="Completed")],
}
started.delete()
facts["deleted"] = [one.processing_job_name for one in ProcessingJob.get_all(name_contains=f"v3-{stamp}")]
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
