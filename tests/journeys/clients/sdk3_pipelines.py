"""SageMaker SDK v3: a processing step and functions as steps in one pipeline."""

import json
import os
import time

import boto3
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output
from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.function_step import step
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode

facts = {}
session = PipelineSession()
role = get_execution_role(Session())
bucket = session.default_bucket()
image = "470317259841.dkr.ecr.us-east-1.amazonaws.com/sagemaker-base-python:1.0"
most, colour = ParameterInteger("Most", default_value=5), ParameterString("Colour", default_value="green")

with open("count.py", "w") as file:
    file.write("import json, os, sys\nos.makedirs('/opt/ml/processing/report', exist_ok=True)\n")
    file.write("json.dump({'count': {'value': int(sys.argv[1])}}, open('/opt/ml/processing/report/count.json', 'w'))\n")
processor = ScriptProcessor(
    image_uri=image, command=["python3"], role=role, instance_type="ml.m5.large", instance_count=1, sagemaker_session=session
)
uri = Join(on="/", values=["s3:/", bucket, "v3-pipeline/report"])
output = ProcessingOutput(
    output_name="report", s3_output=ProcessingS3Output(s3_uri=uri, local_path="/opt/ml/processing/report", s3_upload_mode="EndOfJob")
)
report = PropertyFile(name="Report", output_name="report", path="count.json")
count = ProcessingStep(
    name="Count",
    step_args=processor.run(code="count.py", arguments=["7"], outputs=[output]),
    property_files=[report],
    cache_config=CacheConfig(enable_caching=True, expire_after="P1D"),
)


@step(name="double", role=role, instance_type="ml.m5.large", image_uri=image)
def double(number, colour):
    return {"number": 2 * number, "colour": colour}


trainer = ModelTrainer(
    training_image=image,
    role=role,
    sagemaker_session=session,
    source_code=SourceCode(command="echo $SM_HP_MOST > /opt/ml/model/most.txt"),
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    hyperparameters={"most": most},
)
train = TrainingStep(name="Train", step_args=trainer.train(), cache_config=CacheConfig(enable_caching=True))


@step(name="read", role=role, instance_type="ml.m5.large", image_uri=image)
def read(uri):
    import io
    import tarfile

    import boto3

    bucket, key = uri.removeprefix("s3://").split("/", 1)
    body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return archive.extractfile("most.txt").read().decode().strip()


value = JsonGet(step_name="Count", property_file=report, json_path="count.value")
check = ConditionStep(
    name="Enough",
    conditions=[ConditionGreaterThanOrEqualTo(left=value, right=most)],
    if_steps=[double(most, colour), train, read(train.properties.ModelArtifacts.S3ModelArtifacts)],
    else_steps=[FailStep(name="TooFew", error_message=Join(on=" ", values=["fewer than", most]))],
)
pipeline = Pipeline(name="v3-pipeline", parameters=[most, colour], steps=[count, check], sagemaker_session=session)
facts["arn"] = pipeline.upsert(role_arn=role)["PipelineArn"]
sm = boto3.client("sagemaker")
for name, parameters in (("enough", {}), ("few", {"Most": 9})):
    execution = pipeline.start(parameters=parameters)
    arn = execution.arn
    while sm.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"] in ("Executing", "Stopping"):
        time.sleep(0.2)
    rows = execution.list_steps()
    facts[name] = {
        "status": sm.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"],
        "steps": {row["StepName"]: [row["StepStatus"], row.get("FailureReason", "")] for row in rows},
        "cached": [row["StepName"] for row in rows if "CacheHitResult" in row],
    }
    if name == "enough":
        facts["double"], facts["read"] = execution.result("double"), execution.result("read")
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
