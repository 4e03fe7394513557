"""Executions of pipelines: order, references, conditions, failures, with jobs that end when the test says."""

import json

import pytest

from tests.support.pipelines import PipelineYard


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    made = PipelineYard(tmp_path_factory.mktemp("pipelines") / "data")
    yield made
    made.close()


@pytest.fixture
def yard(platform):
    platform.clear()
    return platform


def output(name, uri):
    return {"ProcessingOutputConfig": {"Outputs": [{"OutputName": name, "S3Output": {
        "S3Uri": uri, "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"}}]}}  # fmt: skip


def test_steps_run_in_the_order_of_their_references(yard):
    yard.put("in/a.csv", b"1,2\n")
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": {
        "S3DataType": "S3Prefix", "S3Uri": {"Get": "Steps.Prepare.ProcessingOutputConfig.Outputs['data'].S3Output.S3Uri"}}}}  # fmt: skip
    prepare = yard.processing("Prepare", arguments=output("data", "s3://bucket/in"))
    train = yard.training("Train", arguments={"InputDataConfig": [channel], "HyperParameters": {"depth": {"Get": "Parameters.Depth"}}})
    arn = yard.create("Abalone", train, prepare, parameters=[{"Name": "Depth", "Type": "Integer", "DefaultValue": 3}])
    execution = yard.start("Abalone", {"Depth": "5"})
    assert arn.endswith(":pipeline/abalone") and execution.startswith(arn + "/execution/") and len(execution.rpartition("/")[2]) == 12
    assert yard.statuses(execution) == {"Prepare": "Executing"}
    yard.end(execution, "Prepare")
    assert yard.statuses(execution) == {"Prepare": "Succeeded", "Train": "Executing"}
    job = yard.sm.describe_training_job(TrainingJobName=yard.job(execution, "Train").name)
    assert job["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] == "s3://bucket/in"
    assert job["HyperParameters"] == {"depth": "5"}
    identity = execution.rpartition("/")[2]
    assert job["TrainingJobName"].startswith(f"pipelines-{identity}-Train-") and len(job["TrainingJobName"].rpartition("-")[2]) == 10
    tags = {t["Key"]: t["Value"] for t in yard.sm.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]}
    assert tags == {"sagemaker:pipeline-execution-arn": execution, "sagemaker:pipeline-step-name": "Train"}
    yard.end(execution, "Train")
    assert yard.status(execution) == "Succeeded"
    rows = yard.sm.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
    assert [row["StepName"] for row in rows] == ["Train", "Prepare"], "the newest first"
    assert rows[0]["Metadata"] == {"TrainingJob": {"Arn": job["TrainingJobArn"]}} and rows[0]["AttemptCount"] == 1
    assert rows[0]["EndTime"] > rows[0]["StartTime"]


@pytest.mark.parametrize(("mse", "taken", "left"), [(4.5, "Register", "TooBad"), (7.5, "TooBad", "Register")])
def test_a_condition_on_a_property_file(yard, mse, taken, left):
    evaluate = yard.processing(
        "Evaluate",
        arguments=output("report", {"Std:Join": {"On": "/", "Values": ["s3://bucket/reports", {"Get": "Execution.PipelineExecutionId"}]}}),
        PropertyFiles=[{"PropertyFileName": "Report", "OutputName": "report", "FilePath": "evaluation.json"}],
    )
    value = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}, "Path": "regression_metrics.mse.value"}}
    condition = yard.condition(
        "Good",
        [{"Type": "LessThanOrEqualTo", "LeftValue": value, "RightValue": {"Get": "Parameters.Most"}}],
        [yard.training("Register")],
        [yard.fail("TooBad", {"Std:Join": {"On": " ", "Values": ["MSE >", {"Get": "Parameters.Most"}]}})],
    )
    yard.create("p", evaluate, condition, parameters=[{"Name": "Most", "Type": "Float", "DefaultValue": 6.0}])
    execution = yard.start("p")
    yard.put(f"reports/{execution.rpartition('/')[2]}/evaluation.json", {"regression_metrics": {"mse": {"value": mse}}})
    yard.end(execution, "Evaluate")
    found = yard.steps(execution)
    assert taken in found and left not in found
    assert found["Good"]["Metadata"] == {"Condition": {"Outcome": "True" if taken == "Register" else "False"}}
    if taken == "Register":
        yard.end(execution, "Register")
        assert yard.status(execution) == "Succeeded"
        return
    assert (found["TooBad"]["StepStatus"], found["TooBad"]["FailureReason"]) == ("Failed", "MSE > 6.0")
    assert found["TooBad"]["Metadata"] == {"Fail": {"ErrorMessage": "MSE > 6.0"}}
    said = yard.sm.describe_pipeline_execution(PipelineExecutionArn=execution)
    assert (said["PipelineExecutionStatus"], said["FailureReason"]) == ("Failed", "Step failure: One or multiple steps failed.")


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"Type": "Equals", "LeftValue": {"Get": "Parameters.N"}, "RightValue": 3}, True),
        ({"Type": "Equals", "LeftValue": "3", "RightValue": {"Get": "Parameters.N"}}, True),
        ({"Type": "Equals", "LeftValue": {"Get": "Parameters.B"}, "RightValue": True}, True),
        ({"Type": "GreaterThan", "LeftValue": {"Get": "Parameters.N"}, "RightValue": 3}, False),
        ({"Type": "GreaterThanOrEqualTo", "LeftValue": {"Get": "Parameters.N"}, "RightValue": 3.0}, True),
        ({"Type": "LessThan", "LeftValue": 10, "RightValue": {"Get": "Parameters.N"}}, False),
        ({"Type": "In", "QueryValue": {"Get": "Parameters.S"}, "Values": ["a", {"Get": "Parameters.S"}]}, True),
        ({"Type": "In", "QueryValue": {"Get": "Parameters.S"}, "Values": ["a"]}, False),
        ({"Type": "Not", "Condition": {"Type": "Equals", "LeftValue": 1, "RightValue": 1}}, False),
        ({"Type": "Or", "Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 2}, {"Type": "Equals", "LeftValue": 1, "RightValue": 1}]}, True),
    ],
)  # fmt: skip
def test_conditions(yard, condition, holds):
    parameters = [
        {"Name": "N", "Type": "Integer", "DefaultValue": 3},
        {"Name": "S", "Type": "String", "DefaultValue": "x"},
        {"Name": "B", "Type": "Boolean", "DefaultValue": True},
    ]
    told = yard.fail("Told", {"Std:Join": {"On": ": ", "Values": ["outcome", {"Get": "Steps.C.Outcome"}]}})
    yard.create("p", yard.condition("C", [condition]), told, parameters=parameters)
    execution = yard.start("p")
    assert yard.steps(execution)["Told"]["FailureReason"] == f"outcome: {str(holds).lower()}"


