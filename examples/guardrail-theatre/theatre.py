"""Guardrail theatre: a good model serves, a bad one comes, an alarm sees it, the deployment goes back. Then the mended one goes out.

    modelyard up --detach --clock-speed 60
    eval "$(modelyard env)"
    python examples/guardrail-theatre/theatre.py            # beside it: modelyard watch theatre

Plain boto3: with credentials of AWS's the same play runs there, sixty times as long. At clock speed 60 it takes a minute.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tarfile
import threading
import time
from collections import Counter

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

NAME = "theatre"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
SERVER = """
def model_fn(folder): return open(folder + "/words").read()
def input_fn(body, kind): return body
def predict_fn(data, model):
    if model == "bad":
        raise RuntimeError("this model cannot predict")
    return model
def output_fn(answer, accept): return answer, "text/plain"
"""
CALLERS, CALLS_PER_SECOND = 4, 40
BAKE_SECONDS = 600
ALARM = f"{NAME}-errors"
quick = Config(retries={"max_attempts": 2, "mode": "standard"}, max_pool_connections=CALLERS + 2)
sagemaker, runtime = boto3.client("sagemaker", config=quick), boto3.client("sagemaker-runtime", config=quick)
s3, cloudwatch, sts = boto3.client("s3"), boto3.client("cloudwatch"), boto3.client("sts")


def main() -> None:
    account, role = caller()
    bucket = f"{NAME}-{account}"
    clean(bucket)
    s3.create_bucket(Bucket=bucket)
    for words in ("good", "bad", "mended"):
        stage_model(words, bucket, role)
    audience = Audience()
    try:
        act("Act 1", "the good model goes into service")
        sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=f"{NAME}-good")
        wait_for("InService")
        make_alarm()
        audience.come()
        audience.look(4)
        opening = audience.take()
        say(f"{opening.total()} calls, {opening['failed']} failed")

        act("Act 2", "the bad model comes: a canary takes a part of the traffic and bakes")
        update("bad", canary(50))
        rolled_back = audience.look_until_done()
        reason = sagemaker.describe_endpoint(EndpointName=NAME).get("FailureReason", "")
        hit = audience.take()
        say(f"{hit.total()} calls, {hit['failed']} failed while the canary ran; the endpoint says: {reason}")
        history = cloudwatch.describe_alarm_history(AlarmName=ALARM, HistoryItemType="StateUpdate")["AlarmHistoryItems"]

        act("Interlude", "everything is as it was")
        audience.look(4)
        calm = audience.take()
        say(f"{calm.total()} calls, {calm['failed']} failed, answers: {dict(calm.answers)}")
        wait_for_alarm("OK")

        act("Act 3", "the mended model goes out in steps")
        update("mended", linear(50))
        shipped = audience.look_until_done()
        audience.look(2)
        last = audience.take()
        say(f"{last.total()} calls, {last['failed']} failed, answers: {dict(last.answers)}")
    finally:
        audience.leave()
        clean(bucket)
    expect(opening.total() > 0 and opening["failed"] == 0, "the good model answers every call")
    expect(rolled_back == f"{NAME}-good" and ALARM in reason, "the alarm turned the deployment back")
    expect(any("to ALARM" in item["HistorySummary"] for item in history), "the alarm's history says so")
    expect(0 < hit["failed"] < 0.5 * hit.total(), "only a part of the calls met the bad model")
    expect(calm.total() > 0 and calm["failed"] == 0 and set(calm.answers) == {"good"}, "after the rollback nothing fails")
    expect(shipped == f"{NAME}-mended" and last["failed"] == 0, "the mended model is in service, and no call was lost on its way")
    expect({"good", "mended"} <= set(last.answers), "both models answered while the traffic moved")
    say("\nThe curtain falls: every expectation held.")


# --- the stage -----------------------------------------------------------------------------------


def caller() -> tuple[str, str]:
    """Account and role of whoever runs this; the role is passed to the models."""
    who = sts.get_caller_identity()
    role = os.environ.get("ROLE_ARN") or f"arn:aws:iam::{who['Account']}:role/{who['Arn'].split('/')[1]}"
    return who["Account"], role


def stage_model(words: str, bucket: str, role: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in (("words", words), ("code/inference.py", SERVER)):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    s3.put_object(Bucket=bucket, Key=f"{words}/model.tar.gz", Body=packed.getvalue())
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/{words}/model.tar.gz", "Environment": environment}
    sagemaker.create_model(ModelName=f"{NAME}-{words}", PrimaryContainer=container, ExecutionRoleArn=role)
    variant = {"VariantName": "main", "ModelName": f"{NAME}-{words}", "InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
    sagemaker.create_endpoint_config(EndpointConfigName=f"{NAME}-{words}", ProductionVariants=[variant])


def make_alarm() -> None:
    """More than one call in twenty fails, over one minute."""
    cloudwatch.put_metric_alarm(
        AlarmName=ALARM,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": "EndpointName", "Value": NAME}, {"Name": "VariantName", "Value": "main"}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.05,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )


def canary(percent: int) -> dict:
    size = {"Type": "CAPACITY_PERCENT", "Value": percent}
    return {"Type": "CANARY", "WaitIntervalInSeconds": BAKE_SECONDS, "CanarySize": size}


def linear(percent: int) -> dict:
    size = {"Type": "CAPACITY_PERCENT", "Value": percent}
    return {"Type": "LINEAR", "WaitIntervalInSeconds": BAKE_SECONDS // 2, "LinearStepSize": size}


def update(words: str, routing: dict) -> None:
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 60, "MaximumExecutionTimeoutInSeconds": 3600}
    guard = {"BlueGreenUpdatePolicy": policy, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": ALARM}]}}
    sagemaker.update_endpoint(EndpointName=NAME, EndpointConfigName=f"{NAME}-{words}", DeploymentConfig=guard)


def wait_for(status: str, seconds: float = 120) -> None:
    ends = time.monotonic() + seconds
    while (there := sagemaker.describe_endpoint(EndpointName=NAME)["EndpointStatus"]) != status:
        if there == "Failed" or time.monotonic() > ends:
            sys.exit(f"the endpoint is {there}: {sagemaker.describe_endpoint(EndpointName=NAME).get('FailureReason', '')}")
        time.sleep(0.2)


def wait_for_alarm(state: str, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while alarm_state() != state:
        if time.monotonic() > ends:
            sys.exit(f"the alarm did not become {state}")
        time.sleep(0.2)


def alarm_state() -> str:
    return cloudwatch.describe_alarms(AlarmNames=[ALARM])["MetricAlarms"][0]["StateValue"]


def clean(bucket: str) -> None:
    """Nothing of an earlier play, or of this one, stays."""
    attempts = [lambda: sagemaker.delete_endpoint(EndpointName=NAME), lambda: cloudwatch.delete_alarms(AlarmNames=[ALARM])]
    for words in ("good", "bad", "mended"):
        attempts.append(lambda words=words: sagemaker.delete_endpoint_config(EndpointConfigName=f"{NAME}-{words}"))
        attempts.append(lambda words=words: sagemaker.delete_model(ModelName=f"{NAME}-{words}"))
        attempts.append(lambda words=words: s3.delete_object(Bucket=bucket, Key=f"{words}/model.tar.gz"))
    for attempt in [*attempts, lambda: s3.delete_bucket(Bucket=bucket)]:
        with contextlib.suppress(ClientError):  # it is not there
            attempt()
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            sagemaker.describe_endpoint(EndpointName=NAME)
        except ClientError:
            return
        time.sleep(0.2)


# --- the audience --------------------------------------------------------------------------------


class Seats(Counter):
    """Calls by what became of them: `ok`, `failed`; `answers` by the model's word."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: Counter[str] = Counter()


