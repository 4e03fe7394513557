"""Serverless endpoints by the SDK and auto scaling by boto3, with real model servers, on a fast clock."""

from __future__ import annotations

import threading

from tests.journeys.conftest import wait
from tests.support.boxes import tar
from tests.support.realm import SKLEARN

SCRIPT = b"def model_fn(folder): return 1\ndef input_fn(body, kind): return body\ndef predict_fn(data, model): return data\ndef output_fn(data, accept): return data, 'text/plain'\n"


def test_sdk2_serverless(fresh):
    fresh.up("--clock-speed", "60")
    facts = fresh.python("client-sdk2", "sdk2_serverless.py", timeout=300)
    assert facts["described"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 2}
    assert (facts["first"], facts["cold"], facts["warm"], facts["after"]) == ([2, 4], [6], [8], [10])
    assert facts["cold_s"] > 2 * facts["warm_s"], "the call after idle time waited for a server to start"
    assert {"EndpointName": "twice", "VariantName": "AllTraffic"} in facts["metrics"]
    assert facts["instances"] == 1 and not facts["serverless_after"]


def test_load_scales_out_and_idleness_in(fresh):
    """Real invocations, the predefined metric: out under load, in when nobody calls any more."""
    fresh.up("--clock-speed", "60")
    sm, s3, scaling = (fresh.client(name) for name in ("sagemaker", "s3", "application-autoscaling"))
    s3.create_bucket(Bucket="scaling")
    s3.put_object(Bucket="scaling", Key="m.tar.gz", Body=tar([("code/inference.py", SCRIPT)]))
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {"Image": SKLEARN, "ModelDataUrl": "s3://scaling/m.tar.gz", "Environment": environment}
    role = "arn:aws:iam::123456789012:role/" + fresh.client("sts").get_caller_identity()["Arn"].split("/")[1]
    sm.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=role)
    row = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sm.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[row])
    sm.create_endpoint(EndpointName="e", EndpointConfigName="c")
    wait(lambda: sm.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService", 60)
    place = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/e/variant/v",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling.register_scalable_target(**place, MinCapacity=1, MaxCapacity=2)
    metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}
    config = {"TargetValue": 5.0, "ScaleInCooldown": 60, "ScaleOutCooldown": 60, **metric}
    scaling.put_scaling_policy(**place, PolicyName="p", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=config)
    over, failures, runtime = threading.Event(), [], fresh.client("sagemaker-runtime")

    def load() -> None:
        while not over.wait(0.03):
            try:
                runtime.invoke_endpoint(EndpointName="e", Body=b"x", ContentType="text/plain")["Body"].read()
            except Exception as problem:
                failures.append(problem)

    thread = threading.Thread(target=load)
    thread.start()

    def replicas() -> int:
        return sm.describe_endpoint(EndpointName="e")["ProductionVariants"][0]["CurrentInstanceCount"]

    try:
        wait(lambda: replicas() == 2, 60)
    finally:
        over.set()
        thread.join()
    assert failures == []
    wait(lambda: replicas() == 1, 90)
    causes = [a["Cause"] for a in scaling.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"]]
    assert "AlarmLow" in causes[0] and "AlarmHigh" in causes[-1]
