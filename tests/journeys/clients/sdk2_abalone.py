"""SageMaker SDK v2: the course's pipeline, process → train → evaluate → condition → register, create, transform or fail."""

import json
import os
import sys
import time

import boto3
import numpy as np
import pandas as pd
import sagemaker
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.model import Model
from sagemaker.model_metrics import MetricsSource, ModelMetrics
from sagemaker.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
from sagemaker.sklearn.processing import SKLearnProcessor
from sagemaker.transformer import Transformer
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionLessThanOrEqualTo
from sagemaker.workflow.fail_step import FailStep
from sagemaker.workflow.functions import Join, JsonGet
from sagemaker.workflow.model_step import ModelStep
from sagemaker.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.properties import PropertyFile
from sagemaker.workflow.steps import CacheConfig, ProcessingStep, TrainingStep, TransformStep

code, facts = sys.argv[1], {}
session = sagemaker.Session()
role, bucket = sagemaker.get_execution_role(session), session.default_bucket()
pipeline_session = PipelineSession()
sm = boto3.client("sagemaker")

random = np.random.default_rng(3)
length = random.uniform(0.1, 0.8, 400)
shells = pd.DataFrame({"sex": random.choice(list("MFI"), 400), "length": length, "weight": 2.5 * length**3 + random.normal(0, 0.02, 400)})
shells["rings"] = np.round(3 + 14 * length + random.normal(0, 0.7, 400)).clip(1)
os.makedirs("abalone", exist_ok=True)
shells.to_csv("abalone/shells.csv", index=False)
shells.drop(columns=["sex", "rings"]).assign(f=0, i=0, m=1).head(20).to_csv("abalone/batch.csv", header=False, index=False)
uri = session.upload_data("abalone", key_prefix="abalone")

instances = ParameterInteger(name="ProcessingInstanceCount", default_value=1)
status = ParameterString(name="ModelApprovalStatus", default_value="PendingManualApproval")
data = ParameterString(name="InputData", default_value=f"{uri}/shells.csv")
batch = ParameterString(name="BatchData", default_value=f"{uri}/batch.csv")
threshold = ParameterFloat(name="MseThreshold", default_value=6.0)
cache = CacheConfig(enable_caching=True, expire_after="30d")

