"""Lab 2c of the MLU course: 1,000 calls by 10 threads, more by 100 and by 150, while the endpoint is scaled; then CloudWatch's figures."""

from __future__ import annotations

import threading

from tests.journeys.conftest import wait
from tests.support.boxes import tar
from tests.support.realm import SKLEARN

SCRIPT = b"""
def model_fn(folder): return None
def input_fn(body, kind): return body.decode() if isinstance(body, bytes) else body
def predict_fn(data, model): return float(data.split(",")[2] > "2.5")
def output_fn(answer, accept): return str(answer), "text/csv"
"""
ROUNDS = ("1000x10", "4000x100", "3000x150")
SENT = sum(int(each.partition("x")[0]) for each in ROUNDS)


def test_figures_are_what_was_sent(yard):
    sm, s3 = yard.client("sagemaker"), yard.client("s3")
    s3.create_bucket(Bucket="lab2c")
    s3.put_object(Bucket="lab2c", Key="m.tar.gz", Body=tar([("code/inference.py", SCRIPT)]))
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {"Image": SKLEARN, "ModelDataUrl": "s3://lab2c/m.tar.gz", "Environment": environment}
    role = "arn:aws:iam::123456789012:role/" + yard.client("sts").get_caller_identity()["Arn"].split("/")[1]
    sm.create_model(ModelName="iris-model", PrimaryContainer=container, ExecutionRoleArn=role)
    row = {"VariantName": "model-a", "ModelName": "iris-model", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sm.create_endpoint_config(EndpointConfigName="iris-production", ProductionVariants=[row])
    sm.create_endpoint(EndpointName="iris-production", EndpointConfigName="iris-production")
    wait(lambda: sm.describe_endpoint(EndpointName="iris-production")["EndpointStatus"] == "InService", 120)

    def scale():
        change = [{"VariantName": "model-a", "DesiredInstanceCount": 2}]
        sm.update_endpoint_weights_and_capacities(EndpointName="iris-production", DesiredWeightsAndCapacities=change)

    scaling = threading.Timer(5.0, scale)  # in the midst of the calls
    scaling.start()
    try:
        facts = yard.python("client-sdk2", "mlu_lab2c.py", "iris-production", *ROUNDS, timeout=400)
    finally:
        scaling.cancel()
        scaling.join()
    assert [each["done"] for each in facts["rounds"]] == [1000, 4000, 3000]
    assert all(each["variants"] == ["model-a"] for each in facts["rounds"])
    assert facts["Invocations"] == facts["ModelLatency"] == facts["OverheadLatency"] == facts["Invocation5XXErrors"] == SENT
    assert facts["errors"] == 0
    assert 1 <= facts["concurrent"] <= 150
    assert sm.describe_endpoint(EndpointName="iris-production")["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    sm.delete_endpoint(EndpointName="iris-production")
