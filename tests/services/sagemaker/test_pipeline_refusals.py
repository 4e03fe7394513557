"""What CreatePipeline and StartPipelineExecution refuse, in AWS's words where they are known."""

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.services.sagemaker.pipeline.checks import checked
from modelyard.services.sagemaker.pipeline.definition import BadDefinition
from tests.support.pipelines import PipelineYard


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    made = PipelineYard(tmp_path_factory.mktemp("pipelines") / "data")
    yield made
    made.close()


def refused(call, **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


EQUAL = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}


def bad_definitions():
    t = lambda name="A", **more: PipelineYard.training(type("R", (), {"role": "arn:aws:iam::123456789012:role/x"}), name, **more)  # noqa: E731
    p = lambda name="P", **more: PipelineYard.processing(type("R", (), {"role": "arn:aws:iam::123456789012:role/x"}), name, **more)  # noqa: E731
    c = PipelineYard.condition
    of = lambda *steps, **more: PipelineYard.definition(*steps, **more)  # noqa: E731
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": {"Get": "Steps.B.Nothing"}}}}
    yield "no json", "{", "The definition is not JSON"
    yield "a list", "[]", "Expecting start of Json Object."
    yield "steps", json.dumps({"Version": "2020-12-01", "Steps": {}}), "Expecting start of Json Array."
    yield "version", json.dumps({"Version": "2019", "Steps": [t()]}), "Version '2019' is not supported"
    yield "nothing", of(), "Steps cannot be empty"
    yield "unknown member", of(t(), Stages=[]), "Cannot parse object, unknown property 'Stages'."
    yield "unknown member of a step", of(t(After=["B"])), "Cannot parse object, unknown property 'After'."
    yield "type", of({"Name": "A", "Type": "Train", "Arguments": {}}), "Unknown step type 'Train' of step 'A'."
    yield "not built", of({"Name": "A", "Type": "Lambda", "Arguments": {}}), "steps of this type are not built yet on this platform"
    yield "twice", of(t("A"), t("A")), "Found duplicate step name 'A'."
    yield "twice in a branch", of(t("A"), c("C", [EQUAL], [t("A")])), "Found duplicate step name 'A'."
    yield "name", of(t("a b")), "Step name 'a b' must have"
    yield "depends on nothing", of(t("A", DependsOn=["B"])), "refers to step 'B', which is not found in the pipeline definition."
    yield "refers to nothing", of(t("A", arguments={"InputDataConfig": [channel]})), "refers to step 'B', which is not found"
    yield "cycle", of(t("A", DependsOn=["B"]), t("B", DependsOn=["A"])), "Cycle detected in pipeline step graph: steps [A, B]"
    yield "waits for its own condition", of(c("C", [EQUAL], [t("A")], DependsOn=["A"])), "Cycle detected"
    yield "depends on fail", of(PipelineYard.fail("F"), t("CondStep", DependsOn=["F"])), "CondStep can not depends on F"
    yield "join", of(t(arguments={"RoleArn": {"Std:Join": {"On": "/"}}})), "Std:Join needs On and a list of Values"
    yield (
        "json get",
        of(t(arguments={"RoleArn": {"Std:JsonGet": {"Path": "a"}}})),
        "Std:JsonGet needs a Path, and a PropertyFile or an S3Uri",
    )
    yield (
        "display name",
        of(t(DisplayName={"Get": "Parameters.X"}), parameters=[{"Name": "X", "Type": "String"}]),
        "DisplayName of step 'A' is a string.",
    )
    deep = '{"x":' * 900 + "1" + "}" * 900
    yield "deep", of(t()).replace('"Arguments": {', f'"Arguments": {{"HyperParameters": {deep}, ', 1), "Unable"[:0]
    yield "trigger", of(t("A"), t("B", DependsOn=[{"Step": "A", "Trigger": "Late"}])), "Unknown Trigger 'Late'"
    yield "mlflow", of(t(), MlflowConfig={"MlflowExperimentName": "x"}), "MlflowConfig is not built yet"
    yield "parameter", of(t(arguments={"RoleArn": {"Get": "Parameters.R"}})), "declares no parameter 'R'"
    yield "execution", of(t(arguments={"RoleArn": {"Get": "Execution.Role"}})), "no execution variable"
    yield "reference", of(t(arguments={"RoleArn": {"Get": "Nothing.X"}})), "begins with none of Parameters."
    yield "argument", of(t(arguments={"Colour": "red"})), "Unknown Argument member 'Colour'."
    yield (
        "package",
        of({"Name": "R", "Type": "RegisterModel", "Arguments": {"ModelPackageName": "x"}}),
        "Unknown Argument member 'ModelPackageName'.",
    )
    yield "list", of(t(arguments={"VpcConfig": {"Subnets": {"Get": "Parameters.S"}, "SecurityGroupIds": []}}),
                     parameters=[{"Name": "S", "Type": "String"}]), "Expecting start of Json Array."  # fmt: skip
    yield "object", of(t(arguments={"ResourceConfig": "big"})), "Expecting start of Json Object."
    yield (
        "enum",
        of(t(arguments={"AlgorithmSpecification": {"TrainingInputMode": "Slow"}})),
        ("Model Validation failed: Value 'Slow' for 'TrainingInputMode' failed to satisfy enum value set: [Pipe, File, FastFile]"),
    )
    yield "condition", of(c("C", [{**EQUAL, "Type": "Same"}])), "Unknown condition type 'Same'"
    yield "not", of(c("C", [{"Type": "Not", "Expression": EQUAL}])), "Cannot parse object, unknown property 'Expression'."
    yield "value", of(c("C", [{"Type": "Equals", "LeftValue": 1}])), "A condition of type Equals needs RightValue."
    yield "property file", of(p(PropertyFiles=[{"PropertyFileName": "F", "OutputName": "o", "FilePath": "f"}])), "names the output 'o'"
    get = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.P.PropertyFiles.F"}, "Path": "a"}}
    yield "no property file", of(p(), c("C", [{**EQUAL, "LeftValue": get}])), "no such property file"
    yield "cache", of(t(CacheConfig={"Enabled": True, "ExpireAfter": "soon"})), "ExpireAfter 'soon' of step 'A' is no ISO 8601 duration"
    yield "retry", of(t(RetryPolicies=[{"ExceptionType": ["Bad.LUCK"]}])), "Unknown ExceptionType 'Bad.LUCK'"
    yield "retry of a condition", of(c("C", [EQUAL], RetryPolicies=[{"ExceptionType": ["Step.THROTTLING"]}])), "cannot have RetryPolicies"
    yield "parameter type", of(t(), parameters=[{"Name": "X", "Type": "Number"}]), "Unknown type 'Number' of parameter 'X'"
    yield "default", of(t(), parameters=[{"Name": "X", "Type": "Integer", "DefaultValue": "many"}]), "is not of its type Integer"
    yield "callback", of({"Name": "A", "Type": "Callback", "Arguments": {}}), "has no SqsQueueUrl"
    yield "experiment", of(t(), PipelineExperimentConfig={"ExperimentName": {"Get": "Steps.A.TrainingJobName"}}), "cannot refer to a step"


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in bad_definitions()], ids=[case[0] for case in bad_definitions()])
def test_definitions(text, expected):
    with pytest.raises(BadDefinition) as caught:
        checked(text)
    assert expected in str(caught.value)


