"""SageMaker SDK v2's processors: from local files to outputs, sharded and replicated hosts, bundles, stops, isolation."""

import pytest

from tests.journeys.conftest import HERE


@pytest.fixture(scope="module")
def said(yard):
    return yard.python("client-sdk2", "sdk2_processing.py", str(HERE / "code/processing"), timeout=300)


def test_sklearn_processor_from_local_files_to_two_outputs(said):
    one, told = said["one"], said["one"]["describe"]
    assert told["ProcessingJobStatus"] == "Completed"
    assert told["ExitMessage"] == "algo-1: 200 rows with scikit-learn 1.2.1\n"
    assert told["AppSpecification"]["ContainerEntrypoint"] == ["python3", "/opt/ml/processing/input/code/prepare.py"]
    assert told["AppSpecification"]["ContainerArguments"] == ["--split", "0.5"]
    assert told["ExperimentConfig"] == {"ExperimentName": "customers", "TrialComponentDisplayName": "prepare"}
    assert (one["train"], one["test"], one["train_rows"]) == (["algo-1.csv"], ["algo-1.csv"], 100)
    assert one["columns"] == "age,job_admin.,job_retired,job_services,y_no,y_yes"
    assert "algo-1 sees ['code', 'part-0.csv', 'part-1.csv', 'part-2.csv', 'part-3.csv']" in one["logs"]
    assert "scikit-learn 1.2.1 with pandas 1.5.3 is used instead of 0.23.2" in one["logs"]


def test_a_job_is_found_again_by_name_and_by_arn(said):
    assert [tuple(one) for one in said["found"]["inputs"]] == [
        ("input-1", "/opt/ml/processing/input", "S3Prefix"),
        ("code", "/opt/ml/processing/input/code", "S3Prefix"),
    ]
    assert [one[:2] for one in said["found"]["outputs"]] == [
        ["train", "/opt/ml/processing/output/train"],
        ["test", "/opt/ml/processing/output/test"],
    ]
    assert said["found"]["tags"] == [{"Key": "team", "Value": "data"}]


def test_the_job_is_a_trial_component_with_its_inputs_and_outputs(said):
    component, told = said["component"], said["one"]["describe"]
    assert component["TrialComponentName"] == told["ProcessingJobName"] + "-aws-processing-job"
    assert component["DisplayName"] == "prepare"
    assert {"input-1", "code", "SageMaker.ImageUri"} <= component["InputArtifacts"].keys()
    assert {"train", "test"} == component["OutputArtifacts"].keys()


def test_four_files_over_four_hosts_fail_as_on_aws(said):
    told = said["sharded"]
    assert told["failure"]["actual"] == "Failed"
    assert "Failed. Reason: AlgorithmError: See job logs for more information" in told["failure"]["text"]
    assert "part-2.csv is not here" in told["failure"]["text"]
    for number in range(1, 5):
        assert any(f"algo-{number} sees ['code', 'part-{number - 1}.csv']" in line for line in told["sees"]), told["sees"]
    assert told["train"] == ["algo-2.csv", "algo-3.csv", "algo-4.csv"]


def test_replicated_they_work(said):
    told = said["replicated"]
    assert told["failure"] == {} and told["train"] == [f"algo-{n}.csv" for n in range(1, 5)]
    assert told["message"].count("200 rows") == 4


def test_framework_processor_with_its_own_script_and_requirements(said):
    assert said["framework"]["entry"] == ["/bin/bash", "/opt/ml/processing/input/entrypoint/runproc.sh"]
    seen = said["framework"]["seen"]
    assert (seen["argv"], seen["helper"]) == (["--words", "two words"], "a module of the bundle")
    assert {"work.py", "helper.py", "requirements.txt", "sourcedir.tar.gz"} <= set(seen["files"])


def test_stops_and_waiters(said):
    assert said["stopped"] == "Stopped"


def test_a_processor_of_ones_own_command_that_is_isolated(said):
    config, told = said["alone"]["config"], said["alone"]["describe"]
    network = {"EnableNetworkIsolation": True, "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}
    assert config["NetworkConfig"] == network and network.items() <= told["NetworkConfig"].items()
    assert config["ProcessingJobArn"] == told["ProcessingJobArn"]
