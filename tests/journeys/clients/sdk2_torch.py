"""SageMaker SDK v2: the PyTorch estimator, its endpoint, a second model by TorchScript; then Hugging Face from fit to predict."""

import io
import json
import os
import sys
import tarfile

import boto3
import numpy as np
import sagemaker
from sagemaker import image_uris
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.huggingface import HuggingFaceModel
from sagemaker.pytorch import PyTorch
from sagemaker.serializers import CSVSerializer, JSONSerializer
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

code, facts = sys.argv[1], {}
iris = load_iris()
x_train, x_test, y_train, y_test = train_test_split(iris.data, iris.target, test_size=0.33, random_state=42, stratify=iris.target)
np.savetxt("iris_train.csv", np.column_stack((y_train, x_train)), delimiter=",", fmt="%0.3f")
session = sagemaker.Session()
role = sagemaker.get_execution_role(session)
train = session.upload_data("iris_train.csv", key_prefix="torch")
common = {"role": role, "instance_count": 1, "instance_type": "ml.m5.large", "sagemaker_session": session}


def archive(uri):
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return tarfile.open(fileobj=io.BytesIO(body))


def endpoint(model, name, **more):
    predictor = model.deploy(1, "ml.m5.large", endpoint_name=name, wait=False, **more)
    session.wait_for_endpoint(name, poll=1)
    return predictor


estimator = PyTorch(
    entry_point="train.py", source_dir=f"{code}/torch", framework_version="2.1.0", py_version="py310",
    hyperparameters={"epochs": 150, "lr": 0.05}, metric_definitions=[{"Name": "train:accuracy", "Regex": r"train_accuracy=([0-9.]+);"}], **common,
)  # fmt: skip
estimator.fit({"train": train}, job_name="pt-iris", wait=False)
estimator.latest_training_job.wait(logs="None")
told = estimator.latest_training_job.describe()
facts["image"] = told["AlgorithmSpecification"]["TrainingImage"]
facts["metrics"] = {metric["MetricName"]: metric["Value"] for metric in told["FinalMetricDataList"]}
with archive(f"s3://{session.default_bucket()}/pt-iris/output/output.tar.gz") as tar:
    facts["seen"] = json.load(tar.extractfile("seen.json"))

predictor = endpoint(estimator.create_model(entry_point="inference.py", source_dir=f"{code}/torch"), "pt-iris")
facts["labels"] = [int(y) for y in y_test]
facts["npy"] = np.asarray(predictor.predict(x_test.astype(np.float32))).tolist()
predictor.serializer, predictor.deserializer = CSVSerializer(), JSONDeserializer()
facts["csv"] = predictor.predict(x_test)
predictor.delete_endpoint()

uri = image_uris.retrieve(
    "huggingface", session.boto_region_name, version="4.49.0", base_framework_version="pytorch2.5.1", image_scope="training",
    instance_type="ml.g5.xlarge", py_version="py311",
)  # fmt: skip
facts["hf_image"] = uri
texts = Estimator(image_uri=uri, entry_point="train.py", source_dir=f"{code}/hf", **common)
texts.fit(job_name="hf-texts", wait=False)
texts.latest_training_job.wait(logs="None")
model = HuggingFaceModel(
    model_data=texts.model_data, role=role, transformers_version="4.49.0", pytorch_version="2.6.0", py_version="py312",
    env={"HF_TASK": "text-classification"}, sagemaker_session=session,
)  # fmt: skip
asking = endpoint(model, "hf-texts", serializer=JSONSerializer(), deserializer=JSONDeserializer())
facts["texts"] = [asking.predict({"inputs": text})[0]["label"] for text in ("a good film", "a bad film")]
try:
    asking.predict({"inputs": "a good film", "parameters": {"no_such": 1}})
except session.sagemaker_runtime_client.exceptions.ModelError as problem:
    facts["refused"] = [problem.response["OriginalStatusCode"], problem.response["OriginalMessage"]]
asking.delete_endpoint()
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
