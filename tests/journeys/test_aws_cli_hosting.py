"""The AWS CLI on what keeps endpoints well: alarms, auto scaling, deployment guardrails, shadow tests."""

from __future__ import annotations

import json

import pytest

from tests.journeys.conftest import CommandLine, Yard, wait
from tests.support.boxes import tar
from tests.support.needs import require
from tests.support.realm import SKLEARN

SCRIPT = b"def model_fn(folder): return 1\ndef input_fn(body, kind): return body\ndef predict_fn(data, model): return data\ndef output_fn(data, accept): return data, 'text/plain'\n"
TARGET = ["--service-namespace", "sagemaker", "--resource-id", "endpoint/guarded/variant/all"]
TARGET += ["--scalable-dimension", "sagemaker:variant:DesiredInstanceCount"]


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    """One of this module, on a fast clock: alarms and schedules go by minutes."""
    require("sandbox")
    made = Yard(tmp_path_factory.mktemp("hosting") / "data")
    made.up("--clock-speed", "20")
    yield made
    made.down()


@pytest.fixture(scope="module")
def aws(yard, aws_commands, tmp_path_factory):
    return CommandLine(yard, aws_commands, tmp_path_factory.mktemp("cli-hosting"))


@pytest.fixture(scope="module")
def endpoint(aws, yard):
    """Two models, a configuration of each, and an endpoint in service, all by the command line."""
    aws("s3", "mb", "s3://cli-hosting")
    (aws.folder / "m.tar.gz").write_bytes(tar([("code/inference.py", SCRIPT)]))
    aws("s3", "cp", "--no-progress", "m.tar.gz", "s3://cli-hosting/m.tar.gz")
    name = aws("sts", "get-caller-identity")["Arn"].split("/")[1]
    role = aws("iam", "get-role", "--role-name", name, "--query", "Role.Arn", "--output", "text").strip()
    environment = "SAGEMAKER_PROGRAM=inference.py,SAGEMAKER_SUBMIT_DIRECTORY=/opt/ml/model/code"
    container = f"Image={SKLEARN},ModelDataUrl=s3://cli-hosting/m.tar.gz,Environment={{{environment}}}"
    for model in ("guarded-1", "guarded-2"):
        aws("sagemaker", "create-model", "--model-name", model, "--execution-role-arn", role, "--primary-container", container)
        variant = f"VariantName=all,ModelName={model},InitialInstanceCount=1,InstanceType=ml.m5.large"
        aws("sagemaker", "create-endpoint-config", "--endpoint-config-name", model, "--production-variants", variant)
    aws("sagemaker", "create-endpoint", "--endpoint-name", "guarded", "--endpoint-config-name", "guarded-1")
    aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "guarded")
    yield role
    aws("sagemaker", "delete-endpoint", "--endpoint-name", "guarded")
    aws("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", "guarded")


def test_alarms(aws):
    rule = ["--namespace", "AWS/SageMaker", "--metric-name", "Invocation5XXErrors", "--statistic", "Sum", "--period", "60"]
    rule += [
        "--dimensions",
        "Name=EndpointName,Value=guarded",
        "Name=VariantName,Value=all",
        "--evaluation-periods",
        "1",
        "--threshold",
        "1",
    ]
    rule += ["--comparison-operator", "GreaterThanOrEqualToThreshold", "--treat-missing-data", "notBreaching"]
    aws("cloudwatch", "put-metric-alarm", "--alarm-name", "cli-errors", *rule)
    aws("cloudwatch", "wait", "alarm-exists", "--alarm-names", "cli-errors")
    rule = 'ALARM("cli-errors")'
    aws("cloudwatch", "put-composite-alarm", "--alarm-name", "cli-any", "--alarm-rule", rule)
    aws("cloudwatch", "set-alarm-state", "--alarm-name", "cli-errors", "--state-value", "ALARM", "--state-reason", "rehearsal")

    def changed(name, kind, state):
        words = [
            "--alarm-name",
            name,
            "--alarm-types",
            kind,
            "--history-item-type",
            "StateUpdate",
            "--query",
            "AlarmHistoryItems[].HistorySummary",
        ]
        return any(f"to {state}" in summary for summary in aws("cloudwatch", "describe-alarm-history", *words))

    assert wait(lambda: changed("cli-any", "CompositeAlarm", "ALARM"), 30)
    assert changed("cli-errors", "MetricAlarm", "ALARM")
    query = ["--alarm-names", "cli-errors", "--query", "MetricAlarms[].StateValue"]
    wait(lambda: aws("cloudwatch", "describe-alarms", *query) == ["OK"], 90)  # evaluated again: nothing is wrong
    aws("cloudwatch", "delete-alarms", "--alarm-names", "cli-any")
    aws("cloudwatch", "delete-alarms", "--alarm-names", "cli-errors")
    assert aws("cloudwatch", "describe-alarms", "--alarm-names", "cli-errors", "--query", "MetricAlarms") == []


