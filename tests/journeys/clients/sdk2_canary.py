"""SageMaker SDK v2: a model under load, a canary with a bad model that an alarm rolls back, a canary with a good one."""

import io
import json
import os
import tarfile
import threading
import time

import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.serializers import JSONSerializer
from sagemaker.sklearn import SKLearnModel

SCRIPT = """
import json
def model_fn(folder): return None
def input_fn(body, kind): return json.loads(body)
def predict_fn(data, model): {predict}
def output_fn(data, accept): return json.dumps(data), "application/json"
"""
facts = {}
session = sagemaker.Session()
role, bucket, sm = sagemaker.get_execution_role(session), session.default_bucket(), session.sagemaker_client
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w:gz") as tar:
    tar.addfile(tarfile.TarInfo("model.txt"))
session.upload_string_as_file_body(packed.getvalue(), bucket, "canary/model.tar.gz")


def model(name, predict):
    with open(f"{name}.py", "w") as file:
        file.write(SCRIPT.format(predict=predict))
    return SKLearnModel(
        f"s3://{bucket}/canary/model.tar.gz", role, f"{name}.py", name=name, framework_version="1.2-1", sagemaker_session=session
    )


def configuration(made):
    """An endpoint configuration of the model, as the SDK makes one."""
    made._create_sagemaker_model(instance_type="ml.t2.medium")
    session.create_endpoint_config(made.name, made.name, 1, "ml.t2.medium")


first = model("first", 'return "first"')
predictor = first.deploy(1, "ml.t2.medium", endpoint_name="canary", serializer=JSONSerializer(), deserializer=JSONDeserializer())
configuration(model("worse", 'raise RuntimeError("bad model")'))
configuration(model("better", 'return "better"'))
dimensions = {"EndpointName": "canary", "VariantName": "AllTraffic", "EndpointConfigName": "worse"}
session.boto_session.client("cloudwatch").put_metric_alarm(
    AlarmName="worse-errors",
    Namespace="AWS/SageMaker",
    MetricName="Invocation5XXErrors",
    Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
    Statistic="Sum",
    Period=60,
    EvaluationPeriods=1,
    Threshold=1,
    ComparisonOperator="GreaterThanOrEqualToThreshold",
    TreatMissingData="notBreaching",
)
answers, over = [], threading.Event()


def load():
    while not over.wait(0.05):
        try:
            answers.append(predictor.predict([1]))
        except sm.exceptions.ClientError as problem:
            answers.append(problem.response["Error"]["Code"])


def guarded(config, wait_s):
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": wait_s, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 40}}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 60}
    rollback = {"Alarms": [{"AlarmName": "worse-errors"}]}
    how = {"BlueGreenUpdatePolicy": policy, "AutoRollbackConfiguration": rollback}
    sm.update_endpoint(EndpointName="canary", EndpointConfigName=config, DeploymentConfig=how)
    answers.clear()
    there = session.wait_for_endpoint("canary", poll=1)
    return {name: there.get(name) for name in ("EndpointStatus", "EndpointConfigName", "FailureReason")}


thread = threading.Thread(target=load)
thread.start()
try:
    facts["worse"] = guarded("worse", 900)
    facts["answers of worse"] = sorted(set(map(str, answers)))
    cloudwatch, until = session.boto_session.client("cloudwatch"), time.monotonic() + 240
    while cloudwatch.describe_alarms(AlarmNames=["worse-errors"])["MetricAlarms"][0]["StateValue"] != "OK" and time.monotonic() < until:
        time.sleep(0.2)
    facts["better"] = guarded("better", 120)
    time.sleep(1.0)
finally:
    over.set()
    thread.join()
facts["answers of better"] = sorted(set(map(str, answers)))
facts["last"] = predictor.predict([1])
predictor.delete_endpoint()
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
