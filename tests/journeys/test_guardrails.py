"""A canary by boto3 on a real platform whose clock runs fast: a bad model is rolled back by its alarm, a good one goes through."""

from __future__ import annotations

import io
import tarfile
import threading

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.journeys.conftest import wait

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
ROLE = "arn:aws:iam::123456789012:role/ModelyardExecutionRole"
HANDLER = """
def model_fn(model_dir): return None
def input_fn(body, content_type): return body
def predict_fn(data, model): {predict}
def output_fn(answer, accept): return answer, "text/csv"
"""


@pytest.fixture
def clients(fresh):
    fresh.up("--clock-speed", "30")
    once = Config(retries={"max_attempts": 0})
    return {name: fresh.client(name, config=once) for name in ("sagemaker", "sagemaker-runtime", "s3", "cloudwatch")}


def model(clients, name, predict):
    data, code = io.BytesIO(), HANDLER.format(predict=predict).encode()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        info = tarfile.TarInfo("code/inference.py")
        info.size = len(code)
        tar.addfile(info, io.BytesIO(code))
    clients["s3"].put_object(Bucket="models", Key=f"{name}.tar.gz", Body=data.getvalue())
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://models/{name}.tar.gz", "Environment": environment}
    clients["sagemaker"].create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    row = {"VariantName": "all", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.t2.medium"}
    clients["sagemaker"].create_endpoint_config(EndpointConfigName=name, ProductionVariants=[row])


def settled(clients):
    there = clients["sagemaker"].describe_endpoint(EndpointName="guarded")
    return there if there["EndpointStatus"] not in ("Creating", "Updating") else None


def test_bad_model_is_rolled_back_and_a_good_one_goes_through(clients):
    sm = clients["sagemaker"]
    clients["s3"].create_bucket(Bucket="models")
    model(clients, "first", 'return "first"')
    model(clients, "bad", 'raise RuntimeError("bad model")')
    model(clients, "better", 'return "better"')
    sm.create_endpoint(EndpointName="guarded", EndpointConfigName="first")
    assert wait(lambda: settled(clients), 120)["EndpointStatus"] == "InService"
    clients["cloudwatch"].put_metric_alarm(
        AlarmName="new-fleet-errors",
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[
            {"Name": "EndpointName", "Value": "guarded"},
            {"Name": "VariantName", "Value": "all"},
            {"Name": "EndpointConfigName", "Value": "bad"},
        ],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
    )
    answers, over = [], threading.Event()

    def load():
        while not over.wait(0.02):
            try:
                answer = clients["sagemaker-runtime"].invoke_endpoint(EndpointName="guarded", ContentType="text/csv", Body=b"1,2")
                answers.append(answer["Body"].read())
            except ClientError as problem:
                answers.append(problem.response["Error"]["Code"].encode())

    caller = threading.Thread(target=load)
    caller.start()
    try:
        routing = {"Type": "CANARY", "WaitIntervalInSeconds": 900, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 40}}
        policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 60, "MaximumExecutionTimeoutInSeconds": 3600}
        how = {"BlueGreenUpdatePolicy": policy, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "new-fleet-errors"}]}}
        sm.update_endpoint(EndpointName="guarded", EndpointConfigName="bad", DeploymentConfig=how)
        there = wait(lambda: settled(clients), 120)
        assert there["EndpointStatus"] == "InService" and there["EndpointConfigName"] == "first", there
        assert "new-fleet-errors" in there["FailureReason"]
        assert set(answers) == {b"first", b"ModelError"}, "the canary got calls, and nothing but the model failed them"
        how["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["WaitIntervalInSeconds"] = 60
        wait(lambda: clients["cloudwatch"].describe_alarms(AlarmNames=["new-fleet-errors"])["MetricAlarms"][0]["StateValue"] == "OK", 60)
        answers.clear()
        sm.update_endpoint(EndpointName="guarded", EndpointConfigName="better", DeploymentConfig=how)
        there = wait(lambda: settled(clients), 120)
        assert there["EndpointConfigName"] == "better" and "FailureReason" not in there
        wait(lambda: answers[-10:] == [b"better"] * 10)
    finally:
        over.set()
        caller.join(30)
    assert set(answers) == {b"first", b"better"}, "no call failed"
