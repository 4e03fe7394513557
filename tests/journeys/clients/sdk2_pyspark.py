"""SageMaker SDK v2: PySparkProcessor with Python files, a configuration and event logs: `CODE NAME HOSTS [--fail]`."""

import json
import os
import sys

import boto3
import sagemaker
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.processing import ProcessingInput, ProcessingOutput
from sagemaker.s3 import S3Downloader
from sagemaker.spark.processing import PySparkProcessor

code, name, hosts, *more = sys.argv[1:]
session = sagemaker.Session()
role, bucket = sagemaker.get_execution_role(session), session.default_bucket()
s3 = boto3.client("s3")
os.makedirs("sales", exist_ok=True)
with open("sales/sales.csv", "w") as file:
    file.write("shop,amount\n" + "".join(f"{'east' if n % 3 else 'west'},{n}\n" for n in range(300)))


def run(name, count, arguments):
    processor = PySparkProcessor(
        base_job_name="sales", framework_version="3.3", role=role, instance_count=count, instance_type="ml.m5.xlarge",
        max_runtime_in_seconds=1200, sagemaker_session=session,
    )  # fmt: skip
    told = {}
    try:
        processor.run(
            submit_app=f"{code}/sales.py",
            submit_py_files=[f"{code}/shops.py"],
            configuration=[{"Classification": "spark-defaults", "Properties": {"spark.sql.shuffle.partitions": "7"}}],
            spark_event_logs_s3_uri=f"s3://{bucket}/spark/{name}/events",
            inputs=[ProcessingInput(source="sales", destination="/opt/ml/processing/input/sales")],
            outputs=[ProcessingOutput(source="/opt/ml/processing/output", destination=f"s3://{bucket}/spark/{name}/out")],
            arguments=[*arguments, "--lake", f"s3a://{bucket}/spark/{name}/lake"],
            logs=False,
        )
        told = json.loads(S3Downloader.read_file(f"s3://{bucket}/spark/{name}/out/told.json", session))
    except UnexpectedStatusException as problem:
        told["failure"] = str(problem)
    described = processor.latest_job.describe()
    keys = [row["Key"] for row in s3.list_objects_v2(Bucket=bucket, Prefix=f"spark/{name}/").get("Contents", [])]
    seconds = (described["ProcessingEndTime"] - described["ProcessingStartTime"]).total_seconds()
    return told | {"keys": keys, "message": described.get("ExitMessage"), "seconds": seconds}


facts = run(name, int(hosts), more)
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
