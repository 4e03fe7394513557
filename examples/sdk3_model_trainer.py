"""SageMaker Python SDK v3: built-in XGBoost by ModelTrainer, deployed and called through the core resources.

modelyard run -- python sdk3_model_trainer.py
"""

from pathlib import Path

from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import Endpoint, EndpointConfig, Model, TrainingJob
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, StoppingCondition

session = Session()
role = get_execution_role(session)
image = image_uris.retrieve("xgboost", session.boto_region_name, version="1.7-1")

trainer = ModelTrainer(
    training_image=image,
    role=role,
    base_job_name="iris-v3",
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
    hyperparameters={"objective": "multi:softmax", "num_class": 3, "num_round": 30},
    sagemaker_session=session,
)
flowers = str(Path(__file__).with_name("iris.csv"))
trainer.train(input_data_config=[InputData(channel_name="train", data_source=flowers, content_type="text/csv")])
job = next(TrainingJob.get_all(name_contains="iris-v3", sort_by="CreationTime", sort_order="Descending"))
job.refresh()
print(job.training_job_name, job.training_job_status)

name = job.training_job_name
container = ContainerDefinition(image=image, model_data_url=job.model_artifacts.s3_model_artifacts)
model = Model.create(model_name=name, primary_container=container, execution_role_arn=role)
variant = ProductionVariant(variant_name="all", model_name=name, initial_instance_count=1, instance_type="ml.m5.large")
config = EndpointConfig.create(endpoint_config_name=name, production_variants=[variant])
endpoint = Endpoint.create(endpoint_name=name, endpoint_config_name=name)
endpoint.wait_for_status("InService", poll=1)
for flower in ("5.1,3.5,1.4,0.2", "6.3,2.8,5.1,1.5", "6.3,3.3,6.0,2.5"):
    answer = endpoint.invoke(body=flower, content_type="text/csv")
    print(flower, "is of class", answer.body.read().decode().strip())
endpoint.delete()
config.delete()
model.delete()
