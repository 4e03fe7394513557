"""SageMaker SDK v3: a trained model through ModelBuilder's Transformer, and the TransformJob resource."""

import json
import os

import numpy as np
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import TransformJob
from sagemaker.core.shapes import TransformDataSource, TransformInput, TransformOutput, TransformResources, TransformS3DataSource
from sagemaker.core.transformer import Transformer
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, StoppingCondition
from sklearn.datasets import load_iris

facts = {}
iris = load_iris()
np.savetxt("iris.csv", np.column_stack((iris.target, iris.data)), delimiter=",", fmt="%0.3f")
np.savetxt("rows.csv", iris.data, delimiter=",", fmt="%0.3f")
session = Session()
role = get_execution_role(session)
image = image_uris.retrieve("xgboost", session.boto_region_name, version="1.7-1")
trainer = ModelTrainer(
    role=role, base_job_name="v3t", training_image=image, sagemaker_session=session,
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
    hyperparameters={"objective": "multi:softmax", "num_class": 3, "num_round": 20},
)  # fmt: skip
data = session.upload_data("iris.csv", key_prefix="v3t")
trainer.train(input_data_config=[InputData(channel_name="train", data_source=data, content_type="text/csv")])
ModelBuilder(model=trainer, role_arn=role, sagemaker_session=session, image_uri=image).build(model_name="v3-transformed")
bucket = session.default_bucket()
rows = session.upload_data("rows.csv", key_prefix="v3t/in")


def right(prefix):
    text = session.read_s3_file(bucket, f"{prefix}/rows.csv.out")
    return float(np.mean(np.array([float(line) for line in text.split()]) == iris.target))


transformer = Transformer(
    "v3-transformed", 1, "ml.m5.large", assemble_with="Line", accept="text/csv", output_path=f"s3://{bucket}/v3t/one", sagemaker_session=session,
)  # fmt: skip
transformer.transform(rows, content_type="text/csv", split_type="Line", wait=True, logs=False)
facts["transformer"] = right("v3t/one")
job = TransformJob.create(
    transform_job_name="v3-resource",
    model_name="v3-transformed",
    transform_input=TransformInput(
        data_source=TransformDataSource(s3_data_source=TransformS3DataSource(s3_data_type="S3Prefix", s3_uri=rows)),
        content_type="text/csv", split_type="Line",
    ),
    transform_output=TransformOutput(s3_output_path=f"s3://{bucket}/v3t/two", assemble_with="Line"),
    transform_resources=TransformResources(instance_type="ml.m5.large", instance_count=1),
)  # fmt: skip
job.wait(poll=1)
facts["resource"] = [job.transform_job_status, right("v3t/two"), job.transform_output.s3_output_path]
facts["listed"] = [each.transform_job_name for each in TransformJob.get_all(name_contains="v3-resource")]
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
