"""SageMaker SDK v2: the tuning lab of the MLOps warm-up (20 jobs, 4 at a time, validation:merror), attached, analysed and deployed."""

import json
import os
import time

import boto3
import numpy as np
import sagemaker
from sagemaker import get_execution_role
from sagemaker.inputs import TrainingInput
from sagemaker.serializers import CSVSerializer
from sagemaker.tuner import CategoricalParameter, ContinuousParameter, HyperparameterTuner, IntegerParameter
from sklearn import datasets
from sklearn.model_selection import train_test_split

iris = datasets.load_iris()
x_train, x_test, y_train, y_test = train_test_split(iris.data, iris.target, test_size=0.33, random_state=42, stratify=iris.target)
np.savetxt("iris_train.csv", np.column_stack((y_train, x_train)), delimiter=",", fmt="%0.3f")
np.savetxt("iris_test.csv", np.column_stack((y_test, x_test)), delimiter=",", fmt="%0.3f")

role, session, client = get_execution_role(), sagemaker.Session(), boto3.client("sagemaker")
bucket = session.default_bucket()
uris = {n: session.upload_data(path=f"iris_{n}.csv", key_prefix="tuning/data") for n in ("train", "test")}
inputs = {"train": TrainingInput(uris["train"], content_type="csv"), "validation": TrainingInput(uris["test"], content_type="csv")}
image = sagemaker.image_uris.retrieve("xgboost", boto3.Session().region_name, version="1.0-1")


def estimator():
    made = sagemaker.estimator.Estimator(
        image_uri=image,
        role=role,
        instance_count=1,
        instance_type="ml.m4.xlarge",
        output_path=f"s3://{bucket}/tuning/output",
        sagemaker_session=session,
    )
    made.set_hyperparameters(silent=0, objective="multi:softmax", num_class=3, num_round=30, tree_method="auto")
    return made


tuner = HyperparameterTuner(
    estimator(),
    "validation:merror",
    {
        "eta": ContinuousParameter(0.01, 0.5),
        "min_child_weight": ContinuousParameter(1, 10),
        "alpha": ContinuousParameter(0, 2),
        "max_depth": IntegerParameter(1, 10),
        "gamma": ContinuousParameter(0, 5),
    },
    objective_type="Minimize",
    max_jobs=20,
    max_parallel_jobs=4,
    tags=[{"Key": "lab", "Value": "warm-up"}],
)
tuner.fit(inputs, wait=False)
name, began, most = tuner.latest_tuning_job.name, time.monotonic(), 0
while True:
    said = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    most = max(most, said["TrainingJobStatusCounters"]["InProgress"])
    if said["HyperParameterTuningJobStatus"] != "InProgress":
        break
seconds = time.monotonic() - began
tuner.wait()
frame = tuner.analytics().dataframe()

attached = HyperparameterTuner.attach(name)
best = attached.best_training_job()
predictor = attached.deploy(initial_instance_count=1, instance_type="ml.m5.xlarge", serializer=CSVSerializer())
right = np.mean([float(predictor.predict(row).decode()) == label for row, label in zip(x_test, y_test, strict=True)])
predictor.delete_endpoint()

warm = tuner.identical_dataset_and_algorithm_tuner()
warm.max_jobs, warm.max_parallel_jobs = 2, 2
warm.estimator = estimator()
warm.fit(inputs, job_name="warm")  # names of tuners have minutes: two in one collide, as on AWS
warmed = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=warm.latest_tuning_job.name)

several = HyperparameterTuner.create(
    estimator_dict={"shallow": estimator(), "deep": estimator()},
    objective_metric_name_dict={n: "validation:merror" for n in ("shallow", "deep")},
    hyperparameter_ranges_dict={
        "shallow": {"max_depth": IntegerParameter(1, 2), "eta": ContinuousParameter(0.1, 0.5)},
        "deep": {"max_depth": IntegerParameter(6, 9), "booster": CategoricalParameter(["gbtree", "dart"])},
    },
    objective_type="Minimize",
    strategy="Random",
    max_jobs=4,
    max_parallel_jobs=2,
)
several.fit(inputs={"shallow": inputs, "deep": inputs}, include_cls_metadata={}, job_name="several")
both = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=several.latest_tuning_job.name)

jobs = client.list_training_jobs_for_hyper_parameter_tuning_job(
    HyperParameterTuningJobName=name, SortBy="FinalObjectiveMetricValue", MaxResults=100
)["TrainingJobSummaries"]
facts = {
    "name": name,
    "seconds": seconds,
    "most": most,
    "status": said["HyperParameterTuningJobStatus"],
    "counters": said["TrainingJobStatusCounters"],
    "objectives": said["ObjectiveStatusCounters"],
    "best": best,
    "values": [job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for job in jobs],
    "first": jobs[0]["TrainingJobName"],
    "columns": sorted(frame.columns),
    "rows": len(frame),
    "frame_best": float(frame["FinalObjectiveValue"].min()),
    "right": float(right),
    "tags": client.list_tags(ResourceArn=client.describe_training_job(TrainingJobName=best)["TrainingJobArn"])["Tags"],
    "warm": {
        "counters": warmed["TrainingJobStatusCounters"],
        "overall": warmed["OverallBestTrainingJob"],
        "config": warmed["WarmStartConfig"],
    },
    "several": {
        "counters": both["TrainingJobStatusCounters"],
        "definitions": sorted(d["DefinitionName"] for d in both["TrainingJobDefinitions"]),
    },
}
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file, default=str)
