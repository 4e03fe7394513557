"""SageMaker SDK v2: scikit-learn script mode from fit to attach, its failures, and what its endpoint answers."""

import contextlib
import io
import json
import os
import sys
import tarfile
import time

import boto3
import numpy as np
import sagemaker
from sagemaker.analytics import TrainingJobAnalytics
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer, NumpyDeserializer
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.serializers import CSVSerializer, JSONSerializer, NumpySerializer
from sagemaker.sklearn.estimator import SKLearn
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

code = sys.argv[1]
began = time.monotonic()
facts = {}
iris = load_iris()
x_train, x_test, y_train, y_test = train_test_split(iris.data, iris.target, test_size=0.33, random_state=42, stratify=iris.target)
np.savetxt("iris_train.csv", np.column_stack((y_train, x_train)), delimiter=",", fmt="%0.3f")

session = sagemaker.Session()
role = sagemaker.get_execution_role(session)
data = session.upload_data("iris_train.csv", key_prefix="script-mode")


def estimator(**hyperparameters):
    return SKLearn(
        entry_point="train.py",
        source_dir=code,
        framework_version="1.2-1",
        py_version="py3",
        role=role,
        instance_count=1,
        instance_type="ml.m5.large",
        hyperparameters=hyperparameters,
        environment={"COLOUR": "green"},
        metric_definitions=[{"Name": "train:accuracy", "Regex": r"train_accuracy=([0-9.]+);"}],
        tags=[{"Key": "team", "Value": "iris"}],
        sagemaker_session=session,
    )


trained = estimator(C=0.5, **{"max-iter": 200})
trained.fit({"train": data}, job_name="sk-good", wait=False)
trained.latest_training_job.wait(logs="None")
facts["job"] = trained.latest_training_job.name
facts["describe"] = json.loads(json.dumps(trained.latest_training_job.describe(), default=str))

out = f"s3://{session.default_bucket()}/sk-good/output/output.tar.gz"
bucket, key = out[5:].split("/", 1)
archive = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
    facts["dump"] = json.load(tar.extractfile("environment.json"))

said = io.StringIO()
with contextlib.redirect_stdout(said):
    session.logs_for_job("sk-good", wait=False)
facts["logs"] = said.getvalue()
attached = SKLearn.attach("sk-good", sagemaker_session=session)
facts["attached"] = {
    "hyperparameters": {k: v for k, v in attached.hyperparameters().items() if not k.startswith("sagemaker_")},
    "model_data": attached.model_data,
    "role": attached.role,
    "instance_type": attached.instance_type,
    "tags": attached.tags,
}
frame = TrainingJobAnalytics("sk-good", ["train:accuracy"], sagemaker_session=session).dataframe()
facts["analytics"] = {"columns": list(frame.columns), "rows": frame.to_dict("records")}

failing = estimator(mode="fail")
try:
    failing.fit({"train": data}, job_name="sk-bad", logs=False)
except UnexpectedStatusException as problem:
    facts["failure"] = {"text": str(problem), "actual": problem.actual_status, "allowed": problem.allowed_statuses}

stopping = estimator(mode="sleep")
stopping.fit({"train": data}, job_name="sk-stop", wait=False)
sm = boto3.client("sagemaker")
while sm.describe_training_job(TrainingJobName="sk-stop")["SecondaryStatus"] != "Training":
    time.sleep(0.2)
session.stop_training_job("sk-stop")
stopped = session.wait_for_job("sk-stop", poll=1)
facts["stopped"] = {k: stopped[k] for k in ("TrainingJobStatus", "SecondaryStatus")}

predictor = trained.deploy(1, "ml.m5.large", endpoint_name="sk-iris", wait=False)
session.wait_for_endpoint("sk-iris", poll=1)
pairs = {
    "json": (JSONSerializer(), JSONDeserializer()),
    "csv": (CSVSerializer(), CSVDeserializer()),
    "npy": (NumpySerializer(), NumpyDeserializer()),
}
for name, (serializer, deserializer) in pairs.items():
    predictor.serializer, predictor.deserializer = serializer, deserializer
    answer = predictor.predict(x_test.tolist() if name == "json" else x_test)
    facts[name] = np.asarray(answer, dtype=float).ravel().tolist()
facts["labels"] = [int(y) for y in y_test]

config = session.sagemaker_client.describe_endpoint(EndpointName="sk-iris")["EndpointConfigName"]
predictor.update_endpoint(initial_instance_count=2, instance_type="ml.m5.xlarge", wait=False)
session.wait_for_endpoint("sk-iris", poll=1)
updated = session.sagemaker_client.describe_endpoint(EndpointName="sk-iris")
facts["updated"] = {
    "config_changed": updated["EndpointConfigName"] != config,
    "count": updated["ProductionVariants"][0]["CurrentInstanceCount"],
    "answer": predictor.predict(x_test[:1]).tolist(),
}
arn = updated["EndpointArn"]
sm.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "test"}])
facts["tags"] = sm.list_tags(ResourceArn=arn)["Tags"]
models = [m["ModelName"] for m in sm.list_models()["Models"]]
predictor.delete_model()
left = [m["ModelName"] for m in sm.list_models()["Models"]]
facts["deleted_models"] = sorted(set(models) - set(left))
predictor.delete_endpoint()
facts["seconds"] = time.monotonic() - began
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
