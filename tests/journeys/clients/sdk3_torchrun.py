"""SageMaker SDK v3: ModelTrainer with its torchrun driver on the PyTorch image, then ModelBuilder of what it trained."""

import io
import json
import os
import sys
import tarfile

import boto3
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import TrainingJob
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode
from sagemaker.train.distributed import Torchrun

session = Session()
image = image_uris.retrieve(
    "pytorch", session.boto_region_name, version="2.1.0", py_version="py310", image_scope="training", instance_type="ml.m5.large"
)
trainer = ModelTrainer(
    training_image=image,
    role=get_execution_role(session),
    sagemaker_session=session,
    base_job_name="v3-torchrun",
    source_code=SourceCode(source_dir=sys.argv[1], entry_script="train.py"),
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    distributed=Torchrun(process_count_per_node=2),
)
trainer.train(wait=True, logs=True)
job = TrainingJob.get(trainer._latest_training_job.training_job_name)
bucket, key = job.model_artifacts.s3_model_artifacts.removeprefix("s3://").split("/", 1)
body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
with tarfile.open(fileobj=io.BytesIO(body)) as tar:
    ranks = [json.load(tar.extractfile(name)) for name in tar.getnames() if "rank-" in name]
role = get_execution_role(session)
image = image.replace("pytorch-training", "pytorch-inference")
builder = ModelBuilder(model=trainer, role_arn=role, sagemaker_session=session, image_uri=image)
model = builder.build(model_name="v3-torch")
endpoint = builder.deploy(endpoint_name="v3-torch", initial_instance_count=1, instance_type="ml.m5.large", wait=False)
endpoint.wait_for_status("InService", poll=1)
answer = json.loads(endpoint.invoke(body="[[1.0, 2.0]]", content_type="application/json").body.read())
endpoint.delete()
with open(os.environ["FACTS"], "w") as file:
    json.dump(
        {"status": job.training_job_status, "entry": job.algorithm_specification.container_entrypoint, "ranks": ranks, "answer": answer},
        file,
    )
