"""SageMaker SDK v2: SKLearnProcessor, ScriptProcessor, FrameworkProcessor, Processor; shards, failures, stops, jobs found again."""

import contextlib
import io
import json
import os
import sys
import time

import boto3
import numpy as np
import pandas as pd
import sagemaker
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.network import NetworkConfig
from sagemaker.processing import FrameworkProcessor, ProcessingInput, ProcessingJob, ProcessingOutput, Processor, ScriptProcessor
from sagemaker.s3 import S3Downloader
from sagemaker.sklearn.estimator import SKLearn
from sagemaker.sklearn.processing import SKLearnProcessor

code = sys.argv[1]
facts = {}
session = sagemaker.Session()
role = sagemaker.get_execution_role(session)
bucket = session.default_bucket()
sm, s3 = boto3.client("sagemaker"), boto3.client("s3")

random = np.random.default_rng(7)
os.makedirs("customers", exist_ok=True)
for number in range(4):
    jobs = random.choice(["admin.", "services", "retired"], 50)
    pd.DataFrame({"age": random.integers(18, 90, 50), "job": jobs, "y": random.choice(["yes", "no"], 50)}).to_csv(
        f"customers/part-{number}.csv", index=False
    )
data = session.upload_data("customers", key_prefix="processing/customers")


def keys(uri):
    prefix = uri.removeprefix(f"s3://{bucket}/")
    return sorted(row["Key"][len(prefix) + 1 :] for row in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []))


def outputs(name):
    folder = "/opt/ml/processing/output"
    return [
        ProcessingOutput(output_name="train", source=f"{folder}/train", destination=f"s3://{bucket}/processing/{name}/train"),
        ProcessingOutput(output_name="test", source=f"{folder}/test"),
    ]


def sklearn(count, **more):
    return SKLearnProcessor(
        framework_version="0.23-1", role=role, instance_type="ml.m5.xlarge", instance_count=count, base_job_name="prepare",
        sagemaker_session=session, tags=[{"Key": "team", "Value": "data"}], **more,
    )  # fmt: skip


sm.create_experiment(ExperimentName="customers")
# One host, inputs from this folder and from S3, two outputs, one of them where the SDK puts it.
processor = sklearn(1)
said = io.StringIO()
began = time.monotonic()
with contextlib.redirect_stdout(said):
    processor.run(
        code=f"{code}/prepare.py",
        inputs=[ProcessingInput(source="customers", destination="/opt/ml/processing/input")],
        outputs=outputs("one"),
        arguments=["--split", "0.5"],
        experiment_config={"ExperimentName": "customers", "TrialComponentDisplayName": "prepare"},
    )
facts["one"] = {
    "seconds": time.monotonic() - began,
    "logs": said.getvalue(),
    "describe": json.loads(json.dumps(processor.latest_job.describe(), default=str)),
    "train": keys(f"s3://{bucket}/processing/one/train"),
    "test": keys(processor.latest_job.outputs[1].destination),
    "train_rows": S3Downloader.read_file(f"s3://{bucket}/processing/one/train/algo-1.csv", session).count("\n") - 1,
    "columns": S3Downloader.read_file(f"s3://{bucket}/processing/one/train/algo-1.csv", session).split("\n")[0],
}
again = ProcessingJob.from_processing_name(session, processor.latest_job.job_name)
by_arn = ProcessingJob.from_processing_arn(session, facts["one"]["describe"]["ProcessingJobArn"])
facts["found"] = {
    "inputs": [(one.input_name, one.destination, one.s3_data_type) for one in again.inputs],
    "outputs": [(one.output_name, one.source, one.destination) for one in by_arn.outputs],
    "tags": sm.list_tags(ResourceArn=facts["one"]["describe"]["ProcessingJobArn"])["Tags"],
}