def test_auto_scaling(aws, yard, endpoint):
    aws("application-autoscaling", "register-scalable-target", *TARGET, "--min-capacity", "1", "--max-capacity", "2")
    config = {
        "TargetValue": 70.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "ScaleInCooldown": 60,
    }
    words = ["--policy-name", "cli-track", "--policy-type", "TargetTrackingScaling"]
    words += ["--target-tracking-scaling-policy-configuration", json.dumps(config)]
    made = aws("application-autoscaling", "put-scaling-policy", *TARGET, *words)
    assert len(made["Alarms"]) == 2
    there = aws("application-autoscaling", "describe-scaling-policies", "--service-namespace", "sagemaker")["ScalingPolicies"]
    assert [p["PolicyName"] for p in there] == ["cli-track"] and there[0]["TargetTrackingScalingPolicyConfiguration"] == config
    action = [
        "--scheduled-action-name",
        "cli-two",
        "--schedule",
        "rate(1 minute)",
        "--scalable-target-action",
        "MinCapacity=2,MaxCapacity=2",
    ]
    aws("application-autoscaling", "put-scheduled-action", *TARGET, *action)

    def count():
        query = "ProductionVariants[0].CurrentInstanceCount"
        return aws("sagemaker", "describe-endpoint", "--endpoint-name", "guarded", "--query", query).strip()

    wait(lambda: count() == "2", 120, every=1.0)
    activities = aws("application-autoscaling", "describe-scaling-activities", "--service-namespace", "sagemaker")["ScalingActivities"]
    assert any("2" in a["Description"] for a in activities)
    aws("application-autoscaling", "deregister-scalable-target", *TARGET)
    left = aws("application-autoscaling", "describe-scalable-targets", "--service-namespace", "sagemaker")["ScalableTargets"]
    assert left == []
    alarms = aws("cloudwatch", "describe-alarms", "--alarm-name-prefix", "TargetTracking-endpoint/guarded", "--query", "MetricAlarms")
    assert alarms == [], "they went with the policy"
    settled(yard)


def settled(yard):
    """The CLI's own waiter looks every 30 seconds."""
    client = yard.client("sagemaker")
    wait(lambda: client.describe_endpoint(EndpointName="guarded")["EndpointStatus"] == "InService", 120)


def test_guardrails(aws, yard, endpoint):
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": 120, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50}}
    how = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 60}}
    update = ["sagemaker", "update-endpoint", "--endpoint-name", "guarded"]
    aws(*update, "--endpoint-config-name", "guarded-2", "--deployment-config", json.dumps(how))
    settled(yard)
    aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "guarded")
    there = aws("sagemaker", "describe-endpoint", "--endpoint-name", "guarded")
    assert there["EndpointConfigName"] == "guarded-2" and there["LastDeploymentConfig"] == how
    bad = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "nobody"}]}}
    said = aws(*update, "--endpoint-config-name", "guarded-1", "--deployment-config", json.dumps({**how, **bad}), code=255)
    assert "(ValidationException)" in said and "nobody" in said


def test_shadow_test(aws, endpoint):
    def variant(name, model):
        size = {"InstanceType": "ml.m5.large", "InstanceCount": 1}
        infrastructure = {"InfrastructureType": "RealTimeInference", "RealTimeInferenceConfig": size}
        return {"ModelName": model, "VariantName": name, "InfrastructureConfig": infrastructure}

    shadow = {"ShadowModelVariantName": "candidate", "SamplingPercentage": 100}
    request = {
        "Name": "cli-shadow",
        "Type": "ShadowMode",
        "RoleArn": endpoint,
        "EndpointName": "guarded",
        "ModelVariants": [variant("all", "guarded-2"), variant("candidate", "guarded-1")],
        "ShadowModeConfig": {"SourceModelVariantName": "all", "ShadowModelVariants": [shadow]},
    }
    (aws.folder / "shadow.json").write_text(json.dumps(request))
    aws("sagemaker", "create-inference-experiment", "--cli-input-json", "file://shadow.json")

    def status():
        return aws("sagemaker", "describe-inference-experiment", "--name", "cli-shadow", "--query", "Status", "--output", "text").strip()

    wait(lambda: status() == "Running", 120, every=0.5)
    answer = ["sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "guarded", "--content-type", "text/plain", "answer.txt"]
    said = (
        aws(*answer, "--cli-binary-format", "raw-in-base64-out", "--body", "hello")
        if "cli/2" in _version(aws)
        else aws(*answer, "--body", "hello")
    )
    assert said["InvokedProductionVariant"] == "all" and (aws.folder / "answer.txt").read_text() == "hello"
    words = ["--name", "cli-shadow", "--model-variant-actions", "all=Remove,candidate=Promote", "--desired-state", "Completed"]
    aws("sagemaker", "stop-inference-experiment", *words)
    wait(lambda: status() == "Completed", 120, every=0.5)
    there = aws("sagemaker", "describe-endpoint", "--endpoint-name", "guarded")
    assert [v["VariantName"] for v in there["ProductionVariants"]] == ["candidate"]
    assert aws("sagemaker", "list-inference-experiments", "--query", "InferenceExperiments[].Name") == ["cli-shadow"]
    aws("sagemaker", "delete-inference-experiment", "--name", "cli-shadow")


def _version(aws) -> str:
    return aws("--version")
