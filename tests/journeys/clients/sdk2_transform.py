"""SageMaker SDK v2: warm-up lab 3 (150 predictions in order), joins and filters, a pipeline, failures, stop, data capture."""

import io
import json
import os
import sys
import time

import numpy as np
import pandas as pd
import sagemaker
from sagemaker.inputs import BatchDataCaptureConfig, TrainingInput
from sagemaker.pipeline import PipelineModel
from sagemaker.sklearn.estimator import SKLearn
from sagemaker.transformer import Transformer
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

facts = {}
iris = load_iris()
table = np.column_stack((iris.target, iris.data))
np.savetxt("iris_train.csv", table, delimiter=",", fmt="%0.3f")
np.savetxt("scaled.csv", np.column_stack((iris.target, StandardScaler().fit_transform(iris.data))), delimiter=",", fmt="%0.6f")
np.savetxt("batch_dataset.csv", iris.data, delimiter=",", fmt="%0.3f")
with open("with_id.csv", "w") as file:
    for number, row in enumerate(iris.data):
        file.write(f"flower-{number}," + ",".join(f"{v:.3f}" for v in row) + "\n")
with open("spoilt.csv", "w") as file:
    for number, row in enumerate(iris.data):
        file.write(("no,numbers,here,at all" if number == 41 else ",".join(f"{v:.3f}" for v in row)) + "\n")
session = sagemaker.Session()
role = sagemaker.get_execution_role(session)
bucket = session.default_bucket()
image = sagemaker.image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1")
params = {"num_round": 20, "objective": "multi:softmax", "num_class": 3}


def trained(name, uri=image):
    made = sagemaker.estimator.Estimator(
        uri, role, 1, "ml.m5.large", output_path=f"s3://{bucket}/transform", sagemaker_session=session, hyperparameters=params,
    )  # fmt: skip
    made.fit({"train": TrainingInput(session.upload_data(name, key_prefix="transform/train"), content_type="text/csv")}, wait=False)
    return made


def read(transformer, name, **how):
    raw = session.read_s3_file(bucket, f"{transformer.output_path.split('/', 3)[3]}/{name}.out")
    return pd.read_csv(io.StringIO(raw), header=None, **how)


old = trained("iris_train.csv", sagemaker.image_uris.retrieve("xgboost", session.boto_region_name, "1.0-1"))
booster = trained("iris_train.csv")
scaled = trained("scaled.csv")
scaler = SKLearn(
    entry_point="preprocess.py", source_dir=sys.argv[1], framework_version="1.2-1", instance_type="ml.m5.large", role=role,
    sagemaker_session=session,
)  # fmt: skip
scaler.fit({"train": session.upload_data("iris_train.csv", key_prefix="transform/raw")}, wait=False)
for each in (old, booster, scaled, scaler):
    each.latest_training_job.wait(logs="None")

# --- the lab: batch_dataset.csv.out -------------------------------------------------------------------
batch = session.upload_data("batch_dataset.csv", key_prefix="transform/batch")
lab = old.transformer(instance_count=1, instance_type="ml.m4.xlarge", output_path=f"s3://{bucket}/transform/lab", assemble_with="Line")
began = time.monotonic()
lab.transform(batch, content_type="text/csv", split_type="Line", wait=True, logs=True)
facts["lab_s"] = time.monotonic() - began
answers = read(lab, "batch_dataset.csv")[0]
facts["lab"] = {"rows": len(answers), "right": float(np.mean(answers == iris.target))}

# --- by record, several at once, and attach -------------------------------------------------------------
single = booster.transformer(
    1, "ml.m5.large", strategy="SingleRecord", assemble_with="Line", accept="text/csv", output_path=f"s3://{bucket}/transform/single",
    max_concurrent_transforms=4,
)  # fmt: skip
single.transform(batch, content_type="text/csv", split_type="Line", logs=False)
facts["single"] = float(np.mean(read(single, "batch_dataset.csv")[0] == iris.target))
again = Transformer.attach(single.latest_transform_job.name, session)
facts["attached"] = [again.strategy, again.assemble_with, again.max_concurrent_transforms, again.output_path == single.output_path]

# --- id column excluded, prediction joined to it ---------------------------------------------------------
ids = session.upload_data("with_id.csv", key_prefix="transform/ids")
join = booster.transformer(1, "ml.m5.large", assemble_with="Line", accept="text/csv", output_path=f"s3://{bucket}/transform/join")
join.transform(
    ids, content_type="text/csv", split_type="Line", input_filter="$[1:]", join_source="Input", output_filter="$[0,-1]", logs=False,
    batch_data_capture_config=BatchDataCaptureConfig(f"s3://{bucket}/transform/capture", generate_inference_id=False),
)  # fmt: skip
joined = read(join, "with_id.csv")
facts["join"] = {
    "ids": joined[0].tolist() == [f"flower-{n}" for n in range(150)],
    "columns": joined.shape[1],
    "right": float(np.mean(joined[1] == iris.target)),
}
s3 = session.boto_session.client("s3")
kept = [row["Key"] for row in s3.list_objects_v2(Bucket=bucket, Prefix="transform/capture/")["Contents"]]
facts["capture"] = {key.split("/")[2]: json.loads(session.read_s3_file(bucket, key)) for key in kept}

# --- an inference pipeline --------------------------------------------------------------------------------
first = scaler.create_model(env={"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"})
pipeline = PipelineModel([first, scaled.create_model()], role, name="scale-and-boost-batch", sagemaker_session=session)
piped = pipeline.transformer(1, "ml.m5.large", assemble_with="Line", output_path=f"s3://{bucket}/transform/pipe")
piped.transform(batch, content_type="text/csv", split_type="Line", logs=False)
facts["pipeline"] = float(np.mean(read(piped, "batch_dataset.csv")[0] == iris.target))

# --- one bad record ----------------------------------------------------------------------------------------
spoilt = booster.transformer(1, "ml.m5.large", assemble_with="Line", output_path=f"s3://{bucket}/transform/spoilt")
try:
    spoilt.transform(session.upload_data("spoilt.csv", key_prefix="transform/spoilt-in"), content_type="text/csv", split_type="Line")
except Exception as problem:
    facts["failure"] = f"{type(problem).__name__}: {problem}"
facts["left"] = "Contents" in s3.list_objects_v2(Bucket=bucket, Prefix="transform/spoilt/")

# --- stop ----------------------------------------------------------------------------------------------------
stopped = booster.transformer(1, "ml.m5.large", strategy="SingleRecord", output_path=f"s3://{bucket}/transform/stopped")
with open("long.csv", "w") as file:
    file.writelines(open("batch_dataset.csv").read() for _ in range(4000))
stopped.transform(
    session.upload_data("long.csv", key_prefix="transform/long"), content_type="text/csv", split_type="Line", wait=False, logs=False
)
client = session.sagemaker_client
name = stopped.latest_transform_job.name
until = time.monotonic() + 120
while "TransformStartTime" not in client.describe_transform_job(TransformJobName=name) and time.monotonic() < until:
    time.sleep(0.05)
stopped.stop_transform_job(wait=True)
facts["stopped"] = client.describe_transform_job(TransformJobName=name)["TransformJobStatus"]
facts["left_by_stop"] = "Contents" in s3.list_objects_v2(Bucket=bucket, Prefix="transform/stopped/")
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
