"""SageMaker SDK v2: a PipelineModel (scikit-learn before built-in XGBoost) and MultiDataModels (built-in and script mode)."""

import json
import os
import sys
import time

import numpy as np
import sagemaker
from sagemaker.deserializers import CSVDeserializer
from sagemaker.inputs import TrainingInput
from sagemaker.multidatamodel import MultiDataModel
from sagemaker.pipeline import PipelineModel
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer
from sagemaker.sklearn.estimator import SKLearn
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

facts = {}
iris = load_iris()
table = np.column_stack((iris.target, iris.data))
np.savetxt("iris_train.csv", table, delimiter=",", fmt="%0.3f")
np.savetxt("scaled.csv", np.column_stack((iris.target, StandardScaler().fit_transform(iris.data))), delimiter=",", fmt="%0.6f")
session = sagemaker.Session()
role = sagemaker.get_execution_role(session)
bucket = session.default_bucket()
image = sagemaker.image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1")

# --- a pipeline ---------------------------------------------------------------------------------------
scaler = SKLearn(
    entry_point="preprocess.py", source_dir=sys.argv[1], framework_version="1.2-1", instance_type="ml.m5.large", role=role,
    sagemaker_session=session,
)  # fmt: skip
scaler.fit({"train": session.upload_data("iris_train.csv", key_prefix="pipe/raw")}, wait=False)
booster = sagemaker.estimator.Estimator(
    image, role, 1, "ml.m5.large", output_path=f"s3://{bucket}/pipe", sagemaker_session=session,
    hyperparameters={"num_round": 20, "objective": "multi:softmax", "num_class": 3},
)  # fmt: skip
booster.fit({"train": TrainingInput(session.upload_data("scaled.csv", key_prefix="pipe/scaled"), content_type="text/csv")}, wait=False)
scaler.latest_training_job.wait(logs="None")
booster.latest_training_job.wait(logs="None")
first = scaler.create_model(env={"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"})
pipeline = PipelineModel([first, booster.create_model()], role, name="scale-and-boost", sagemaker_session=session)
pipeline.deploy(1, "ml.m5.large", endpoint_name="scale-and-boost")
predictor = Predictor("scale-and-boost", session, serializer=CSVSerializer(), deserializer=CSVDeserializer())
answers = np.array([float(rows[0][0]) for rows in (predictor.predict(iris.data[n : n + 1]) for n in range(0, 150, 3))])
facts["pipeline"] = float(np.mean(answers == iris.target[::3]))
try:
    predictor.predict("not,numbers,at,all")
except Exception as problem:
    facts["error"] = str(problem)
logs = session.boto_session.client("logs")
until = time.monotonic() + 60  # the first container says nothing before that error
while len(facts.get("streams", ())) < 2 and time.monotonic() < until:
    streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/scale-and-boost")["logStreams"]
    facts["streams"] = sorted(s["logStreamName"].split("/")[-1] for s in streams)
    time.sleep(0.2)
predictor.delete_endpoint()

# --- many models --------------------------------------------------------------------------------------
trained = {}
for number in (1, 2):
    np.savetxt(f"times{number}.csv", np.column_stack((iris.target * number, iris.data)), delimiter=",", fmt="%0.3f")
    trained[number] = sagemaker.estimator.Estimator(
        image, role, 1, "ml.m5.large", output_path=f"s3://{bucket}/pipe", sagemaker_session=session, hyperparameters={"num_round": 20},
    )  # fmt: skip
    data = session.upload_data(f"times{number}.csv", key_prefix=f"pipe/times{number}")
    trained[number].fit({"train": TrainingInput(data, content_type="text/csv")}, wait=False, job_name=f"times{number}")
for each in trained.values():
    each.latest_training_job.wait(logs="None")
models = MultiDataModel("many", f"s3://{bucket}/many/", image_uri=image, role=role, sagemaker_session=session)
models.deploy(1, "ml.m5.large", endpoint_name="many")
predictor = Predictor("many", session, serializer=CSVSerializer(), deserializer=CSVDeserializer())
for number in (1, 2):
    models.add_model(trained[number].model_data, f"times{number}.tar.gz")
facts["listed"] = sorted(models.list_models())
facts["many"] = {n: float(predictor.predict(iris.data[149], target_model=f"times{n}.tar.gz")[0][0]) for n in (1, 2)}
try:
    predictor.predict(iris.data[0], target_model="none.tar.gz")
except Exception as problem:
    facts["unknown"] = str(problem)
predictor.delete_endpoint()

script = scaler.create_model(name="scalers")
scalers = MultiDataModel("scalers", f"s3://{bucket}/scalers/", model=script, sagemaker_session=session)
predictor = scalers.deploy(1, "ml.m5.large", endpoint_name="scalers")
scalers.add_model(scaler.model_data, "iris.tar.gz")
facts["script"] = np.asarray(predictor.predict(iris.data[:2], target_model="iris.tar.gz")).round(3).tolist()
facts["expected"] = StandardScaler().fit_transform(iris.data)[:2].round(3).tolist()
predictor.delete_endpoint()
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
