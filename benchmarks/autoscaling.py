"""Auto scaling under a step of load: how long after the alarm's own periods are replicas there? Run: python benchmarks/autoscaling.py

A real platform, an endpoint of a scikit-learn image, a target tracking policy on a metric that a client puts once a second, unmodified
boto3 throughout. Out, at clock speed 1: the load steps up at a full minute; three minutes later the high alarm has its three periods.
Measured from that moment, in seconds of platform time, to the start of the scaling activity (the decision: at most 2 s) and to its
end (the replicas serve: that is a start of model servers). In, at clock speed 30: the load goes; between two activities that
scale in lies at least the cool-down.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from benchmarks.support.platform import Platform, load_average  # noqa: E402
from tests.support.boxes import tar  # noqa: E402
from tests.support.realm import SKLEARN  # noqa: E402

SCRIPT = b"def model_fn(folder): return 1\ndef input_fn(body, kind): return body\ndef predict_fn(data, model): return data\ndef output_fn(data, accept): return data, 'text/plain'\n"
PLACE = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/bench/variant/v",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
TARGET, HIGH, COOLDOWN = 100.0, 290.0, 120


def deploy(yard: Platform) -> None:
    """The endpoint `bench` with one replica, in service, and its policy."""
    sm, s3 = yard.client("sagemaker"), yard.client("s3")
    s3.create_bucket(Bucket="scale-bench")
    s3.put_object(Bucket="scale-bench", Key="model.tar.gz", Body=tar([("code/inference.py", SCRIPT)]))
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {"Image": SKLEARN, "ModelDataUrl": "s3://scale-bench/model.tar.gz", "Environment": environment}
    role = "arn:aws:iam::123456789012:role/" + yard.client("sts").get_caller_identity()["Arn"].split("/")[1]
    sm.create_model(ModelName="bench", PrimaryContainer=container, ExecutionRoleArn=role)
    row = {"VariantName": "v", "ModelName": "bench", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sm.create_endpoint_config(EndpointConfigName="bench", ProductionVariants=[row])
    sm.create_endpoint(EndpointName="bench", EndpointConfigName="bench")
    sm.get_waiter("endpoint_in_service").wait(EndpointName="bench", WaiterConfig={"Delay": 1, "MaxAttempts": 600})
    scaling = yard.client("application-autoscaling")
    scaling.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=3)
    metric = {"Namespace": "Bench", "MetricName": "Load", "Statistic": "Average"}
    config = {"TargetValue": TARGET, "CustomizedMetricSpecification": metric, "ScaleInCooldown": COOLDOWN, "ScaleOutCooldown": COOLDOWN}
    scaling.put_scaling_policy(**PLACE, PolicyName="p", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=config)


class Load:
    """Puts the load per replica once a second of real time, as an application would."""

    def __init__(self, yard: Platform, value: float) -> None:
        self.value, self._cloudwatch, self._over = value, yard.client("cloudwatch"), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.3):
            self._cloudwatch.put_metric_data(Namespace="Bench", MetricData=[{"MetricName": "Load", "Value": self.value}])

    def stop(self) -> None:
        self._over.set()
        self._thread.join(5)


def activities(yard: Platform) -> list[dict]:
    """Successful ones, oldest first."""
    found = yard.client("application-autoscaling").describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"]
    return [a for a in reversed(found) if a["StatusCode"] == "Successful"]


def wait(yard: Platform, number: int, seconds: float) -> list[dict]:
    deadline = time.monotonic() + seconds
    while len(found := activities(yard)) < number:
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(found)} of {number} activities after {seconds:.0f} s")
        time.sleep(0.1)
    return found


def out(folder: Path) -> dict:
    yard = Platform(folder / "out", "--clock-speed", "1")
    try:
        deploy(yard)
        load = Load(yard, 50.0)
        time.sleep(60 - time.time() % 60)
        step, load.value = time.time() // 60 * 60, HIGH
        (activity,) = wait(yard, 1, 240)
        load.stop()
        periods = step + 3 * 60
        answer = {
            "step_to_decision_s": activity["StartTime"].timestamp() - step,
            "decision_after_periods_s": activity["StartTime"].timestamp() - periods,
            "replicas_after_periods_s": activity["EndTime"].timestamp() - periods,
        }
        there = yard.client("sagemaker").describe_endpoint(EndpointName="bench")["ProductionVariants"][0]["CurrentInstanceCount"]
        return {**answer, "replicas": there}
    finally:
        yard.stop()


def back(folder: Path) -> dict:
    """Three replicas whose load falls to just what two, and then one, can bear."""
    yard = Platform(folder / "in", "--clock-speed", "30")
    try:
        deploy(yard)
        load = Load(yard, HIGH)
        wait(yard, 1, 60)
        load.value = 55.0  # 3 x 55 = 165: two are enough
        wait(yard, 2, 120)
        load.value = 40.0
        found = wait(yard, 3, 120)
        load.stop()
        first, second = found[1], found[2]
        pause = second["StartTime"].timestamp() - first["EndTime"].timestamp()
        return {"scale_in": [first["Description"], second["Description"]], "pause_s": pause, "cooldown_s": COOLDOWN}
    finally:
        yard.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        found = {"load_average": load_average(), "out": out(Path(folder)), "in": back(Path(folder))}
    print(json.dumps(found, indent=1))
    if args.json:
        args.json.write_text(json.dumps(found))
    good = found["out"]["decision_after_periods_s"] <= 2.0 and found["in"]["pause_s"] >= COOLDOWN
    print("within the target" if good else "NOT within the target")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