def test_branches_that_are_not_taken_hold_back_what_depends_on_them(yard):
    inner = yard.condition("Inner", [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}], [yard.fail("Deep")])
    outer = yard.condition("Outer", [{"Type": "Equals", "LeftValue": 1, "RightValue": 2}], [inner])
    yard.create("p", outer, yard.training("After", DependsOn=["Inner"]))
    execution = yard.start("p")
    assert yard.statuses(execution) == {"Outer": "Succeeded"} and yard.status(execution) == "Succeeded"


def test_a_failed_job_fails_the_execution_and_independent_steps_go_on(yard):
    yard.create("p", yard.training("A"), yard.training("B"), yard.training("C", DependsOn=["A"]), yard.training("D", DependsOn=["B"]))
    execution = yard.start("p")
    yard.end(execution, "A", "Failed", reason="AlgorithmError: ValueError: bad, exit code: 1")
    assert yard.steps(execution)["A"]["FailureReason"] == "ClientError: AlgorithmError: ValueError: bad, exit code: 1"
    assert yard.status(execution) == "Executing"
    yard.end(execution, "B")
    yard.end(execution, "D")
    assert yard.status(execution) == "Failed"
    assert yard.statuses(execution) == {"A": "Failed", "B": "Succeeded", "D": "Succeeded"}
    (row,) = yard.sm.list_pipeline_executions(PipelineName="p")["PipelineExecutionSummaries"]
    assert row["PipelineExecutionFailureReason"] == "Step failure: One or multiple steps failed."
    again = yard.sm.retry_pipeline_execution(PipelineExecutionArn=execution)
    assert again["PipelineExecutionArn"] == execution and yard.status(execution) == "Executing"
    first = yard.job(execution, "A").name
    yard.go()
    assert yard.statuses(execution) == {"A": "Executing", "B": "Succeeded", "D": "Succeeded"}
    assert yard.job(execution, "A").name != first
    yard.end(execution, "A")
    yard.end(execution, "C")
    assert yard.status(execution) == "Succeeded"
    with pytest.raises(yard.sm.exceptions.ConflictException, match="status Succeeded"):
        yard.sm.retry_pipeline_execution(PipelineExecutionArn=execution)


def test_steps_for_failures(yard):
    """DependsOn with a Trigger, as SDK v3's StepDependency writes it."""
    on = lambda trigger: [{"Step": "A", "Trigger": trigger}]  # noqa: E731
    yard.create(
        "p",
        yard.training("A"),
        yard.training("Next", DependsOn=["A"]),
        yard.training("Sorry", DependsOn=on("Failed")),
        yard.condition("Always", [], DependsOn=on("Any")),
    )
    good, bad = yard.start("p"), yard.start("p")
    yard.end(good, "A")
    yard.end(good, "Next")
    assert yard.statuses(good) == {"A": "Succeeded", "Next": "Succeeded", "Always": "Succeeded"} and yard.status(good) == "Succeeded"
    yard.end(bad, "A", "Failed", reason="AlgorithmError: x")
    yard.end(bad, "Sorry")
    assert yard.statuses(bad) == {"A": "Failed", "Sorry": "Succeeded", "Always": "Succeeded"}
    assert yard.status(bad) == "CompletedWithFailures"


