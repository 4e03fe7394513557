"""MLflow with AWS's plug-in against a managed tracking server: by its ARN, by a presigned URL, over a stop and a start."""

import json
import os
import sys
import time
import urllib.request

import boto3
import mlflow
from mlflow.tracking import MlflowClient

facts = {}
sm, s3 = boto3.client("sagemaker"), boto3.client("s3")
role = sys.argv[1]
s3.create_bucket(Bucket="tracked")
arn = sm.create_mlflow_tracking_server(TrackingServerName="tracker", ArtifactStoreUri="s3://tracked/mlflow", RoleArn=role)[
    "TrackingServerArn"
]


def until(*statuses, seconds=300):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = sm.describe_mlflow_tracking_server(TrackingServerName="tracker")["TrackingServerStatus"]
        if status in statuses:
            return status
        assert not status.endswith("Failed"), status
        time.sleep(0.5)
    raise AssertionError(f"waited in vain for {statuses}: {status}")


began = time.monotonic()
facts["created"] = until("Created")
facts["seconds"] = time.monotonic() - began
mlflow.set_tracking_uri(arn)
mlflow.set_experiment("churn")
with mlflow.start_run(run_name="first") as run:
    mlflow.log_params({"depth": 3, "eta": 0.1})
    for step in range(5):
        mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
    mlflow.log_text("hello", "notes.txt")
facts["keys"] = [o["Key"] for o in s3.list_objects_v2(Bucket="tracked")["Contents"]]
facts["text"] = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes.txt")

sm.stop_mlflow_tracking_server(TrackingServerName="tracker")
facts["stopped"] = until("Stopped")
sm.start_mlflow_tracking_server(TrackingServerName="tracker")
facts["started"] = until("Started")

url = sm.create_presigned_mlflow_tracking_server_url(TrackingServerName="tracker")["AuthorizedUrl"]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
facts["page"] = opener.open(url).read().decode()[:2000]
facts["version"] = opener.open(url + "version").read().decode()
mlflow.set_tracking_uri(url)
client = MlflowClient()
(found,) = client.search_runs([client.get_experiment_by_name("churn").experiment_id], "metrics.loss < 0.5")
facts["found"] = [found.info.run_name, found.data.params, found.data.metrics, len(client.get_metric_history(found.info.run_id, "loss"))]
registered = client.create_registered_model("churn-model").name
facts["registered"] = registered
sm.delete_mlflow_tracking_server(TrackingServerName="tracker")
deadline = time.monotonic() + 240
while time.monotonic() < deadline and sm.list_mlflow_tracking_servers()["TrackingServerSummaries"]:
    time.sleep(0.2)
facts["left"] = sm.list_mlflow_tracking_servers()["TrackingServerSummaries"]
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
