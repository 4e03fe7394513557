"""Estimates of plans: requests as JSON or YAML, several at once, templates; what no plan is."""

from __future__ import annotations

import json

import pytest

from modelyard.cli.cost import read_plan
from modelyard.services.sagemaker.cost import bill, estimate, prices

TRAINING = {
    "TrainingJobName": "t",
    "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 7200},
}
CONFIG = {
    "EndpointConfigName": "c",
    "ProductionVariants": [
        {"VariantName": "a", "ModelName": "m", "InitialInstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10},
        {"VariantName": "b", "ModelName": "m", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}},
    ],
}


def told(plan, **more):
    """Item → (quantity, USD)."""
    found = estimate.lines(plan, prices.load(), **more)
    return {line.item: (pytest.approx(line.quantity), line.usd if line.usd is None else pytest.approx(line.usd)) for line in found}


def test_a_training_job_for_as_long_as_it_may_run():
    assert told(TRAINING) == {"Training ml.m5.xlarge": (4.0, 0.92), "Training storage": (120 / 730, 120 / 730 * 0.14)}


def test_the_hours_one_expects_count_before_the_limit():
    assert told(TRAINING, job_hours=0.5)["Training ml.m5.xlarge"] == (1.0, 0.23)
    assert told({"operation": "CreateTrainingJob", "request": TRAINING, "hours": 0.25, "count": 4}, job_hours=9)[
        "Training ml.m5.xlarge"
    ] == (2.0, 0.46)


def test_other_jobs():
    processing = {
        "ProcessingJobName": "p",
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 730}},
    }
    transform = {"TransformJobName": "x", "TransformResources": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2}}
    assert told([processing, transform], job_hours=1) == {
        "Processing ml.c5.xlarge": (1.0, 0.204),
        "Processing storage": (1.0, 0.10),
        "Batch transform ml.c5.xlarge": (2.0, 0.408),
    }
    assert told(transform)["Batch transform ml.c5.xlarge"] == (48.0, 48 * 0.204), "a day where the request names no limit"


def test_a_tuning_job_is_all_its_jobs():
    tuning = {
        "HyperParameterTuningJobName": "h",
        "HyperParameterTuningJobConfig": {"ResourceLimits": {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 4}},
        "TrainingJobDefinition": {k: v for k, v in TRAINING.items() if k != "TrainingJobName"},
    }
    assert told(tuning)["Training ml.m5.xlarge"] == (80.0, 20 * 0.92)
    two = {**tuning, "TrainingJobDefinitions": [tuning["TrainingJobDefinition"]] * 2}
    assert bill.total(estimate.lines(two, prices.load())) == pytest.approx(bill.total(estimate.lines(tuning, prices.load())))


def test_an_endpoint_for_a_month():
    found = told({"CreateEndpointConfig": CONFIG})
    assert found["Hosting ml.m5.large"] == (1460.0, 1460 * 0.115)
    assert found["Hosting storage"] == (20.0, 2.8)
    assert found["Serverless inference 2048 MB (by use; none counted)"] == (0.0, 0.0)
    assert told(CONFIG, endpoint_hours=10)["Hosting ml.m5.large"] == (20.0, 2.3)


def test_provisioned_concurrency():
    plan = {
        "EndpointConfigName": "c",
        "ProductionVariants": [{"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 3}}],
    }
    assert told(plan, endpoint_hours=2)["Provisioned concurrency 2048 MB"] == (3 * 7200.0, None)


def test_a_type_without_a_price():
    plan = {**TRAINING, "ResourceConfig": {"InstanceType": "ml.x9.huge", "InstanceCount": 1, "VolumeSizeInGB": 0}}
    (line,) = estimate.lines(plan, prices.load())
    assert line.usd is None and bill.unpriced([line]) == ["Training ml.x9.huge"]


TEMPLATE = """
Parameters:
  Type: {Type: String, Default: ml.m5.xlarge}
  Count: {Type: Number, Default: 3}
Resources:
  Bucket: {Type: 'AWS::S3::Bucket'}
  Model: {Type: 'AWS::SageMaker::Model', Properties: {ExecutionRoleArn: !GetAtt Role.Arn}}
  Config:
    Type: AWS::SageMaker::EndpointConfig
    Properties:
      ProductionVariants:
        - {VariantName: a, InstanceType: !Ref Type, InitialInstanceCount: !Ref Count, InitialVariantWeight: 1}
        - {VariantName: b, InstanceType: !Sub 'ml.${Size}.large', InitialInstanceCount: '1'}
  Endpoint: {Type: 'AWS::SageMaker::Endpoint', Properties: {EndpointConfigName: !GetAtt Config.EndpointConfigName}}
"""


def test_a_cloudformation_template(tmp_path):
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE.replace("  Count:", "  Size: {Type: String, Default: c5}\n  Count:"))
    plan = read_plan(path)
    assert told(plan, endpoint_hours=1) == {"Hosting ml.m5.xlarge": (3.0, 0.69), "Hosting ml.c5.large": (1.0, 0.102)}
    assert estimate.not_counted(plan) == ["AWS::S3::Bucket"]
    path.write_text(TEMPLATE.replace(", Default: ml.m5.xlarge", ""))
    with pytest.raises(estimate.BadPlan, match="The parameter Type has no default"):
        told(read_plan(path))
    path.write_text(TEMPLATE + "  Notebook: {Type: 'AWS::SageMaker::NotebookInstance'}\n")
    with pytest.raises(estimate.BadPlan, match="Notebook: AWS::SageMaker::NotebookInstance is not priced"):
        told(read_plan(path))


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ("a text", "A plan is a request, a list of requests or a template, not str"),
        ({"ModelName": "m", "Colour": "red"}, "This is no create request that costs something; members: ModelName, Colour"),
        ({"operation": "CreateNotebookInstance", "request": {}}, "CreateNotebookInstance is not priced; known: CreateTrainingJob"),
        ({"operation": "CreateTrainingJob"}, "'request' must be an object"),
        ({"operation": "CreateTrainingJob", "request": TRAINING, "count": -1}, "'count' must be a number of at least 0, not -1"),
        ({"operation": "CreateTrainingJob", "request": TRAINING, "hours": "2"}, "'hours' must be a number"),
        ({"TrainingJobName": "t"}, "ResourceConfig must name an instance type"),
        ({"HyperParameterTuningJobName": "h", "TrainingJobDefinition": TRAINING}, "must have MaxNumberOfTrainingJobs"),
        ({"EndpointConfigName": "c", "ProductionVariants": [{"VariantName": "a"}]}, "each variant must name an InstanceType"),
    ],
)
def test_what_is_no_plan(plan, text):
    with pytest.raises(estimate.BadPlan, match=text.replace("(", r"\(")):
        told(plan)


def test_what_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        read_plan(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "bad.yaml").write_text("a: [")
    for name in ("bad.json", "bad.yaml"):
        with pytest.raises(ValueError, match="is neither JSON nor YAML"):
            read_plan(tmp_path / name)
    (tmp_path / "evil.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(ValueError, match="is neither JSON nor YAML"):
        read_plan(tmp_path / "evil.yaml")
    (tmp_path / "good.json").write_text(json.dumps([TRAINING]))
    assert read_plan(tmp_path / "good.json") == [TRAINING]


def test_the_price_table_says_where_each_price_is_from():
    table = prices.load()
    for section in prices.SECTIONS:
        for key, (usd, source) in table.sections[section].items():
            assert usd > 0 and source in table.sources, (section, key)
    assert table.source("instance_hour", "ml.m5.xlarge").startswith("AWS Price List")
