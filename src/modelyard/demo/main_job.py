"""The main job of the demo, as a user would write it: unmodified SageMaker Python SDK v2 and boto3.

Runs in the client's environment, not in the platform's: it imports nothing of it. Events go as JSON lines to the
file descriptor in MODELYARD_DEMO_EVENTS; what the SDK prints goes to stdout.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import boto3
import numpy as np
import sagemaker
from sagemaker.deserializers import BytesDeserializer
from sagemaker.inputs import TrainingInput
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer
from sagemaker.session import production_variant
from sagemaker.sklearn.estimator import SKLearn
from sklearn.datasets import load_iris
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
CALLS = 1000
events = os.fdopen(int(os.environ["MODELYARD_DEMO_EVENTS"]), "w", buffering=1)


def tell(step: str, state: str, **detail) -> None:
    print(json.dumps({"step": step, "state": state, **detail}), file=events)


def merror_rounds(session, job: str) -> list[str]:
    """The rounds as the job's log has them."""
    logs = session.boto_session.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    stream = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=job + "/")["logStreams"][0]["logStreamName"]
    lines = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    return [line["message"] for line in lines if "train-merror" in line["message"]]


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="modelyard-demo-"))
    session = sagemaker.Session()
    bucket, role = session.default_bucket(), sagemaker.get_execution_role()

    tell("data", "start")
    iris = load_iris()
    x_train, x_test, y_train, y_test = train_test_split(iris.data, iris.target, test_size=0.33, random_state=42, stratify=iris.target)
    for name, y, x in (("train", y_train, x_train), ("test", y_test, x_test)):
        np.savetxt(folder / f"iris_{name}.csv", np.column_stack((y, x)), delimiter=",", fmt="%0.3f")
    train = session.upload_data(str(folder / "iris_train.csv"), key_prefix="demo/iris")
    test = session.upload_data(str(folder / "iris_test.csv"), key_prefix="demo/iris")
    bank = session.upload_data(str(bank_csv(folder)), key_prefix="demo/bank")
    tell("data", "done", text=f"iris (150 rows) and bank marketing (4,119 rows) in s3://{bucket}/demo/")

    tell("xgboost", "start")
    began = time.monotonic()
    image = sagemaker.image_uris.retrieve("xgboost", session.boto_region_name, version="1.0-1")
    xgb = sagemaker.estimator.Estimator(
        image_uri=image, role=role, instance_count=1, instance_type="ml.m4.xlarge",
        output_path=f"s3://{bucket}/demo/iris/output", sagemaker_session=session,
    )  # fmt: skip
    xgb.set_hyperparameters(
        eta=0.1, max_depth=10, gamma=4, num_class=3, alpha=10, min_child_weight=6, silent=0, objective="multi:softmax", num_round=30
    )
    xgb.fit({"train": TrainingInput(train, content_type="csv"), "validation": TrainingInput(test, content_type="csv")})
    rounds = merror_rounds(session, xgb.latest_training_job.name)
    tell("xgboost", "done", text=f"{image.split('/')[-1]}, {len(rounds)} rounds in {time.monotonic() - began:.1f} s", rounds=rounds,
         artifact=xgb.model_data, job=xgb.latest_training_job.name)  # fmt: skip

    tell("sklearn", "start")
    began = time.monotonic()
    forest = SKLearn(
        entry_point="train_sklearn.py", source_dir=str(HERE / "script"), role=role, instance_count=1, instance_type="ml.m5.large",
        framework_version="1.2-1", py_version="py3", hyperparameters={"trees": 100}, sagemaker_session=session,
        output_path=f"s3://{bucket}/demo/iris/output", code_location=f"s3://{bucket}/demo/iris/code",
    )  # fmt: skip
    forest.fit({"train": train})
    tell("sklearn", "done", text=f"script mode, train_sklearn.py in {time.monotonic() - began:.1f} s", artifact=forest.model_data,
         job=forest.latest_training_job.name)  # fmt: skip

    tell("deploy", "start")
    began = time.monotonic()
    endpoint = "demo-iris"
    variants = []
    for name, estimator, weight in (("xgboost", xgb, 9), ("sklearn", forest, 1)):
        model = estimator.create_model(name=f"demo-{name}")
        model._create_sagemaker_model(instance_type="ml.m5.large")
        variants.append(production_variant(model.name, "ml.m5.large", 1, name, weight))
    session.endpoint_from_production_variants(endpoint, variants)
    tell("deploy", "done", text=f"endpoint {endpoint}, two variants at 90/10, in service after {time.monotonic() - began:.1f} s")

    tell("predict", "start")
    predictor = Predictor(endpoint, session, serializer=CSVSerializer(), deserializer=BytesDeserializer())
    predictions = [float(predictor.predict(row, target_variant="xgboost").decode()) for row in x_test]
    f1 = 100 * f1_score(y_test, predictions, labels=[0.0, 1.0, 2.0], average="micro")
    tell("predict", "done", text=f"F1 (micro) of XGBoost on 50 unseen rows: {f1:.1f}; first prediction {predictions[0]}", f1=f1)

    tell("traffic", "start")
    runtime = boto3.client("sagemaker-runtime")
    counts, times = {"xgboost": 0, "sklearn": 0}, []
    for n in range(CALLS):
        row = ",".join(map(str, x_test[n % len(x_test)]))
        began = time.perf_counter()
        answer = runtime.invoke_endpoint(EndpointName=endpoint, ContentType="text/csv", Body=row)
        answer["Body"].read()
        times.append(1000 * (time.perf_counter() - began))
        counts[answer["InvokedProductionVariant"]] += 1
        if n % 100 == 99:
            tell("traffic", "progress", text=f"{n + 1} of {CALLS} calls")
    p50, p99 = np.percentile(times, [50, 99])
    low, high = (round(CALLS * 0.9 + k * 3 * (CALLS * 0.09) ** 0.5) for k in (-1, 1))
    tell("traffic", "done", text=f"{counts['xgboost']} / {counts['sklearn']} of {CALLS} calls; expected {low} to {high} to xgboost (3 sigma); "
         f"p50 {p50:.1f} ms, p99 {p99:.1f} ms with boto3 included", counts=counts, band=[low, high])  # fmt: skip

    tell("crash", "start")
    long_job = sagemaker.estimator.Estimator(
        image_uri=image, role=role, instance_count=1, instance_type="ml.m5.large",
        output_path=f"s3://{bucket}/demo/bank/output", sagemaker_session=session,
    )  # fmt: skip
    long_job.set_hyperparameters(objective="binary:logistic", eval_metric="auc", num_round=600, max_depth=8, eta=0.02)
    long_job.fit({"train": TrainingInput(bank, content_type="csv")}, wait=False)
    tell("crash", "progress", text="XGBoost on bank marketing, 600 rounds", job=long_job.latest_training_job.name)
    client = boto3.client("sagemaker", config=boto3.session.Config(retries={"max_attempts": 10, "mode": "standard"}))
    while True:
        said = client.describe_training_job(TrainingJobName=long_job.latest_training_job.name)
        tell("crash", "progress", status=said["TrainingJobStatus"], secondary=said["SecondaryStatus"])
        if said["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"):
            break
        time.sleep(0.1)
    tell("crash", "done", status=said["TrainingJobStatus"], seconds=said.get("TrainingTimeInSeconds"),
         artifact=said["ModelArtifacts"]["S3ModelArtifacts"])  # fmt: skip

    tell("clean", "start")
    predictor.delete_endpoint()
    tell("clean", "done", text="endpoint deleted", bucket=bucket)


def bank_csv(folder: Path) -> Path:
    """Bank marketing as built-in XGBoost wants it: the label first, numbers only, no header."""
    import pandas as pd

    frame = pd.read_csv(HERE / "data" / "bank-additional.csv")
    label = (frame.pop("y") == "yes").astype(int)
    frame = pd.get_dummies(frame).astype(float)
    frame.insert(0, "y", label)
    frame.to_csv(folder / "bank.csv", index=False, header=False)
    return folder / "bank.csv"


if __name__ == "__main__":
    try:
        main()
    except Exception as problem:
        tell("error", "failed", text=f"{type(problem).__name__}: {problem}")
        sys.exit(1)
