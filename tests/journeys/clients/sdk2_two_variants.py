"""SageMaker SDK v2: XGBoost script mode, and its model beside another one behind one endpoint."""

import json
import os
import sys

import boto3
import numpy as np
import sagemaker
from sagemaker.deserializers import CSVDeserializer
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer
from sagemaker.session import production_variant
from sagemaker.xgboost.estimator import XGBoost
from sklearn.datasets import load_iris

facts = {}
iris = load_iris()
np.savetxt("iris_train.csv", np.column_stack((iris.target, iris.data)), delimiter=",", fmt="%0.3f")
session = sagemaker.Session()
role = sagemaker.get_execution_role(session)
data = session.upload_data("iris_train.csv", key_prefix="two-variants")
common = {
    "role": role, "instance_count": 1, "instance_type": "ml.m5.large", "framework_version": "1.7-1", "sagemaker_session": session,
}  # fmt: skip
one = XGBoost(entry_point="train.py", source_dir=sys.argv[1], hyperparameters={"num_round": 1, "max_depth": 1}, **common)
many = XGBoost(entry_point="train.py", source_dir=sys.argv[1], hyperparameters={"num_round": 20, "max_depth": 4}, **common)
for name, estimator in (("xgb-one", one), ("xgb-many", many)):
    estimator.fit({"train": data}, job_name=name, wait=False)
for estimator in (one, many):
    estimator.latest_training_job.wait(logs="All" if estimator is many else "None")

variants = []
for name, estimator, weight in (("one", one, 1), ("many", many, 3)):
    model = estimator.create_model(name=f"model-{name}")
    session.create_model(model.name, role, model.prepare_container_def("ml.m5.large"))
    variants.append(production_variant(model.name, "ml.m5.large", 1, name, weight))
session.endpoint_from_production_variants("two-variants", variants, wait=False)
session.wait_for_endpoint("two-variants", poll=1)

predictor = Predictor("two-variants", session, serializer=CSVSerializer(), deserializer=CSVDeserializer())
for name in ("one", "many"):
    answers = [float(predictor.predict(row, target_variant=name)[0][0]) for row in iris.data]
    facts[name] = float(np.mean(np.array(answers) == iris.target))
runtime = boto3.client("sagemaker-runtime")
counts = {"one": 0, "many": 0}
for n in range(400):
    body = ",".join(map(str, iris.data[n % 150]))
    answer = runtime.invoke_endpoint(EndpointName="two-variants", ContentType="text/csv", Body=body, InferenceId=f"call-{n}")
    counts[answer["InvokedProductionVariant"]] += 1
    answer["Body"].read()
facts["counts"] = counts
described = session.sagemaker_client.describe_endpoint(EndpointName="two-variants")
facts["weights"] = {v["VariantName"]: v["CurrentWeight"] for v in described["ProductionVariants"]}
predictor.delete_endpoint()
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