class Audience:
    """Callers on threads, all the time; what they saw, second by second."""

    def __init__(self) -> None:
        self._seats, self._lock, self._over = Seats(), threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(CALLERS)]
        self._threads.append(threading.Thread(target=self._see_the_stage, daemon=True))
        self._there: dict = {}

    def come(self) -> None:
        for thread in self._threads:
            thread.start()

    def leave(self) -> None:
        self._over.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(10)

    def take(self) -> Seats:
        with self._lock:
            seen, self._seats = self._seats, Seats()
        return seen

    def look(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._show()

    def look_until_done(self, seconds: float = 180) -> str:
        """Shows what happens until the update is over; answers the configuration that serves then."""
        ends, self._there = time.monotonic() + seconds, {}
        while True:
            there = self._show()
            if there.get("EndpointStatus") == "InService":
                return there["EndpointConfigName"]
            if time.monotonic() > ends:
                sys.exit(f"the update did not end: {there}")

    def _show(self) -> dict:
        with self._lock:
            before = Counter(self._seats)
        time.sleep(0.5)
        with self._lock:
            now = Counter(self._seats) - before
        there = self._there
        total, failed = now.total(), now["failed"]
        bar = "█" * round(30 * (total - failed) / total) + "░" * round(30 * failed / total) if total else ""
        pending = there.get("PendingDeploymentSummary", {}).get("ProductionVariants", [{}])[0]
        stage = ", ".join(status["Status"] for status in pending.get("VariantStatus", []))
        say(
            f"  {there.get('EndpointStatus', '…'):<11} {stage:<18} alarm {alarm_state():<18} {bar:<30} {total - failed} ok, {failed} failed"
        )
        return there

    def _see_the_stage(self) -> None:
        """On a thread of its own, so that a slow answer holds nobody up."""
        while not self._over.wait(0.3):
            before = self._there
            there = sagemaker.describe_endpoint(EndpointName=NAME)
            if self._there is before:  # what was asked before an update began says nothing of it
                self._there = there

    def _call(self) -> None:
        while not self._over.wait(CALLERS / CALLS_PER_SECOND):
            try:
                answer = runtime.invoke_endpoint(EndpointName=NAME, Body=b"?", ContentType="text/plain")["Body"].read().decode()
                outcome = "ok"
            except ClientError as problem:
                outcome, answer = "failed", problem.response["Error"]["Code"]
            with self._lock:
                self._seats[outcome] += 1
                self._seats.answers[answer] += 1


def act(number: str, text: str) -> None:
    bold = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    say(f"\n{bold[0]}{number}: {text}{bold[1]}")


def say(text: str) -> None:
    print(text, flush=True)


def expect(held: bool, what: str) -> None:
    say(f"{'yes' if held else 'NO '}  {what}")
    if not held:
        sys.exit(f"not as expected: {what}")


if __name__ == "__main__":
    main()
