"""SageMaker SDK v2: experiments, lineage and the model registry, from a Run to an endpoint of a model package."""

import pytest


@pytest.fixture(scope="module")
def told(yard, tmp_path_factory):
    return yard.python("client-sdk2", "sdk2_experiments.py", str(tmp_path_factory.mktemp("notes") / "notes.txt"), timeout=400)


def test_a_run_keeps_what_was_logged(told):
    run = told["run"]
    assert run["Parameters"] == {"max_depth": {"NumberValue": 3.0}, "booster": {"StringValue": "gbtree"}, "eta": {"NumberValue": 0.3}}
    metrics = {m["MetricName"]: m for m in run["Metrics"]}
    assert metrics["loss"]["Count"] == 12 and metrics["loss"]["Max"] == 1.0 and metrics["accuracy"]["Last"] == 0.9
    assert run["InputArtifacts"]["source"]["Value"] == "s3://somewhere/source.tar.gz" and "notes" in run["OutputArtifacts"]
    assert [s["SourceType"] for s in run["Sources"]] == ["SageMakerTrainingJob"]
    assert told["runs"] == ["first"]


def test_the_job_has_its_own_component(told):
    job = told["job"]
    assert job["Source"]["SourceType"] == "SageMakerTrainingJob" and job["Parameters"]["num_round"] == {"NumberValue": 8.0}
    metrics = {m["MetricName"]: m for m in job["Metrics"]}
    assert metrics["train:error"]["Count"] == 8 and metrics["validation:error"]["Last"] == 0.0
    assert job["OutputArtifacts"]["SageMaker.ModelArtifact"]["Value"].endswith("/churn-one/output/model.tar.gz")


def test_analytics_and_the_lineage_table(told):
    assert told["frame"]["names"] == ["churn-exp-first", "churn-one-aws-training-job"]
    assert {"max_depth", "loss - Max", "train:error - Last", "Trials", "Experiments"} <= set(told["frame"]["columns"])
    rows = {(row[1], row[2], row[3], row[4]) for row in told["lineage"]}
    assert {
        ("Input", "DataSet", "ContributedTo", "artifact"), ("Input", "Image", "ContributedTo", "artifact"),
        ("Output", "Model", "Produced", "artifact"),
    } <= rows  # fmt: skip


def test_registered_approved_and_deployed(told):
    assert [arn.split(":", 5)[5] for arn in told["packages"]] == ["model-package/churn-group/1", "model-package/churn-group/2"]
    said = told["described"]
    assert (said["ModelApprovalStatus"], said["ApprovalDescription"]) == ("Approved", "looks good")
    assert said["CustomerMetadataProperties"] == {"team": "red", "stage": "prod"} and said["Task"] == "CLASSIFICATION"
    assert said["InferenceSpecification"]["Containers"][0]["ModelDataETag"]
    assert said["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].endswith("statistics.json")
    assert told["newest"].endswith("/churn-group/2")
    assert float(told["prediction"]) > 0.5
    assert told["deployment"] == ["ModelDeployment", "AssociatedWith", "Endpoint"]


def test_a_validation_profile_really_runs(told):
    assert told["validated"]["ModelPackageStatus"] == "Completed"
    assert told["validated"]["ModelPackageStatusDetails"]["ValidationStatuses"] == [{"Name": "small", "Status": "Completed"}]
    assert [float(row) > 0.5 for row in told["validation"].split()] == [True, False]
