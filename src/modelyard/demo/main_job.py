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
from botocore.config import Config
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
    uris, x_test, y_test = upload(session, folder)
    xgb, forest = train_xgboost(session, uris), train_forest(session, uris)
    endpoint = deploy(session, xgb, forest)
    predictor = Predictor(endpoint, session, serializer=CSVSerializer(), deserializer=BytesDeserializer())
    predict(predictor, x_test, y_test)
    send_traffic(endpoint, x_test)
    train_through_a_crash(session, uris["bank"])
    tell("clean", "start")
    predictor.delete_endpoint()
    tell("clean", "done", text="endpoint deleted", bucket=session.default_bucket())


def upload(session, folder: Path):
    """The two data sets in S3: (URIs, test rows, test labels)."""
    tell("data", "start")
    iris = load_iris()
    x_train, x_test, y_train, y_test = train_test_split(iris.data, iris.target, test_size=0.33, random_state=42, stratify=iris.target)
    for name, y, x in (("train", y_train, x_train), ("test", y_test, x_test)):
        np.savetxt(folder / f"iris_{name}.csv", np.column_stack((y, x)), delimiter=",", fmt="%0.3f")
    uris = {name: session.upload_data(str(folder / f"iris_{name}.csv"), key_prefix="demo/iris") for name in ("train", "test")}
    uris["bank"] = session.upload_data(str(bank_csv(folder)), key_prefix="demo/bank")
    tell("data", "done", text=f"iris (150 rows) and bank marketing (4,119 rows) in s3://{session.default_bucket()}/demo/")
    return uris, x_test, y_test


def xgboost(session, instance: str, output: str):
    image = sagemaker.image_uris.retrieve("xgboost", session.boto_region_name, version="1.0-1")
    return sagemaker.estimator.Estimator(
        image_uri=image,
        role=sagemaker.get_execution_role(),
        instance_count=1,
        instance_type=instance,
        output_path=f"s3://{session.default_bucket()}/demo/{output}",
        sagemaker_session=session,
    )


def train_xgboost(session, uris):
    tell("xgboost", "start")
    began = time.monotonic()
    xgb = xgboost(session, "ml.m4.xlarge", "iris/output")
    xgb.set_hyperparameters(
        eta=0.1, max_depth=10, gamma=4, num_class=3, alpha=10, min_child_weight=6, silent=0, objective="multi:softmax", num_round=30
    )
    xgb.fit({"train": TrainingInput(uris["train"], content_type="csv"), "validation": TrainingInput(uris["test"], content_type="csv")})
    job = xgb.latest_training_job.name
    rounds = merror_rounds(session, job)
    text = f"{xgb.image_uri.split('/')[-1]}, {len(rounds)} rounds in {time.monotonic() - began:.1f} s"
    tell("xgboost", "done", text=text, rounds=rounds, artifact=xgb.model_data, job=job)
    return xgb


def train_forest(session, uris):
    tell("sklearn", "start")
    began = time.monotonic()
    forest = SKLearn(
        entry_point="train_sklearn.py",
        source_dir=str(HERE / "script"),
        role=sagemaker.get_execution_role(),
        instance_count=1,
        instance_type="ml.m5.large",
        framework_version="1.2-1",
        py_version="py3",
        hyperparameters={"trees": 100},
        sagemaker_session=session,
        output_path=f"s3://{session.default_bucket()}/demo/iris/output",
        code_location=f"s3://{session.default_bucket()}/demo/iris/code",
    )
    forest.fit({"train": uris["train"]})
    text = f"script mode, train_sklearn.py in {time.monotonic() - began:.1f} s"
    tell("sklearn", "done", text=text, artifact=forest.model_data, job=forest.latest_training_job.name)
    return forest


def deploy(session, xgb, forest) -> str:
    """Both models behind one endpoint, nine calls in ten to XGBoost."""
    tell("deploy", "start")
    began, endpoint, variants = time.monotonic(), "demo-iris", []
    for name, estimator, weight in (("xgboost", xgb, 9), ("sklearn", forest, 1)):
        model = estimator.create_model(name=f"demo-{name}")
        session.create_model(model.name, model.role or estimator.role, model.prepare_container_def("ml.m5.large"))
        variants.append(production_variant(model.name, "ml.m5.large", 1, name, weight))
    session.endpoint_from_production_variants(endpoint, variants, wait=False)
    session.wait_for_endpoint(endpoint, poll=1)  # by default the SDK sleeps 30 s before it looks for the first time
    tell("deploy", "done", text=f"endpoint {endpoint}, two variants at 90/10, in service after {time.monotonic() - began:.1f} s")
    return endpoint


def predict(predictor, x_test, y_test) -> None:
    tell("predict", "start")
    predictions = [float(predictor.predict(row, target_variant="xgboost").decode()) for row in x_test]
    f1 = 100 * f1_score(y_test, predictions, labels=[0.0, 1.0, 2.0], average="micro")
    tell("predict", "done", text=f"F1 (micro) of XGBoost on 50 unseen rows: {f1:.1f}; first prediction {predictions[0]}", f1=f1)


def send_traffic(endpoint: str, x_test) -> None:
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
    text = (
        f"{counts['xgboost']} / {counts['sklearn']} of {CALLS} calls; expected {low} to {high} to xgboost (3 sigma); "
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms with boto3 included"
    )
    tell("traffic", "done", text=text, counts=counts, band=[low, high])


def train_through_a_crash(session, bank: str) -> None:
    """A longer job; whoever reads the events kills engine and gateway while it trains."""
    tell("crash", "start")
    estimator = xgboost(session, "ml.m5.large", "bank/output")
    estimator.set_hyperparameters(objective="binary:logistic", eval_metric="auc", num_round=150, max_depth=6, eta=0.05, nthread=1)
    estimator.fit({"train": TrainingInput(bank, content_type="csv")}, wait=False)
    job = estimator.latest_training_job.name
    tell("crash", "progress", text="XGBoost on bank marketing, 150 rounds", job=job)
    client = boto3.client("sagemaker", config=Config(retries={"max_attempts": 10, "mode": "standard"}))
    told = False
    while True:
        # A list answers at once; a describe of a job on its way is answered when there is news.
        (job_now,) = client.list_training_jobs(NameContains=job)["TrainingJobSummaries"]
        if not told or job_now["TrainingJobStatus"] not in ("InProgress", "Stopping"):
            told = job_now["SecondaryStatus"] == "Training"
            tell("crash", "progress", status=job_now["TrainingJobStatus"], secondary=job_now["SecondaryStatus"])
        if job_now["TrainingJobStatus"] not in ("InProgress", "Stopping"):
            break
        time.sleep(0.1)
    said = client.describe_training_job(TrainingJobName=job)
    artifact = said["ModelArtifacts"]["S3ModelArtifacts"]
    tell("crash", "done", status=said["TrainingJobStatus"], seconds=said.get("TrainingTimeInSeconds"), artifact=artifact)


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