def test_a_bad_definition_makes_nothing(yard):
    code, message = refused(lambda: yard.create("bad", yard.training("A"), yard.training("A")))
    assert code == "ValidationException" and message.startswith("Unable to parse pipeline definition. Step names must be unique.")
    assert refused(yard.sm.describe_pipeline, PipelineName="bad")[0] == "ResourceNotFound"
    yard.create("good", yard.training("A"))
    assert refused(yard.sm.update_pipeline, PipelineName="good", PipelineDefinition="{}")[0] == "ValidationException"


def test_names_roles_and_tokens(yard):
    yard.create("Mine", yard.training("A"), ClientRequestToken="t" * 32)
    assert yard.create("Mine", yard.training("A"), ClientRequestToken="t" * 32).endswith("/mine"), "the same request again"
    code, message = refused(lambda: yard.create("mine", yard.training("A")))
    assert (code, message) == (
        "ValidationException",
        "Pipeline names must be unique within an AWS account and region. Pipeline with name (mine) already exists.",
    )
    nobody = "arn:aws:iam::123456789012:role/nobody"
    assert "Could not assume role" in refused(lambda: yard.create("other", yard.training("A"), RoleArn=nobody))[1]
    text = yard.definition(yard.training("A"))
    place = {"Bucket": "bucket", "ObjectKey": "no/such"}
    request = {"PipelineName": "other", "RoleArn": yard.role}
    assert "Only one of" in refused(yard.sm.create_pipeline, PipelineDefinition=text, PipelineDefinitionS3Location=place, **request)[1]
    assert "Unable to read" in refused(yard.sm.create_pipeline, PipelineDefinitionS3Location=place, **request)[1]
    assert "must be provided" in refused(yard.sm.create_pipeline, **request)[1]
    yard.put("pipelines/one.json", text.encode())
    yard.sm.create_pipeline(PipelineDefinitionS3Location={"Bucket": "bucket", "ObjectKey": "pipelines/one.json"}, **request)
    assert yard.sm.describe_pipeline(PipelineName="other")["PipelineDefinition"] == text


