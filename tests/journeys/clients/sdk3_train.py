"""SageMaker SDK v3: ModelTrainer in script mode and with built-in XGBoost, then model and endpoint by core resources."""

import io
import json
import os
import sys
import tarfile
import time

import boto3
import numpy as np
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import Endpoint, EndpointConfig, Model, TrainingJob
from sagemaker.core.shapes import ContainerDefinition, MetricDefinition, ProductionVariant
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode, StoppingCondition
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

code = sys.argv[1]
facts = {}
iris = load_iris()
x_train, x_test, y_train, y_test = train_test_split(iris.data, iris.target, test_size=0.33, random_state=42, stratify=iris.target)
np.savetxt("iris_train.csv", np.column_stack((y_train, x_train)), delimiter=",", fmt="%0.3f")
np.savetxt("iris_test.csv", np.column_stack((y_test, x_test)), delimiter=",", fmt="%0.3f")
session = Session()
role = get_execution_role(session)
bucket = session.default_bucket()
train = session.upload_data("iris_train.csv", key_prefix="v3")
test = session.upload_data("iris_test.csv", key_prefix="v3")
compute = Compute(instance_type="ml.m5.large", instance_count=1)
limit = StoppingCondition(max_runtime_in_seconds=600)

for name, image in (
    ("base", image_uris.get_base_python_image_uri(session.boto_region_name, py_version="310")),
    ("sklearn", image_uris.retrieve("sklearn", session.boto_region_name, version="1.2-1")),
):
    trainer = ModelTrainer(
        training_image=image,
        role=role,
        sagemaker_session=session,
        base_job_name=f"v3-{name}",
        source_code=SourceCode(source_dir=code, entry_script="train.py"),
        compute=compute,
        hyperparameters={"epochs": 3, "rate": 0.01},
        stopping_condition=limit,
    ).with_metric_definitions([MetricDefinition(name="loss", regex=r"loss=([0-9.]+);")])
    trainer.train(input_data_config=[InputData(channel_name="train", data_source=train)], wait=True, logs=True)
    job = TrainingJob.get(trainer._latest_training_job.training_job_name)
    where = job.model_artifacts.s3_model_artifacts[len("s3://") :].split("/", 1)
    archive = boto3.client("s3").get_object(Bucket=where[0], Key=where[1])["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        seen = json.load(tar.extractfile("seen.json"))
    facts[name] = {
        "image": image,
        "status": job.training_job_status,
        "metrics": {m.metric_name: m.value for m in job.final_metric_data_list},
        "entry": job.algorithm_specification.container_entrypoint,
        "seen": seen,
    }

built_in = image_uris.retrieve("xgboost", session.boto_region_name, version="1.0-1")
trainer = ModelTrainer(
    training_image=built_in,
    role=role,
    sagemaker_session=session,
    base_job_name="v3-xgboost",
    compute=compute,
    stopping_condition=limit,
    hyperparameters={
        "eta": 0.1, "max_depth": 10, "gamma": 4, "num_class": 3, "alpha": 10, "min_child_weight": 6,
        "objective": "multi:softmax", "num_round": 30,
    },
)  # fmt: skip
trainer.train(
    input_data_config=[
        InputData(channel_name="train", data_source=train, content_type="csv"),
        InputData(channel_name="validation", data_source=test, content_type="csv"),
    ]
)
job = TrainingJob.get(trainer._latest_training_job.training_job_name)
facts["xgboost"] = {"status": job.training_job_status, "metrics": {m.metric_name: m.value for m in job.final_metric_data_list}}
facts["listed"] = [j.training_job_name for j in TrainingJob.get_all(name_contains="v3-", status_equals="Completed")]

stamp = str(int(time.time()))
model = Model.create(
    model_name=f"v3-{stamp}",
    primary_container=ContainerDefinition(image=built_in, model_data_url=job.model_artifacts.s3_model_artifacts),
    execution_role_arn=role,
)
variant = ProductionVariant(variant_name="all", model_name=model.model_name, initial_instance_count=1, instance_type="ml.m5.large")
config = EndpointConfig.create(endpoint_config_name=f"v3-{stamp}", production_variants=[variant])
endpoint = Endpoint.create(endpoint_name=f"v3-{stamp}", endpoint_config_name=config.endpoint_config_name)
endpoint.wait_for_status("InService", poll=1)
answers = []
for row in x_test:
    answer = endpoint.invoke(body=",".join(map(str, row)), content_type="text/csv")
    answers.append(float(answer.body.read().decode()))
facts["accuracy"] = float(np.mean(np.array(answers) == y_test))
facts["first"] = answers[0]
endpoint.delete()
config.delete()
model.delete()
endpoint.wait_for_delete(poll=1, timeout=60)
facts["models_left"] = [m.model_name for m in Model.get_all(name_contains=f"v3-{stamp}")]
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
