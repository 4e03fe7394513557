"""SageMaker SDK v2: the TensorFlow estimator, its endpoint by TensorFlow Serving's JSON, and inference.py; parameter servers on two hosts."""

import io
import json
import os
import sys
import tarfile

import boto3
import sagemaker
from sagemaker.serializers import IdentitySerializer
from sagemaker.tensorflow import TensorFlow, TensorFlowModel

code, facts = sys.argv[1], {}
session = sagemaker.Session()
role = sagemaker.get_execution_role(session)
estimator = TensorFlow(
    entry_point="train.py", source_dir=f"{code}/tf", framework_version="2.12", py_version="py310", role=role, instance_count=1,
    instance_type="ml.m5.large", hyperparameters={"epochs": 300}, metric_definitions=[{"Name": "loss", "Regex": r"loss=([0-9.]+);"}],
    sagemaker_session=session,
)  # fmt: skip
estimator.fit(job_name="tf-line", wait=False)
estimator.latest_training_job.wait(logs="None")
told = estimator.latest_training_job.describe()
facts["loss"] = told["FinalMetricDataList"][0]["Value"]
facts["image"] = told["AlgorithmSpecification"]["TrainingImage"]


def endpoint(model, name):
    predictor = model.deploy(1, "ml.m5.large", endpoint_name=name, wait=False)
    session.wait_for_endpoint(name, poll=1)
    return predictor


predictor = endpoint(estimator.create_model(), "tf-line")
facts["rows"] = predictor.predict({"instances": [[4.0], [5.0]]})
facts["list"] = predictor.predict([[4.0]])
try:
    predictor.predict({"instances": [["x"]]})
except session.sagemaker_runtime_client.exceptions.ModelError as problem:
    facts["refused"] = [problem.response["OriginalStatusCode"], problem.response["OriginalMessage"]]
predictor.delete_endpoint()
own = TensorFlowModel(
    model_data=estimator.model_data, role=role, framework_version="2.12", entry_point="inference.py", source_dir=f"{code}/tf", sagemaker_session=session
)  # fmt: skip
predictor = endpoint(own, "tf-own")
predictor.serializer = IdentitySerializer("text/x-lines")
facts["own"] = predictor.predict("x=4\nx=5\n")
predictor.delete_endpoint()
servers = TensorFlow(
    entry_point="servers.py", source_dir=f"{code}/tf", framework_version="2.12", py_version="py310", role=role, instance_count=2,
    instance_type="ml.m5.large", distribution={"parameter_server": {"enabled": True}}, sagemaker_session=session,
)  # fmt: skip
servers.fit(job_name="tf-servers", wait=False)
session.wait_for_job("tf-servers", poll=1)
where = "tf-servers/output/output.tar.gz"
body = boto3.client("s3").get_object(Bucket=session.default_bucket(), Key=where)["Body"].read()
with tarfile.open(fileobj=io.BytesIO(body)) as tar:
    facts["tasks"] = {m.name: json.load(tar.extractfile(m))["task"]["type"] for m in tar.getmembers() if m.name.endswith(".json")}
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
