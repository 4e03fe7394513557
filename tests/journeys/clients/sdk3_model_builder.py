"""SageMaker SDK v3: the model of a ModelTrainer, built and deployed by ModelBuilder; staging when the role may not use the default bucket."""

import json
import os

import boto3
import numpy as np
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.shapes import OutputDataConfig
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, StoppingCondition
from sklearn.datasets import load_iris

facts = {}
iris = load_iris()
np.savetxt("iris.csv", np.column_stack((iris.target, iris.data)), delimiter=",", fmt="%0.3f")
session = Session()
role = get_execution_role(session)
image = image_uris.retrieve("xgboost", session.boto_region_name, version="1.7-1")
common = {
    "training_image": image,
    "sagemaker_session": session,
    "compute": Compute(instance_type="ml.m5.large", instance_count=1),
    "stopping_condition": StoppingCondition(max_runtime_in_seconds=600),
    "hyperparameters": {"objective": "multi:softmax", "num_class": 3, "num_round": 20},
}
data = session.upload_data("iris.csv", key_prefix="v3b")
trainer = ModelTrainer(role=role, base_job_name="v3b", **common)
trainer.train(input_data_config=[InputData(channel_name="train", data_source=data, content_type="text/csv")])

builder = ModelBuilder(model=trainer, role_arn=role, sagemaker_session=session, image_uri=image)
model = builder.build(model_name="v3-built")
facts["model"] = {"name": model.model_name, "image": model.primary_container.image, "data": model.primary_container.model_data_url}
endpoint = builder.deploy(endpoint_name="v3-built", initial_instance_count=1, instance_type="ml.m5.large", wait=False)
endpoint.wait_for_status("InService", poll=1)
answers = []
for row in iris.data:
    answer = endpoint.invoke(body=",".join(map(str, row)), content_type="text/csv")
    answers.append(float(answer.body.read().decode()))
facts["accuracy"] = float(np.mean(np.array(answers) == iris.target))
endpoint.delete()

# The SDK checks a role by SimulatePrincipalPolicy. One that lacks permissions is refused before anything starts; one that may do
# everything but use the default bucket has what the SDK uploads staged in its own bucket.
iam, s3 = boto3.client("iam"), boto3.client("s3")
s3.create_bucket(Bucket="v3-own")
trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
narrow = iam.create_role(RoleName="v3-narrow", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", **trust}))["Role"]["Arn"]


def may(*statements):
    iam.put_role_policy(
        RoleName="v3-narrow", PolicyName="narrow", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements})
    )


def train():
    trainer = ModelTrainer(
        role=narrow, base_job_name="v3n", output_data_config=OutputDataConfig(s3_output_path="s3://v3-own/out"), **common
    )
    trainer.train(input_data_config=[InputData(channel_name="train", data_source="iris.csv", content_type="text/csv")])
    return trainer


may({"Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::v3-own", "arn:aws:s3:::v3-own/*"]})
try:
    train()
except Exception as problem:
    facts["refused"] = [type(problem).__name__, str(problem)]
default = session.default_bucket()
may(
    {"Effect": "Allow", "Action": "*", "Resource": "*"},
    {"Effect": "Deny", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{default}", f"arn:aws:s3:::{default}/*"]},
)
trainer = train()
facts["staged"] = [o["Key"] for o in s3.list_objects_v2(Bucket="v3-own")["Contents"]]
facts["narrow_model"] = trainer._latest_training_job.model_artifacts.s3_model_artifacts
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