def test_parameters_of_an_execution(yard):
    declared = [
        {"Name": "N", "Type": "Integer"},
        {"Name": "S", "Type": "String", "DefaultValue": "a", "EnumValues": ["a", "b"]},
        {"Name": "B", "Type": "Boolean", "DefaultValue": False},
    ]
    yard.create("parameters", yard.training("A"), parameters=declared)
    start = lambda **given: yard.start("parameters", given)  # noqa: E731
    assert "Missing values for pipeline parameters without a default: [N]" in refused(start)[1]
    assert "Unknown pipeline parameters: [X]" in refused(start, N="1", X="1")[1]
    assert "is not of its type Integer" in refused(start, N="one")[1]
    assert "none of its EnumValues [a, b]" in refused(start, N="1", S="c")[1]
    assert '[string "" is too short (length: 0, required minimum: 1)]' in refused(start, N="1", S="")[1]
    assert "not built yet" in refused(lambda: yard.start("parameters", {"N": "1"}, MlflowExperimentName="x"))[1]
    execution = start(N="7", B="true")
    told = yard.sm.list_pipeline_parameters_for_execution(PipelineExecutionArn=execution)["PipelineParameters"]
    assert {one["Name"]: one["Value"] for one in told} == {"N": "7", "S": "a", "B": "true"}
    page = yard.sm.list_pipeline_parameters_for_execution(PipelineExecutionArn=execution, MaxResults=2)
    rest = yard.sm.list_pipeline_parameters_for_execution(PipelineExecutionArn=execution, MaxResults=2, NextToken=page["NextToken"])
    assert len(page["PipelineParameters"]) == 2 and len(rest["PipelineParameters"]) == 1 and "NextToken" not in rest


def test_what_is_not_there(yard):
    arn = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/none/execution/abcdefghijkl"
    assert refused(yard.start, name="none")[0] == "ResourceNotFound"
    for call in (
        yard.sm.describe_pipeline_execution, yard.sm.list_pipeline_execution_steps, yard.sm.stop_pipeline_execution,
        yard.sm.retry_pipeline_execution, yard.sm.update_pipeline_execution, yard.sm.describe_pipeline_definition_for_execution,
    ):  # fmt: skip
        assert refused(call, PipelineExecutionArn=arn)[0] == "ResourceNotFound"
    for call in (yard.sm.delete_pipeline, yard.sm.list_pipeline_executions, yard.sm.list_pipeline_versions, yard.sm.update_pipeline):
        code, message = refused(call, PipelineName="none")
        assert (code, message) == ("ResourceNotFound", "Pipeline 'arn:aws:sagemaker:us-east-1:123456789012:pipeline/none' does not exist.")
    assert refused(yard.sm.send_pipeline_execution_step_success, CallbackToken="0123456789")[0] == "ResourceNotFound"