def test_what_the_service_refuses_fails_the_step_in_its_words(yard):
    train = yard.training("Train", arguments={"OutputDataConfig": {"S3OutputPath": "s3://bucket/o"}, "RoleArn": {"Get": "Parameters.R"}})
    yard.create("p", train, parameters=[{"Name": "R", "Type": "String"}])
    execution = yard.start("p", {"R": "nonsense"})
    reason = yard.steps(execution)["Train"]["FailureReason"]
    assert reason.startswith("ClientError: Failed to invoke sagemaker:CreateTrainingJob. Error Details: ")
    assert "'roleArn' failed to satisfy constraint" in reason and yard.status(execution) == "Failed"


def test_stop_waits_for_the_jobs(yard):
    yard.create("p", yard.training("A"), yard.training("B", DependsOn=["A"]))
    execution = yard.start("p")
    yard.sm.stop_pipeline_execution(PipelineExecutionArn=execution)
    assert yard.status(execution) == "Stopping"
    yard.go()
    assert yard.statuses(execution) == {"A": "Stopping"} and yard.job(execution, "A").spec["stop"]
    yard.end(execution, "A", "Stopped")
    assert yard.statuses(execution) == {"A": "Stopped"} and yard.status(execution) == "Stopped"
    with pytest.raises(yard.sm.exceptions.ConflictException):
        yard.sm.stop_pipeline_execution(PipelineExecutionArn=execution)
    yard.sm.retry_pipeline_execution(PipelineExecutionArn=execution)
    yard.go()
    assert yard.statuses(execution) == {"A": "Executing"} and yard.status(execution) == "Executing"


def test_at_most_so_many_steps_at_once(yard):
    yard.create("p", *[yard.training(name) for name in "ABC"], ParallelismConfiguration={"MaxParallelExecutionSteps": 2})
    execution = yard.start("p")
    assert yard.statuses(execution) == {"A": "Executing", "B": "Executing"}
    yard.end(execution, "B")
    assert yard.statuses(execution) == {"A": "Executing", "B": "Succeeded", "C": "Executing"}
    other = yard.start("p", ParallelismConfiguration={"MaxParallelExecutionSteps": 1})
    assert len(yard.statuses(other)) == 1


def test_events_of_executions_and_steps(yard):
    yard.create("p", yard.training("A"))
    execution = yard.start("p", PipelineExecutionDisplayName="mine")
    yard.end(execution, "A")
    record = yard.platform.store.by_arn(execution)
    told = [event.detail["eventbridge"] for event in yard.platform.store.events_of(record.uid) if "eventbridge" in event.detail]
    of_steps = [
        (e["detail"].get("previousStepStatus"), e["detail"]["currentStepStatus"]) for e in told if "Step Status" in e["detail-type"]
    ]
    assert of_steps == [(None, "Starting"), ("Starting", "Executing"), ("Executing", "Succeeded")]
    first, *_, last = [e for e in told if e["detail-type"] == "SageMaker Model Building Pipeline Execution Status Change"]
    assert first["detail"]["currentPipelineExecutionStatus"] == "Executing" and "previousPipelineExecutionStatus" not in first["detail"]
    assert last["detail"]["currentPipelineExecutionStatus"] == "Succeeded" and last["detail"]["pipelineExecutionDisplayName"] == "mine"
    assert last["source"] == "aws.sagemaker" and last["resources"] == [execution.partition("/execution")[0], execution]
    step = next(e for e in told if e["detail"].get("currentStepStatus") == "Succeeded")
    assert step["detail"]["metadata"]["trainingJob"]["arn"] == yard.job(execution, "A").arn
    json.dumps(told)


def test_the_experiment_of_an_execution(yard):
    top = {
        "PipelineExperimentConfig": {
            "ExperimentName": {"Get": "Execution.PipelineName"},
            "TrialName": {"Get": "Execution.PipelineExecutionId"},
        }
    }
    yard.create("Mine", yard.training("A"), top=top)
    execution = yard.start("Mine")
    identity = execution.rpartition("/")[2]
    said = yard.sm.describe_pipeline_execution(PipelineExecutionArn=execution)
    assert said["PipelineExperimentConfig"] == {"ExperimentName": "mine", "TrialName": identity}
    yard.end(execution, "A")
    found = yard.sm.list_trial_components(TrialName=identity)["TrialComponentSummaries"]
    assert [row["TrialComponentName"] for row in found] == [f"{yard.job(execution, 'A').name}-aws-training-job"]
    assert yard.sm.describe_trial(TrialName=identity)["ExperimentName"] == "mine"
    assert yard.status(yard.start("Mine")) == "Executing", "the experiment is there already"