# Four files for four hosts: one each when they are sharded, and then the one that algo-1 needs is elsewhere.
def spread(how, name):
    four = sklearn(4, env={"NEEDS": "part-2.csv"})
    text = io.StringIO()
    told = {}
    with contextlib.redirect_stdout(text):
        try:
            four.run(
                code=f"{code}/prepare.py",
                inputs=[ProcessingInput(source=data, destination="/opt/ml/processing/input", s3_data_distribution_type=how)],
                outputs=outputs(name),
            )
        except UnexpectedStatusException as problem:
            told = {"text": str(problem), "actual": problem.actual_status}
    described = four.latest_job.describe()
    lines = [line.strip() for line in text.getvalue().splitlines() if " sees " in line]
    files = keys(f"s3://{bucket}/processing/{name}/train")
    return {"failure": told, "sees": sorted(lines), "train": files, "message": described.get("ExitMessage")}


facts["sharded"] = spread("ShardedByS3Key", "sharded")
facts["replicated"] = spread("FullyReplicated", "replicated")

# A source bundle with requirements, through the SDK's own runproc.sh.
framework = FrameworkProcessor(
    estimator_cls=SKLearn, framework_version="1.2-1", role=role, instance_count=1, instance_type="ml.m5.large", sagemaker_session=session
)
framework.run(
    code="work.py",
    source_dir=f"{code}/bundle",
    outputs=[ProcessingOutput(output_name="seen", source="/opt/ml/processing/output", destination=f"s3://{bucket}/processing/framework")],
    arguments=["--words", "two words"],
    logs=False,
)
facts["framework"] = {
    "entry": framework.latest_job.describe()["AppSpecification"]["ContainerEntrypoint"],
    "seen": json.loads(S3Downloader.read_file(f"s3://{bucket}/processing/framework/seen.json", session)),
}

# A script on a plain image, stopped on its way.
script = ScriptProcessor(
    command=["python3"],
    image_uri=sagemaker.image_uris.retrieve("sklearn", session.boto_region_name, version="1.2-1"),
    role=role,
    instance_count=1,
    instance_type="ml.t3.medium",
    max_runtime_in_seconds=900,
    sagemaker_session=session,
)
script.run(code=f"{code}/patient.py", wait=False, logs=False, job_name="patient")
logs = boto3.client("logs")
while not any(
    event["message"] == "waiting"
    for event in (
        logs.filter_log_events(logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix="patient/")["events"]
        if logs.describe_log_streams(logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix="patient/")["logStreams"]
        else []
    )
):
    time.sleep(0.1)
session.stop_processing_job("patient")
facts["stopped"] = session.wait_for_processing_job("patient", poll=1)["ProcessingJobStatus"]

# A container of one's own command, alone, within a network of one's own that leads nowhere.
alone = Processor(
    image_uri=script.image_uri,
    entrypoint=["/bin/bash", "-c", "cat /opt/ml/config/processingjobconfig.json > /opt/ml/processing/config/job.json"],
    role=role,
    instance_count=1,
    instance_type="ml.m5.large",
    network_config=NetworkConfig(enable_network_isolation=True, subnets=["subnet-1"], security_group_ids=["sg-1"]),
    sagemaker_session=session,
)
alone.run(
    outputs=[
        ProcessingOutput(source="/opt/ml/processing/config", destination=f"s3://{bucket}/processing/alone", s3_upload_mode="Continuous")
    ],
    logs=False,
)
facts["alone"] = {
    "config": json.loads(S3Downloader.read_file(f"s3://{bucket}/processing/alone/job.json", session)),
    "describe": json.loads(json.dumps(alone.latest_job.describe(), default=str)),
}
until = time.monotonic() + 120
while not (components := sm.list_trial_components(SourceArn=facts["one"]["describe"]["ProcessingJobArn"])["TrialComponentSummaries"]):
    assert time.monotonic() < until
    time.sleep(0.2)
component = sm.describe_trial_component(TrialComponentName=components[0]["TrialComponentName"])
facts["component"] = {key: component[key] for key in ("TrialComponentName", "DisplayName", "InputArtifacts", "OutputArtifacts")}
facts["waiter"] = sm.get_waiter("processing_job_completed_or_stopped").wait(ProcessingJobName="patient")
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
