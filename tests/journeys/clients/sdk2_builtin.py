"""SageMaker SDK v2: each estimator of a built-in algorithm, `record_set`, fit, deploy, predict; all jobs and endpoints side by side."""

import io
import json
import os
import tarfile
import time

import numpy as np
import sagemaker
from sagemaker import KNN, PCA, FactorizationMachines, KMeans, LinearLearner, RandomCutForest
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer
from sagemaker.serializers import CSVSerializer

facts = {"jobs": {}, "answers": {}}
session = sagemaker.Session()
client, role = session.sagemaker_client, sagemaker.get_execution_role(session)
random = np.random.RandomState(0)
labels = random.randint(0, 3, 300)
rows = (random.normal(0, 1, (300, 4)) + 6 * np.eye(4)[labels]).astype("float32")
binary = (labels == 1).astype("float32")
common = {"role": role, "instance_count": 1, "instance_type": "ml.m5.large", "sagemaker_session": session}
estimators = {
    "linear": LinearLearner(predictor_type="binary_classifier", epochs=10, **common),
    "kmeans": KMeans(k=3, **common | {"instance_count": 2}),
    "pca": PCA(num_components=2, **common),
    "knn": KNN(k=5, sample_size=300, predictor_type="classifier", **common),
    "factors": FactorizationMachines(num_factors=2, predictor_type="binary_classifier", epochs=20, linear_lr=0.1, **common),
    "forest": RandomCutForest(num_trees=50, num_samples_per_tree=100, **common),
}
given = {"linear": binary, "knn": labels.astype("float32"), "factors": binary}


def wait(what, describe, key, good, seconds=120):
    end = time.monotonic() + seconds
    while (said := describe())[key] not in good:
        assert time.monotonic() < end and said[key] != "Failed", (what, said)
        time.sleep(0.2)
    return said


for name, estimator in estimators.items():
    records = [estimator.record_set(rows, given.get(name))]
    if name in ("linear", "kmeans", "knn"):
        records.append(estimator.record_set(rows, given.get(name), channel="test", distribution="FullyReplicated"))
    # The SDK has no default for these three.
    size = {"linear": 100, "pca": 100, "factors": 100}.get(name)
    estimator.fit(records, mini_batch_size=size, wait=False, logs=False, job_name=f"builtin-{name}")
for name in estimators:
    said = wait(
        name, lambda name=name: client.describe_training_job(TrainingJobName=f"builtin-{name}"), "TrainingJobStatus", ("Completed",)
    )
    facts["jobs"][name] = {
        "image": said["AlgorithmSpecification"]["TrainingImage"],
        "metrics": {metric["MetricName"]: metric["Value"] for metric in said["FinalMetricDataList"]},
        "hyperparameters": said["HyperParameters"],
        "instances": said["ResourceConfig"]["InstanceCount"],
    }
predictors = {
    name: estimator.deploy(1, "ml.m5.large", endpoint_name=f"builtin-{name}", wait=False) for name, estimator in estimators.items()
}
for name in predictors:
    wait(name, lambda name=name: client.describe_endpoint(EndpointName=f"builtin-{name}"), "EndpointStatus", ("InService",))

for name, predictor in predictors.items():
    facts["answers"][name] = [
        {key: list(value.float32_tensor.values) for key, value in record.label.items()} for record in predictor.predict(rows[:60])
    ]
# The same endpoints by CSV in and JSON out, as notebooks set it.
kmeans = predictors["kmeans"]
kmeans.serializer, kmeans.deserializer = CSVSerializer(), JSONDeserializer()
facts["kmeans_json"] = kmeans.predict(rows[:2])
kmeans.deserializer = CSVDeserializer()
facts["kmeans_csv"] = kmeans.predict(rows[:2])
facts["truth"] = {"labels": labels[:60].tolist(), "binary": binary[:60].tolist()}

body = io.BytesIO()
bucket, _, key = client.describe_training_job(TrainingJobName="builtin-pca")["ModelArtifacts"]["S3ModelArtifacts"][5:].partition("/")
session.boto_session.client("s3").download_fileobj(bucket, key, body)
body.seek(0)
with tarfile.open(fileobj=body) as tar:
    facts["pca_files"] = tar.getnames()
attached = KMeans.attach("builtin-kmeans", session)
facts["attached"] = {"k": attached.k, "data": attached.model_data}

try:
    KMeans(k=301, **common).fit(estimators["kmeans"].record_set(rows), wait=False, logs=False, job_name="builtin-bad")
    end = time.monotonic() + 240
    while (said := client.describe_training_job(TrainingJobName="builtin-bad"))["TrainingJobStatus"] == "InProgress":
        assert time.monotonic() < end
        time.sleep(0.2)
    facts["bad"] = [said["TrainingJobStatus"], said["FailureReason"]]
finally:
    for predictor in predictors.values():
        predictor.delete_endpoint()
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
