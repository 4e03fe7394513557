"""The numbers that real AWS printed for the MLU MLOps lab 1, through the unmodified SageMaker SDK v2."""

import io
import json
import re
import tarfile

import pytest
from botocore.exceptions import ClientError

from tests.journeys.conftest import wait


@pytest.fixture(scope="module")
def lab(yard):
    return yard.python("client-sdk2", "mlu_lab1.py", timeout=240)


def test_first_cells(lab):
    account = lab["role"].split(":")[4]
    assert re.fullmatch(r"arn:aws:iam::\d{12}:role/.+", lab["role"])
    assert lab["bucket"] == f"sagemaker-us-east-1-{account}"
    assert lab["train_uri"] == f"s3://{lab['bucket']}/mlops/iris/data/iris_train.csv"
    assert lab["image"] == "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.0-1-cpu-py3"


def test_every_round_as_on_aws(lab, yard):
    rounds = re.findall(r"\[(\d+)\]#011train-merror:(\S+?)#011validation-merror:(\d+\.\d+)", lab["stdout"])
    assert rounds == [(str(n), "0.03000", "0.10000") for n in range(30)]
    assert "100x4 matrix with 400 entries loaded from /opt/ml/input/data/train?format=csv&label_column=0&delimiter=," in lab["stdout"]
    assert "50x4 matrix with 200 entries" in lab["stdout"]
    assert re.search(r"Billable seconds: [1-9]\d*", lab["stdout"])
    metrics = yard.client("sagemaker").describe_training_job(TrainingJobName=lab["job"])["FinalMetricDataList"]
    assert {m["MetricName"]: round(m["Value"], 5) for m in metrics} == {"train:merror": 0.03, "validation:merror": 0.1}


def test_predictions_as_on_aws(lab):
    assert lab["rows"] == 50
    assert f"{lab['f1']:.1f}" == "90.0"
    assert (lab["first_row"], lab["first"], lab["predictions"][0]) == ("6.3,2.8,5.1,1.5", 1.0, 1.0)
    assert lab["variant"] == "AllTraffic"


def test_model_archive(lab, yard):
    bucket, key = lab["model_data"].removeprefix("s3://").split("/", 1)
    assert key == f"mlops/iris/output/{lab['job']}/output/model.tar.gz"
    body = yard.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert tar.getnames() == ["xgboost-model"]


def test_captured_calls_in_s3(lab, yard):
    s3 = yard.client("s3")
    prefix = f"mlops/iris/monitoring/{lab['endpoint']}/AllTraffic/"

    def records():
        keys = [o["Key"] for o in s3.list_objects_v2(Bucket=lab["bucket"], Prefix=prefix).get("Contents", [])]
        texts = [s3.get_object(Bucket=lab["bucket"], Key=key)["Body"].read().decode() for key in keys]
        found = [json.loads(line) for text in texts for line in text.splitlines()]
        return (keys, found) if len(found) == 51 else None

    keys, found = wait(records, 60)
    assert all(re.fullmatch(re.escape(prefix) + r"\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl", key) for key in keys), keys
    asked = [r for r in found if r["captureData"]["endpointInput"]["data"] == "6.3,2.8,5.1,1.5"]
    assert asked and set(asked[0]) == {"captureData", "eventMetadata", "eventVersion"}
    said = asked[0]["captureData"]
    assert (said["endpointInput"]["mode"], said["endpointInput"]["observedContentType"]) == ("INPUT", "text/csv")
    assert (said["endpointOutput"]["mode"], float(said["endpointOutput"]["data"])) == ("OUTPUT", 1.0)


def test_deleted_endpoint(lab, yard):
    sagemaker = yard.client("sagemaker")

    def gone():
        try:
            sagemaker.describe_endpoint(EndpointName=lab["endpoint"])
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ValidationException"
            return "Could not find endpoint" in error.response["Error"]["Message"]

    wait(gone)
    with pytest.raises(ClientError):
        sagemaker.describe_endpoint_config(EndpointConfigName=lab["endpoint"])
