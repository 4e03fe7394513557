"""Pipelines: caching, retry policies, callbacks, selective executions, versions, permissions, search, deletion."""

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.services.sagemaker.pipeline.caching import seconds_of
from tests.support.pipelines import PipelineYard
from tests.support.platform import ACCOUNT

DAY = 86400.0


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    made = PipelineYard(tmp_path_factory.mktemp("pipelines") / "data")
    yield made
    made.close()


@pytest.fixture
def yard(platform):
    platform.clear()
    return platform


# --- caching -----------------------------------------------------------------------------------------


X = [{"Name": "X", "Type": "String", "DefaultValue": "1"}]


def test_a_result_is_used_again_until_it_is_too_old(yard):
    train = yard.training(
        "Train", arguments={"HyperParameters": {"x": {"Get": "Parameters.X"}}}, CacheConfig={"Enabled": True, "ExpireAfter": "P1DT1H"}
    )
    last = yard.fail("Told", {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"})
    yard.create("p", train, last, parameters=X)
    first = yard.start("p")
    job = yard.end(first, "Train")
    model = yard.steps(first)["Told"]["FailureReason"]
    yard.clock.advance(DAY)
    second = yard.start("p")
    row = yard.steps(second)["Train"]
    assert row["StepStatus"] == "Succeeded" and row["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    assert row["Metadata"] == {"TrainingJob": {"Arn": job.arn}} and yard.steps(second)["Told"]["FailureReason"] == model
    assert "CacheHitResult" not in yard.steps(yard.start("p", {"X": "2"}))["Train"], "other arguments"
    elsewhere = {**train, "Arguments": train["Arguments"] | {"OutputDataConfig": {"S3OutputPath": "s3://bucket/elsewhere"}}}
    yard.sm.update_pipeline(PipelineName="p", PipelineDefinition=yard.definition(elsewhere, parameters=X))
    assert "CacheHitResult" in yard.steps(yard.start("p"))["Train"], "where results go makes no other result"
    yard.clock.advance(3601.0)
    assert yard.steps(yard.start("p"))["Train"]["StepStatus"] == "Executing", "too old"


def test_without_a_cache_everything_runs(yard):
    yard.create("p", yard.training("Train", CacheConfig={"Enabled": False, "ExpireAfter": "P1D"}))
    yard.end(yard.start("p"), "Train")
    assert yard.steps(yard.start("p"))["Train"]["StepStatus"] == "Executing"


def test_a_failure_is_not_kept(yard):
    yard.create("p", yard.training("Train", CacheConfig={"Enabled": True}))
    yard.end(yard.start("p"), "Train", "Failed", reason="AlgorithmError: x")
    assert yard.steps(yard.start("p"))["Train"]["StepStatus"] == "Executing"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT30M", 1800), ("P1D", DAY), ("P1DT2H", DAY + 7200), ("P2W", 14 * DAY), ("P1M", 30 * DAY), ("30d", 30 * DAY), ("T16m", 960), ("30dT5h", 30 * DAY + 18000), ("5y", 1825 * DAY), ("PT", None), ("soon", None), ("P", None), ("", None), (5, None)],
)  # fmt: skip
def test_durations(text, seconds):
    assert seconds_of(text) == seconds


# --- retry policies ----------------------------------------------------------------------------------


def test_a_job_that_failed_is_made_again_after_a_pause(yard):
    policy = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 60, "BackoffRate": 2.0, "MaxAttempts": 2}
    yard.create("p", yard.training("Train", RetryPolicies=[policy]))
    execution = yard.start("p")
    names = [yard.job(execution, "Train").name]
    for pause in (60, 120):
        yard.end(execution, "Train", "Failed", reason="InternalServerError: We encountered an internal error. Please try again.")
        assert yard.statuses(execution) == {"Train": "Starting"}
        yard.clock.advance(pause - 1)
        yard.go()
        assert yard.statuses(execution) == {"Train": "Starting"}
        yard.clock.advance(1)
        yard.go()
        names.append(yard.job(execution, "Train").name)
    assert len(set(names)) == 3 and yard.steps(execution)["Train"]["AttemptCount"] == 3
    yard.end(execution, "Train", "Failed", reason="InternalServerError: We encountered an internal error. Please try again.")
    reason = yard.steps(execution)["Train"]["FailureReason"]
    assert reason.startswith("ClientError: InternalServerError: ") and "SAGEMAKER_JOB_INTERNAL_ERROR is exhausted" in reason
    assert yard.status(execution) == "Failed"


def test_retries_end_after_their_minutes(yard):
    policy = {"ExceptionType": ["SageMaker.CAPACITY_ERROR"], "IntervalSeconds": 50, "BackoffRate": 1.0, "ExpireAfterMin": 2}
    yard.create("p", yard.training("Train", RetryPolicies=[policy]))
    execution = yard.start("p")
    for attempt in (1, 2, 3):
        assert yard.steps(execution)["Train"]["AttemptCount"] == attempt
        yard.end(execution, "Train", "Failed", reason="CapacityError: Unable to provision requested ML compute capacity.")
        yard.clock.advance(50)
        yard.go()
    assert yard.statuses(execution) == {"Train": "Failed"}


def test_a_failure_that_no_policy_is_for(yard):
    yard.create("p", yard.training("Train"))
    execution = yard.start("p")
    yard.end(execution, "Train", "Failed", reason="InternalServerError: x")
    assert yard.steps(execution)["Train"]["FailureReason"] == (
        f"ClientError: InternalServerError: x\nRetry not appropriate on execution of step with PipelineExecutionArn {execution} and StepId Train. "
        "No retry policy configured for the exception type SAGEMAKER_JOB_INTERNAL_ERROR."
    )


# --- callbacks ---------------------------------------------------------------------------------------


@pytest.fixture
def queue(yard):
    sqs = yard.client("sqs")
    url = sqs.create_queue(QueueName="callbacks")["QueueUrl"]
    yield lambda: [
        json.loads(message["Body"])
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        if sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    ]
    sqs.delete_queue(QueueUrl=url)


def callback(yard, **more):
    url = yard.client("sqs").get_queue_url(QueueName="callbacks")["QueueUrl"]
    outputs = [{"OutputName": "place", "OutputType": "String"}, {"OutputName": "count", "OutputType": "Integer"}]
    arguments = {"asked": {"Get": "Parameters.Asked"}}
    return {"Name": "Ask", "Type": "Callback", "SqsQueueUrl": url, "OutputParameters": outputs, "Arguments": arguments, **more}


ASKED = [{"Name": "Asked", "Type": "String", "DefaultValue": "how many"}]


def test_a_callback_step_waits_for_its_answer(yard, queue):
    outputs = {
        "Std:Join": {"On": "/", "Values": [{"Get": "Steps.Ask.OutputParameters['place']"}, {"Get": "Steps.Ask.OutputParameters['count']"}]}
    }
    yard.create("p", callback(yard), yard.fail("Told", outputs), parameters=ASKED)
    execution = yard.start("p")
    (message,) = queue()
    assert message["arguments"] == {"asked": "how many"} and message["pipelineExecutionArn"] == execution
    assert yard.statuses(execution) == {"Ask": "Executing"}
    assert yard.steps(execution)["Ask"]["Metadata"]["Callback"]["CallbackToken"] == message["token"]
    answer = {"OutputParameters": [{"Name": "place", "Value": "here"}, {"Name": "count", "Value": "7"}], "ClientRequestToken": "x" * 32}
    for _ in range(2):  # the same answer may come twice
        told = yard.sm.send_pipeline_execution_step_success(CallbackToken=message["token"], **answer)
        assert told["PipelineExecutionArn"] == execution
    with pytest.raises(yard.sm.exceptions.ConflictException):
        yard.sm.send_pipeline_execution_step_failure(CallbackToken=message["token"])
    yard.go()
    row = yard.steps(execution)["Ask"]
    assert row["StepStatus"] == "Succeeded" and row["Metadata"]["Callback"]["OutputParameters"] == answer["OutputParameters"]
    assert yard.steps(execution)["Told"]["FailureReason"] == "here/7"


def test_a_callback_that_fails(yard, queue):
    yard.create("p", callback(yard), parameters=ASKED)
    execution = yard.start("p")
    yard.sm.send_pipeline_execution_step_failure(CallbackToken=queue()[0]["token"], FailureReason="nobody there")
    yard.go()
    assert yard.steps(execution)["Ask"]["FailureReason"] == "nobody there" and yard.status(execution) == "Failed"


def test_a_stop_waits_for_the_callback(yard, queue):
    yard.create("p", callback(yard), parameters=ASKED)
    execution = yard.start("p")
    token = queue()[0]["token"]
    yard.sm.stop_pipeline_execution(PipelineExecutionArn=execution)
    yard.go()
    assert yard.statuses(execution) == {"Ask": "Stopping"} and yard.status(execution) == "Stopping"
    (message,) = queue()
    assert (message["token"], message["status"]) == (token, "Stopping")
    yard.sm.send_pipeline_execution_step_success(CallbackToken=token)
    yard.go()
    assert yard.statuses(execution) == {"Ask": "Stopped"} and yard.status(execution) == "Stopped"


def test_a_queue_that_is_not_there(yard):
    step = {"Name": "Ask", "Type": "Callback", "SqsQueueUrl": "http://localhost/123456789012/none", "Arguments": {}}
    yard.create("p", step)
    reason = yard.steps(yard.start("p"))["Ask"]["FailureReason"]
    assert reason.startswith("ClientError: Failed to invoke sqs:SendMessage. Error Details: The specified queue does not exist")


# --- selective executions ------------------------------------------------------------------------------


def test_some_steps_with_the_results_of_another_execution(yard):
    model = {"Get": "Steps.A.ModelArtifacts.S3ModelArtifacts"}
    second = yard.training("B", arguments={"HyperParameters": {"model": model}})
    yard.create("p", yard.training("A"), second, yard.training("C", DependsOn=["B"]))
    source = yard.start("p")
    yard.end(source, "A")
    yard.end(source, "B", "Failed", reason="AlgorithmError: x")
    select = lambda *names, **more: {"SelectedSteps": [{"StepName": name} for name in names], **more}  # noqa: E731
    for config, said in (
        (select("B"), "Invalid SourcePipelineExecutionArn: null. The selected steps [B] have dependencies on [A]"),
        (select("X"), r"Invalid SelectedSteps: \[X\]"),
        (select("C", SourcePipelineExecutionArn=source), r"The steps \[B\], which the selected steps depend on, have not succeeded"),
    ):
        with pytest.raises(ClientError, match=said.replace("[B] have dep", r"\[B\] have dep").replace("on [A]", r"on \[A\]")):
            yard.start("p", SelectiveExecutionConfig=config)
    execution = yard.start("p", SelectiveExecutionConfig=select("B", SourcePipelineExecutionArn=source))
    rows = yard.steps(execution)
    assert rows["A"]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": source} and rows["B"]["StepStatus"] == "Executing"
    assert yard.job(execution, "B").spec["HyperParameters"]["model"].endswith("/output/model.tar.gz")
    yard.end(execution, "B")
    assert yard.status(execution) == "Succeeded" and set(yard.steps(execution)) == {"A", "B"}
    said = yard.sm.describe_pipeline_execution(PipelineExecutionArn=execution)["SelectiveExecutionConfig"]
    assert said == select("B", SourcePipelineExecutionArn=source)


# --- versions, lists, deletion ---------------------------------------------------------------------------


def test_versions(yard):
    arn = yard.create("p", yard.training("A"), PipelineVersionAliases=["prod"])
    one, two = yard.definition(yard.training("A")), yard.definition(yard.training("B"))
    yard.clock.advance(5)
    assert yard.sm.update_pipeline(PipelineName="p", PipelineDefinition=one)["PipelineVersionId"] == 1, "nothing changed"
    made = yard.sm.update_pipeline(PipelineName="p", PipelineDefinition=two, PipelineDescription="second")
    assert made == {"PipelineArn": arn, "PipelineVersionId": 2, "ResponseMetadata": made["ResponseMetadata"]}
    assert yard.sm.describe_pipeline(PipelineName="p")["PipelineDefinition"] == two
    assert yard.sm.describe_pipeline(PipelineName=arn, PipelineVersionId=1)["PipelineDefinition"] == one
    assert yard.sm.describe_pipeline(PipelineName="p", PipelineVersionAlias="prod")["PipelineDefinition"] == one
    old, new = yard.start("p", PipelineVersionAlias="prod"), yard.start("p")
    assert (set(yard.steps(old)), set(yard.steps(new))) == ({"A"}, {"B"})
    assert yard.sm.describe_pipeline_definition_for_execution(PipelineExecutionArn=old)["PipelineDefinition"] == one
    rows = yard.sm.list_pipeline_versions(PipelineName="p")["PipelineVersionSummaries"]
    assert [(r["PipelineVersionId"], r["LastExecutionPipelineExecutionArn"]) for r in rows] == [(2, new), (1, old)]
    with pytest.raises(yard.sm.exceptions.ConflictException, match="prod"):
        yard.sm.update_pipeline_version(PipelineArn=arn, PipelineVersionId=2, PipelineVersionAliasOperations={"Add": ["prod"]})
    yard.sm.update_pipeline_version(PipelineArn=arn, PipelineVersionId=1, PipelineVersionAliasOperations={"Remove": ["prod"]})
    yard.sm.update_pipeline_version(
        PipelineArn=arn, PipelineVersionId=2, PipelineVersionDisplayName="two", PipelineVersionAliasOperations={"Add": ["prod"]}
    )
    assert yard.sm.describe_pipeline(PipelineName="p", PipelineVersionAlias="prod")["PipelineVersionDisplayName"] == "two"
    listed = yard.sm.list_pipeline_executions(PipelineName="p", PipelineVersionAlias="prod")["PipelineExecutionSummaries"]
    assert [row["PipelineExecutionArn"] for row in listed] == [new]
    for wrong in ({"PipelineVersionId": 3}, {"PipelineVersionAlias": "none"}):
        with pytest.raises(yard.sm.exceptions.ResourceNotFound):
            yard.start("p", **wrong)


def test_lists_updates_and_search(yard):
    for name in ("abc", "abd", "xyz"):
        yard.clock.advance(1)
        yard.create(name, yard.training("A"), Tags=[{"Key": "team", "Value": name}])
    names = lambda **more: [row["PipelineName"] for row in yard.sm.list_pipelines(**more)["PipelineSummaries"]]  # noqa: E731
    assert names() == ["xyz", "abd", "abc"] and names(PipelineNamePrefix="ab", SortBy="Name", SortOrder="Ascending") == ["abc", "abd"]
    first, second = yard.start("abc"), yard.start("abc")
    assert yard.sm.describe_pipeline(PipelineName="abc")["LastRunTime"]
    yard.sm.update_pipeline_execution(PipelineExecutionArn=first, PipelineExecutionDisplayName="better")
    assert yard.sm.describe_pipeline_execution(PipelineExecutionArn=first)["PipelineExecutionDisplayName"] == "better"
    page = yard.sm.list_pipeline_executions(PipelineName="abc", MaxResults=1)
    rest = yard.sm.list_pipeline_executions(PipelineName="abc", MaxResults=1, NextToken=page["NextToken"])
    found = [page["PipelineExecutionSummaries"][0], rest["PipelineExecutionSummaries"][0]]
    assert {row["PipelineExecutionArn"] for row in found} == {first, second} and "NextToken" not in rest
    where = {"Filters": [{"Name": "Tags.team", "Operator": "Equals", "Value": "abd"}]}
    (hit,) = yard.sm.search(Resource="Pipeline", SearchExpression=where)["Results"]
    assert hit["Pipeline"]["PipelineName"] == "abd"
    where = {"Filters": [{"Name": "PipelineExecutionDisplayName", "Operator": "Equals", "Value": "better"}]}
    (hit,) = yard.sm.search(Resource="PipelineExecution", SearchExpression=where)["Results"]
    assert hit["PipelineExecution"]["PipelineExecutionArn"] == first
    assert yard.sm.list_tags(ResourceArn=f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:pipeline/abc")["Tags"] == [{"Key": "team", "Value": "abc"}]


def test_a_token_starts_one_execution(yard):
    yard.create("p", yard.training("A"))
    assert yard.start("p", ClientRequestToken="a" * 32) == yard.start("p", ClientRequestToken="a" * 32) != yard.start("p")
    assert len(yard.sm.list_pipeline_executions(PipelineName="p")["PipelineExecutionSummaries"]) == 2


def test_deletion(yard):
    yard.create("p", yard.training("A"))
    execution = yard.start("p")
    with pytest.raises(yard.sm.exceptions.ConflictException, match="running executions"):
        yard.sm.delete_pipeline(PipelineName="p")
    job = yard.end(execution, "A")
    yard.sm.delete_pipeline(PipelineName="p")
    with pytest.raises(yard.sm.exceptions.ResourceNotFound):
        yard.sm.describe_pipeline_execution(PipelineExecutionArn=execution)
    assert yard.sm.describe_training_job(TrainingJobName=job.name)["TrainingJobStatus"] == "Completed", "jobs stay"
    assert yard.platform.store.list("pipeline-version") == []


def test_an_execution_that_began_while_its_pipeline_was_deleted(yard):
    yard.create("p", yard.training("A"))
    execution = yard.sm.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    for version in yard.platform.store.list("pipeline-version"):
        yard.platform.store.delete(version)
    yard.go()
    said = yard.sm.describe_pipeline_execution(PipelineExecutionArn=execution)
    assert (said["PipelineExecutionStatus"], said["FailureReason"]) == ("Failed", "ClientError: The pipeline was deleted.")
    assert yard.steps(execution) == {}


# --- models and their registry, tuning, permissions -----------------------------------------------------------


def test_a_model_is_made_and_registered(yard):
    model = yard.put("model.tar.gz", b"x")
    container = {"Image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", "ModelDataUrl": model}
    make = {"Name": "Make", "Type": "Model", "Arguments": {"ExecutionRoleArn": yard.role, "PrimaryContainer": container}}
    inference = {"Containers": [container], "SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}
    register = {"Name": "Register", "Type": "RegisterModel", "Arguments": {
        "ModelPackageGroupName": "Group", "InferenceSpecification": inference, "ModelApprovalStatus": {"Get": "Parameters.Status"}}}  # fmt: skip
    told = {"Std:Join": {"On": " ", "Values": [{"Get": "Steps.Make.ModelName"}, {"Get": "Steps.Register.ModelPackageArn"}]}}
    yard.create("p", make, register, yard.fail("Told", told), parameters=[{"Name": "Status", "Type": "String", "DefaultValue": "Approved"}])
    execution = yard.start("p")
    rows = yard.steps(execution)
    name, package = rows["Told"]["FailureReason"].split()
    assert yard.sm.describe_model(ModelName=name)["ModelArn"] == rows["Make"]["Metadata"]["Model"]["Arn"]
    assert package == rows["Register"]["Metadata"]["RegisterModel"]["Arn"] and package.endswith(":model-package/group/1")
    said = yard.sm.describe_model_package(ModelPackageName=package)
    assert said["ModelApprovalStatus"] == "Approved" and said["MetadataProperties"]["GeneratedBy"] == execution
    yard.start("p")
    assert len(yard.sm.list_model_packages(ModelPackageGroupName="Group")["ModelPackageSummaryList"]) == 2


def test_the_best_training_job_of_a_tuning_step(yard):
    job = yard.training("x")["Arguments"]
    definition = {
        "StaticHyperParameters": {},
        "AlgorithmSpecification": job["AlgorithmSpecification"] | {"MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}]},
        **{member: job[member] for member in ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")},
    }
    config = {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]},
    }
    tune = {"Name": "Tune", "Type": "Tuning", "Arguments": {"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": definition}}
    yard.create("p", tune, yard.fail("Told", {"Get": "Steps.Tune.TrainingJobSummaries[0].TrainingJobName"}))
    execution = yard.start("p")
    assert len(yard.job(execution, "Tune").name) <= 32
    from modelyard.kernel.store import Step
    from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE, moved

    yard.settle({"tuning-job"})
    trials = yard.platform.store.children(yard.job(execution, "Tune").uid)
    for loss, trial in zip((0.7, 0.2), trials, strict=True):
        metrics = [{"MetricName": "loss", "Value": loss, "Timestamp": 1.0}]
        step = Step("Completed", {**moved(trial.state, "Completed", 1.0), "metrics": metrics, "ended_at": 1.0})
        yard.platform.store.apply(LIFECYCLE, trial, step, None)
    yard.settle({"tuning-job"})
    yard.go()
    assert yard.steps(execution)["Told"]["FailureReason"] == trials[1].name


def test_the_role_of_the_pipeline_makes_the_jobs(yard):
    iam = yard.client("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
    role = iam.create_role(RoleName="weak", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    yard.create("p", yard.training("Train"), RoleArn=role)
    execution = yard.start("p")
    reason = yard.steps(execution)["Train"]["FailureReason"]
    identity = execution.rpartition("/")[2]
    assert reason.startswith("ClientError: Failed to invoke sagemaker:CreateTrainingJob. Error Details: User: arn:aws:sts::")
    assert f":assumed-role/weak/sagemaker-pipeline-{identity}-Train is not authorized to perform: sagemaker:" in reason
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["sagemaker:*", "iam:PassRole"], "Resource": "*"}]}
    iam.put_role_policy(RoleName="weak", PolicyName="more", PolicyDocument=json.dumps(allow))
    yard.sm.retry_pipeline_execution(PipelineExecutionArn=execution)
    yard.go()
    assert yard.statuses(execution) == {"Train": "Executing"}


def test_callers_need_permission(yard):
    from tests.support import inproc

    yard.create("mine", yard.training("A"))
    execution = yard.start("mine")
    iam = yard.client("iam")
    iam.create_user(UserName="ann")
    keys = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = inproc.client(yard.gateway, "sagemaker", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:pipeline/mine"
    allow = lambda *actions: iam.put_user_policy(  # noqa: E731
        UserName="ann", PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": [arn, f"{arn}/execution/*"]}]}),
    )  # fmt: skip
    calls = {
        "sagemaker:DescribePipeline": lambda: ann.describe_pipeline(PipelineName="mine"),
        "sagemaker:DescribePipelineExecution": lambda: ann.describe_pipeline_execution(PipelineExecutionArn=execution),
        "sagemaker:ListPipelineExecutionSteps": lambda: ann.list_pipeline_execution_steps(PipelineExecutionArn=execution),
        "sagemaker:StartPipelineExecution": lambda: ann.start_pipeline_execution(PipelineName="mine"),
        "sagemaker:StopPipelineExecution": lambda: ann.stop_pipeline_execution(PipelineExecutionArn=execution),
        "sagemaker:UpdatePipeline": lambda: ann.update_pipeline(PipelineName="mine", PipelineDescription="x"),
    }
    for action, call in calls.items():
        with pytest.raises(ClientError, match=f"not authorized to perform: {action} on resource: {arn}"):
            call()
    others = [
        lambda: ann.create_pipeline(PipelineName="new", PipelineDefinition="{}", RoleArn=yard.role),
        lambda: ann.list_pipelines(),
        lambda: ann.list_pipeline_versions(PipelineName="mine"),
        lambda: ann.update_pipeline_version(PipelineArn=arn, PipelineVersionId=1),
        lambda: ann.list_pipeline_executions(PipelineName="mine"),
        lambda: ann.list_pipeline_parameters_for_execution(PipelineExecutionArn=execution),
        lambda: ann.describe_pipeline_definition_for_execution(PipelineExecutionArn=execution),
        lambda: ann.update_pipeline_execution(PipelineExecutionArn=execution),
        lambda: ann.retry_pipeline_execution(PipelineExecutionArn=execution),
        lambda: ann.send_pipeline_execution_step_success(CallbackToken="0123456789"),
        lambda: ann.send_pipeline_execution_step_failure(CallbackToken="0123456789"),
        lambda: ann.delete_pipeline(PipelineName="mine"),
    ]
    for call in others:
        with pytest.raises(ClientError, match="not authorized to perform: sagemaker:"):
            call()
    allow(*calls)
    for call in calls.values():
        call()
    with pytest.raises(ClientError, match="iam:PassRole"):
        ann.update_pipeline(PipelineName="mine", RoleArn=yard.role)