processor = SKLearnProcessor(
    framework_version="1.2-1", instance_type="ml.m5.xlarge", instance_count=instances, base_job_name="abalone-process",
    role=role, sagemaker_session=pipeline_session,
)  # fmt: skip
process = ProcessingStep(
    name="AbaloneProcess",
    step_args=processor.run(
        inputs=[ProcessingInput(source=data, destination="/opt/ml/processing/input")],
        outputs=[ProcessingOutput(output_name=name, source=f"/opt/ml/processing/{name}") for name in ("train", "validation", "test")],
        code=f"{code}/preprocess.py",
        arguments=["--seed", "7"],
    ),
    cache_config=cache,
)
image = sagemaker.image_uris.retrieve("xgboost", session.boto_region_name, version="1.7-1")
xgb = Estimator(
    image_uri=image, instance_type="ml.m5.xlarge", instance_count=1, output_path=f"s3://{bucket}/abalone/train", role=role,
    sagemaker_session=pipeline_session,
)  # fmt: skip
xgb.set_hyperparameters(objective="reg:linear", num_round=30, max_depth=4, eta=0.3)
outputs = process.properties.ProcessingOutputConfig.Outputs
train = TrainingStep(
    name="AbaloneTrain",
    step_args=xgb.fit(
        inputs={name: TrainingInput(s3_data=outputs[name].S3Output.S3Uri, content_type="text/csv") for name in ("train", "validation")}
    ),
    cache_config=cache,
)
artifact = train.properties.ModelArtifacts.S3ModelArtifacts
evaluator = ScriptProcessor(
    image_uri=image, command=["python3"], instance_type="ml.m5.xlarge", instance_count=1, base_job_name="abalone-eval", role=role,
    sagemaker_session=pipeline_session,
)  # fmt: skip
report = PropertyFile(name="EvaluationReport", output_name="evaluation", path="evaluation.json")
evaluate = ProcessingStep(
    name="AbaloneEval",
    step_args=evaluator.run(
        inputs=[
            ProcessingInput(source=artifact, destination="/opt/ml/processing/model"),
            ProcessingInput(source=outputs["test"].S3Output.S3Uri, destination="/opt/ml/processing/test"),
        ],
        outputs=[ProcessingOutput(output_name="evaluation", source="/opt/ml/processing/evaluation")],
        code=f"{code}/evaluate.py",
    ),
    property_files=[report],
)
model = Model(image_uri=image, model_data=artifact, sagemaker_session=pipeline_session, role=role)
create = ModelStep(name="AbaloneCreateModel", step_args=model.create(instance_type="ml.m5.large"))
transformer = Transformer(
    model_name=create.properties.ModelName, instance_type="ml.m5.xlarge", instance_count=1, output_path=f"s3://{bucket}/AbaloneTransform",
    sagemaker_session=pipeline_session,
)  # fmt: skip
transform = TransformStep(name="AbaloneTransform", step_args=transformer.transform(data=batch, content_type="text/csv"))
metrics = ModelMetrics(
    model_statistics=MetricsSource(
        s3_uri=f"{evaluate.arguments['ProcessingOutputConfig']['Outputs'][0]['S3Output']['S3Uri']}/evaluation.json",
        content_type="application/json",
    )
)
register = ModelStep(
    name="AbaloneRegisterModel",
    step_args=model.register(
        content_types=["text/csv"], response_types=["text/csv"], inference_instances=["ml.t2.medium"], transform_instances=["ml.m5.xlarge"],
        model_package_group_name="AbaloneModelPackageGroupName", approval_status=status, model_metrics=metrics,
    ),
)  # fmt: skip
fail = FailStep(name="AbaloneMSEFail", error_message=Join(on=" ", values=["Execution failed due to MSE >", threshold]))
mse = JsonGet(step_name=evaluate.name, property_file=report, json_path="regression_metrics.mse.value")
check = ConditionStep(
    name="AbaloneMSECond",
    conditions=[ConditionLessThanOrEqualTo(left=mse, right=threshold)],
    if_steps=[register, create, transform],
    else_steps=[fail],
)
pipeline = Pipeline(
    name="AbalonePipeline",
    parameters=[instances, status, data, batch, threshold],
    steps=[process, train, evaluate, check],
    sagemaker_session=pipeline_session,
)
facts["arn"] = pipeline.upsert(role_arn=role)["PipelineArn"]


def run(**parameters):
    began = time.monotonic()
    execution = pipeline.start(parameters=parameters)
    while execution.describe()["PipelineExecutionStatus"] == "Executing":
        time.sleep(0.2)
    rows = execution.list_steps()
    return execution, {
        "status": execution.describe()["PipelineExecutionStatus"],
        "steps": {row["StepName"]: [row["StepStatus"], row.get("FailureReason", "")] for row in rows},
        "cached": sorted(row["StepName"] for row in rows if "CacheHitResult" in row),
        "seconds": time.monotonic() - began,
        "metadata": {row["StepName"]: row["Metadata"] for row in rows},
    }


execution, facts["good"] = run()
execution.wait(delay=1)
package = facts["good"]["metadata"]["AbaloneRegisterModel-RegisterModel"]["RegisterModel"]["Arn"]
said = sm.describe_model_package(ModelPackageName=package)
facts["package"] = {
    "arn": package,
    "status": said["ModelApprovalStatus"],
    "metrics": said["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"],
}
lines = sagemaker.s3.S3Downloader.read_file(f"s3://{bucket}/AbaloneTransform/batch.csv.out", session).split()
facts["predictions"] = [float(line) for line in lines]
trial = execution.describe()["PipelineExperimentConfig"]["TrialName"]
facts["components"] = len(sm.list_trial_components(TrialName=trial)["TrialComponentSummaries"])
_, facts["bad"] = run(MseThreshold=0.001)
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
