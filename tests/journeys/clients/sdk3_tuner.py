"""SageMaker SDK v3: HyperparameterTuner with a ModelTrainer in script mode, and with the built-in XGBoost."""

import json
import os
import sys

import boto3
import numpy as np
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.parameter import ContinuousParameter, IntegerParameter
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig, SourceCode, StoppingCondition
from sagemaker.train.tuner import HyperparameterTuner
from sklearn.datasets import load_iris

code = sys.argv[1]
iris = load_iris()
np.savetxt("iris_train.csv", np.column_stack((iris.target, iris.data)), delimiter=",", fmt="%0.3f")
session = Session()
role, bucket = get_execution_role(session), session.default_bucket()
train = session.upload_data("iris_train.csv", key_prefix="v3-tuning")
client, facts = boto3.client("sagemaker"), {}
common = {
    "role": role,
    "sagemaker_session": session,
    "compute": Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5),
    "stopping_condition": StoppingCondition(max_runtime_in_seconds=600),
    "output_data_config": OutputDataConfig(s3_output_path=f"s3://{bucket}/v3-tuning/out"),
}


def run(name, trainer, inputs, **more):
    tuner = HyperparameterTuner(trainer, max_jobs=4, max_parallel_jobs=2, objective_type="Minimize", base_tuning_job_name=name, **more)
    tuner.tune(inputs, wait=True)
    said = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=tuner.latest_tuning_job.hyper_parameter_tuning_job_name)
    rows = client.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=said["HyperParameterTuningJobName"])
    facts[name] = {
        "status": said["HyperParameterTuningJobStatus"],
        "counters": said["TrainingJobStatusCounters"],
        "best": tuner.best_training_job(),
        "jobs": rows["TrainingJobSummaries"],
    }


script = ModelTrainer(
    training_image=image_uris.retrieve("sklearn", session.boto_region_name, version="1.2-1"),
    base_job_name="v3-script",
    source_code=SourceCode(source_dir=code, entry_script="train.py"),
    hyperparameters={"epochs": 20},
    **common,
)
run(
    "script",
    script,
    [InputData(channel_name="train", data_source=train)],
    objective_metric_name="loss",
    hyperparameter_ranges={"rate": ContinuousParameter(0.001, 0.03)},
    metric_definitions=[{"Name": "loss", "Regex": r"loss=([0-9.]+);"}],
    strategy="Random",
    random_seed=1,
)
built_in = ModelTrainer(
    training_image=image_uris.retrieve("xgboost", session.boto_region_name, version="1.7-1"),
    base_job_name="v3-built-in",
    hyperparameters={"objective": "multi:softmax", "num_class": "3", "num_round": "10"},
    **common,
)
run(
    "built-in",
    built_in,
    [InputData(channel_name=n, data_source=train, content_type="text/csv") for n in ("train", "validation")],
    objective_metric_name="validation:merror",
    hyperparameter_ranges={"max_depth": IntegerParameter(1, 6), "eta": ContinuousParameter(0.1, 0.5)},
)
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file, default=str)
