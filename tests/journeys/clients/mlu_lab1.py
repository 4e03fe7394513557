"""SageMaker SDK v2: iris with built-in XGBoost 1.0-1, with the calls and parameters of the MLU MLOps lab 1."""

import json
import os

import boto3
import numpy as np
import sagemaker
from sagemaker import get_execution_role
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.serializers import CSVSerializer
from sklearn import datasets
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

PREFIX = "mlops/iris"

iris = datasets.load_iris()
x_train, x_test, y_train, y_test = train_test_split(iris.data, iris.target, test_size=0.33, random_state=42, stratify=iris.target)
np.savetxt("iris_train.csv", np.column_stack((y_train, x_train)), delimiter=",", fmt="%0.3f")
np.savetxt("iris_test.csv", np.column_stack((y_test, x_test)), delimiter=",", fmt="%0.3f")

role = get_execution_role()
session = sagemaker.Session()
bucket = session.default_bucket()
train_uri = session.upload_data(path="iris_train.csv", key_prefix=f"{PREFIX}/data")
test_uri = session.upload_data(path="iris_test.csv", key_prefix=f"{PREFIX}/data")
image = sagemaker.image_uris.retrieve("xgboost", boto3.Session().region_name, version="1.0-1")

estimator = sagemaker.estimator.Estimator(
    image_uri=image,
    role=role,
    instance_count=1,
    instance_type="ml.m4.xlarge",
    output_path=f"s3://{bucket}/{PREFIX}/output",
    sagemaker_session=session,
)
estimator.set_hyperparameters(
    eta=0.1, max_depth=10, gamma=4, num_class=3, alpha=10, min_child_weight=6, silent=0, objective="multi:softmax", num_round=30
)
channels = {"train": train_uri, "validation": test_uri}
estimator.fit({name: sagemaker.inputs.TrainingInput(s3_data=uri, content_type="csv") for name, uri in channels.items()})

capture = DataCaptureConfig(
    enable_capture=True, sampling_percentage=100, destination_s3_uri=f"s3://{bucket}/{PREFIX}/monitoring", sagemaker_session=session
)
predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.m5.xlarge", data_capture_config=capture)
endpoint = predictor.endpoint_name
variants = boto3.client("sagemaker").describe_endpoint_config(EndpointConfigName=endpoint)["ProductionVariants"]
predictor.serializer = CSVSerializer()
predictions = [float(predictor.predict(row).decode("utf-8")) for row in x_test]
answer = boto3.client("sagemaker-runtime").invoke_endpoint(
    EndpointName=endpoint, ContentType="text/csv", Body=CSVSerializer().serialize(x_test[0])
)
first = float(answer["Body"].read().decode("utf-8"))
predictor.delete_endpoint()

facts = {
    "role": role,
    "bucket": bucket,
    "train_uri": train_uri,
    "image": image,
    "job": estimator.latest_training_job.name,
    "model_data": estimator.model_data,
    "endpoint": endpoint,
    "model_name": variants[0]["ModelName"],
    "first_row": CSVSerializer().serialize(x_test[0]),
    "rows": len(x_test),
    "f1": 100 * f1_score(y_test, predictions, labels=[0.0, 1.0, 2.0], average="micro"),
    "predictions": predictions,
    "first": first,
    "content_type": answer["ContentType"],
    "variant": answer["InvokedProductionVariant"],
}
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
