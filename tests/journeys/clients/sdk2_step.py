"""SageMaker SDK v2: functions as steps of a pipeline; results, parameters, conditions and failures."""

import json
import os
import time

import sagemaker
from sagemaker.remote_function.errors import RemoteFunctionError
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionGreaterThan
from sagemaker.workflow.fail_step import FailStep
from sagemaker.workflow.function_step import step
from sagemaker.workflow.parameters import ParameterInteger
from sagemaker.workflow.pipeline import Pipeline

facts = {}
session = sagemaker.Session()
role = sagemaker.get_execution_role(session)
common = {
    "role": role,
    "instance_type": "ml.m5.large",
    "image_uri": "470317259841.dkr.ecr.us-east-1.amazonaws.com/sagemaker-base-python:1.0",
}


@step(name="load", **common)
def load(rows):
    return {"rows": list(range(rows)), "name": "numbers"}


@step(name="total", **common)
def total(rows, scale):
    return sum(rows) * scale


@step(name="boom", **common)
def boom(value):
    raise ValueError(f"cannot use {value}")


rows, scale = ParameterInteger("Rows", default_value=3), ParameterInteger("Scale", default_value=10)
loaded = load(rows)
summed = total(loaded["rows"], scale)
check = ConditionStep(
    name="enough",
    conditions=[ConditionGreaterThan(left=summed, right=40)],
    if_steps=[boom(summed)],
    else_steps=[FailStep(name="too-few", error_message="too few rows")],
)
pipeline = Pipeline(name="FunctionPipeline", parameters=[rows, scale], steps=[check], sagemaker_session=session)
facts["created"] = pipeline.upsert(role_arn=role)["PipelineArn"]
facts["updated"] = pipeline.upsert(role_arn=role)["PipelineArn"]


def wait(execution):
    while execution.describe()["PipelineExecutionStatus"] in ("Executing", "Stopping"):
        time.sleep(0.2)
    return execution.describe()


execution = pipeline.start(parameters={"Rows": 5})
said = wait(execution)
facts["status"], facts["experiment"] = said["PipelineExecutionStatus"], said["PipelineExperimentConfig"]
facts["steps"] = {one["StepName"]: [one["StepStatus"], one.get("FailureReason", "")] for one in execution.list_steps()}
facts["load"], facts["total"] = execution.result("load"), execution.result("total")
facts["parameters"] = execution.list_parameters()["PipelineParameters"]
try:
    execution.result("boom")
except RemoteFunctionError as problem:
    facts["raised"] = str(problem)
pipeline.delete()
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
