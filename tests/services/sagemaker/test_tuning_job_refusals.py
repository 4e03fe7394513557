"""What CreateHyperParameterTuningJob refuses, member by member, and in which words."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from tests.support import inproc
from tests.support.tuning import LOSS, SCRIPT, XGBOOST, TuningYard, categories, numbers

OBJECTIVE = {"Type": "Minimize", "MetricName": "loss"}


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    made = TuningYard(tmp_path_factory.mktemp("refusals"))
    yield made
    made.close()


def refused(yard, *texts, code="ValidationException", **request):
    with pytest.raises(ClientError) as found:
        yard.sm.create_hyper_parameter_tuning_job(**request)
    error, http = found.value.response["Error"], found.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert (error["Code"], http) == (code, 400), error
    for text in texts:
        assert text in error["Message"], error["Message"]
    assert yard.sm.list_hyper_parameter_tuning_jobs(NameContains="refused")["HyperParameterTuningJobSummaries"] == []


def range_(kind="Continuous", low="0", high="1", **more):
    return {f"{kind}ParameterRanges": [{"Name": "x", "MinValue": low, "MaxValue": high, **more}]}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"HyperParameterTuningJobName": None}, "Value null at 'hyperParameterTuningJobName' failed to satisfy constraint: Member must not be null"),
        ({"HyperParameterTuningJobName": "a" * 33}, "Member must have length less than or equal to 32"),
        ({"HyperParameterTuningJobName": "a_b"}, "Value 'a_b' at 'hyperParameterTuningJobName' failed to satisfy constraint: Member must satisfy regular expression"),
        ({"HyperParameterTuningJobConfig": None}, "Value null at 'hyperParameterTuningJobConfig' failed"),
        ({"HyperParameterTuningJobConfig": {"Strategy": "Magic", "ResourceLimits": {"MaxParallelTrainingJobs": 1}}}, "Member must satisfy enum value set: ["),
        ({"HyperParameterTuningJobConfig": {"Strategy": "Random"}}, "Value null at 'hyperParameterTuningJobConfig.resourceLimits' failed"),
        ({"HyperParameterTuningJobConfig": {"Strategy": "Random", "ResourceLimits": {"MaxParallelTrainingJobs": 0}}}, "Member must have value greater than or equal to 1"),
        ({"WarmStartConfig": {"ParentHyperParameterTuningJobs": [], "WarmStartType": "TransferLearning"}}, "Member must have length greater than or equal to 1"),
        ({"Autotune": {"Mode": "Maybe"}}, "Member must satisfy enum value set: [Enabled]"),
    ],
    ids=range(9),
)  # fmt: skip
def test_what_the_model_forbids(yard, change, text):
    request = yard.request("refused") | change
    refused(yard, text, "validation error", **{k: v for k, v in request.items() if v is not None})


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"ParameterRanges": {}}, "At least one hyperparameter range is required"),
        ({"ParameterRanges": None}, "At least one hyperparameter range is required"),
        ({"HyperParameterTuningJobObjective": None}, "HyperParameterTuningJobObjective is required"),
        ({"ParameterRanges": range_(low="2", high="1")}, "must be less than or equal to its MaxValue [1]"),
        ({"ParameterRanges": range_(low="a")}, "The MinValue [a] of the hyperparameter [x] isn't a number."),
        ({"ParameterRanges": range_(high="inf")}, "The MaxValue [inf] of the hyperparameter [x] isn't finite."),
        ({"ParameterRanges": range_("Integer", "0.5", "3")}, "The MinValue [0.5] of the hyperparameter [x] isn't an integer."),
        ({"ParameterRanges": range_(ScalingType="Logarithmic")}, "Logarithmic scaling works only for ranges that have only values greater than 0"),
        ({"ParameterRanges": range_(high="1.0", ScalingType="ReverseLogarithmic")}, "within the range 0 <= x < 1.0"),
        ({"ParameterRanges": range_("Integer", "0", "9", ScalingType="ReverseLogarithmic")}, "only for continuous"),
        ({"ParameterRanges": {**range_(), **range_("Integer", "0", "9")}}, "The hyperparameter [x] has more than one range"),
        ({"ParameterRanges": {"CategoricalParameterRanges": [{"Name": "c", "Values": ["a", "a"]}]}}, "must be unique"),
        ({"ParameterRanges": numbers(depth=(1, 2))}, "The hyperparameter [depth] is both in the static hyperparameters and in the parameter ranges"),
        ({"ParameterRanges": {"AutoParameters": [{"Name": "a", "ValueHint": "1"}]}}, "AutoParameters can be used only with Autotune"),
        ({"ParameterRanges": categories(c=["a", "b", "c"]), "jobs": 10}, "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter combinations for the provided ranges [3.0] must be equal or greater than the value of MaxNumberOfJobs, [10]. Provide additional ranges."),
        ({"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "other"}}, "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric definitions."),
        ({"Strategy": "Grid"}, "Grid search supports only categorical hyperparameters"),
        ({"Strategy": "Grid", "ParameterRanges": categories(c=["a", "b"]), "jobs": 5}, "must be equal to the total number of hyperparameter combinations for grid search, [2]"),
        ({"StrategyConfig": {"HyperbandStrategyConfig": {"MaxResource": 9}}}, "StrategyConfig is only supported for the Hyperband strategy"),
        ({"Strategy": "Hyperband"}, "MaxResource of HyperbandStrategyConfig is required"),
        ({"Strategy": "Hyperband", "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 9, "MaxResource": 9}}}, "MinResource [9]"),
        ({"Strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Auto", "StrategyConfig": {"HyperbandStrategyConfig": {"MaxResource": 9}}}, "TrainingJobEarlyStoppingType must be Off"),
        ({"jobs": None}, "MaxNumberOfTrainingJobs is required unless"),
    ],
    ids=range(23),
)  # fmt: skip
def test_configurations_that_mean_nothing(yard, config, text):
    refused(yard, text, **yard.request("refused", yard.config(**config)))


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"parallel": 101}, "The account-level service limit 'Maximum number of parallel training jobs per hyperparameter tuning job' is 100 Training Jobs, with current utilization of 0 Training Jobs and a request delta of 101 Training Jobs."),
        ({"jobs": 751, "Strategy": "Bayesian"}, "'Maximum number of training jobs per hyperparameter tuning job' is 750 Training Jobs"),
        ({"jobs": 10_001}, "is 10000 Training Jobs"),
        ({"ParameterRanges": numbers(**{f"x{n}": (0, 1) for n in range(30)}) | categories(c=["a", "b"])}, "'Maximum number of hyperparameters that can be searched' is 30"),
    ],
    ids=range(4),
)  # fmt: skip
def test_account_limits(yard, limits, text):
    refused(yard, text, "Please contact AWS support", code="ResourceLimitExceeded", **yard.request("refused", yard.config(**limits)))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"RoleArn": None}, "Value null at 'trainingJobDefinition.roleArn' failed"),
        ({"StoppingCondition": None}, "Value null at 'trainingJobDefinition.stoppingCondition' failed"),
        ({"OutputDataConfig": {"S3OutputPath": "bucket/out"}}, "Value 'bucket/out' at 'trainingJobDefinition.outputDataConfig.s3OutputPath' failed to satisfy constraint"),
        ({"ResourceConfig": None}, "ResourceConfig must name InstanceType"),
        ({"AlgorithmSpecification": {"TrainingInputMode": "File", "MetricDefinitions": LOSS}}, "either TrainingImage or AlgorithmName"),
        ({"AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": SCRIPT, "MetricDefinitions": [{"Name": "loss", "Regex": "("}]}}, "Invalid regular expression"),
        ({"AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": SCRIPT}}, "A metric is required for this hyperparameter tuning job objective."),
        ({"AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": XGBOOST}}, f"The objective metric for the hyperparameter tuning job, [loss], isn't valid for the [{XGBOOST}] algorithm. Choose a valid objective metric"),
        ({"InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://nowhere/x"}}}]}, 'No S3 objects found under S3 URL "s3://nowhere/x"'),
        ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/nobody"}, "nobody"),
    ],
    ids=range(11),
)  # fmt: skip
def test_definitions_that_could_not_train(yard, change, text):
    refused(yard, text, **yard.request("refused", None, yard.definition(**change)))


ONE = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}


@pytest.mark.parametrize(
    ("resources", "text"),
    [
        ({"InstanceConfigs": [ONE], "InstanceType": "ml.m5.large", "AllocationStrategy": "Prioritized"}, "InstanceType cannot be used together with"),
        ({"InstanceConfigs": [ONE]}, "AllocationStrategy is required together with InstanceConfigs"),
        (ONE, "either ResourceConfig or HyperParameterTuningResourceConfig"),
    ],
)  # fmt: skip
def test_instances_are_named_in_one_way(yard, resources, text):
    change = {"HyperParameterTuningResourceConfig": resources} | ({"ResourceConfig": None} if resources is not ONE else {})
    refused(yard, text, **yard.request("refused", None, yard.definition(**change)))


def test_one_definition_or_several_but_not_both_or_none(yard):
    text = "You must specify either TrainingJobDefinition or TrainingJobDefinitions, and not both."
    refused(yard, text, **yard.request("refused", TrainingJobDefinition=None))
    refused(yard, text, **yard.request("refused", TrainingJobDefinitions=[yard.definition()]))


@pytest.mark.parametrize(
    ("second", "text"),
    [
        ({"DefinitionName": None}, "DefinitionName is required for each"),
        ({"DefinitionName": "one"}, "must be unique within the tuning job"),
        ({"TuningObjective": None}, "TuningObjective is required for each"),
        ({"HyperParameterRanges": None}, "HyperParameterRanges is required for each"),
        ({"TuningObjective": {"Type": "Maximize", "MetricName": "loss"}}, "the same type of TuningObjective"),
    ],
    ids=range(5),
)
def test_several_definitions_that_do_not_fit(yard, second, text):
    base = {"TuningObjective": OBJECTIVE, "HyperParameterRanges": numbers(x=(0, 1))}
    definitions = [yard.definition(DefinitionName="one", **base), yard.definition(**({"DefinitionName": "two", **base} | second))]
    config = yard.config(HyperParameterTuningJobObjective=None, ParameterRanges=None)
    refused(yard, text, **yard.request("refused", config, TrainingJobDefinition=None, TrainingJobDefinitions=definitions))


def test_configuration_beside_several_definitions(yard):
    definition = yard.definition(DefinitionName="one", TuningObjective=OBJECTIVE, HyperParameterRanges=numbers(x=(0, 1)))
    request = yard.request("refused", TrainingJobDefinition=None, TrainingJobDefinitions=[definition])
    refused(yard, "cannot be used with TrainingJobDefinitions", **request)


def test_parents_that_cannot_teach(yard):
    def warm(*names, kind="TransferLearning"):
        return {"ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": n} for n in names], "WarmStartType": kind}

    yard.create("open-parent")
    yard.create("parent", yard.config(jobs=1))
    yard.run("parent", lambda values: 1.0)
    refused(yard, "[nobody] can't be found", **yard.request("refused", WarmStartConfig=warm("nobody")))
    refused(yard, "[open-parent] is InProgress", **yard.request("refused", WarmStartConfig=warm("open-parent")))
    refused(yard, "must be unique", **yard.request("refused", WarmStartConfig=warm("parent", "parent")))
    other = yard.config(HyperParameterTuningJobObjective={"Type": "Maximize", "MetricName": "loss"})
    refused(yard, "must be the same as that of its parent [parent]", **yard.request("refused", other, WarmStartConfig=warm("parent")))
    more = yard.config(ParameterRanges=numbers(x=(0, 1), y=(0, 1)))
    refused(yard, "[parent] has 2, the new tuning job 3", **yard.request("refused", more, WarmStartConfig=warm("parent")))
    image = {"TrainingImage": SCRIPT.replace("1.2-1", "1.0-1"), "TrainingInputMode": "File", "MetricDefinitions": LOSS}
    identical = warm("parent", kind="IdenticalDataAndAlgorithm")
    refused(
        yard,
        "Use TransferLearning",
        **yard.request("refused", None, yard.definition(AlgorithmSpecification=image), WarmStartConfig=identical),
    )
    tunable = yard.config(ParameterRanges=numbers(depth=(1, 9)))
    yard.create("swapped", tunable, yard.definition(StaticHyperParameters={"x": "0.5"}), WarmStartConfig=warm("parent"))


def test_names_are_taken_without_regard_to_case(yard):
    arn = yard.create("Taken")
    text = f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"
    for name in ("Taken", "tAKEN"):
        refused(yard, text, code="ResourceInUse", **yard.request(name))


@pytest.mark.parametrize("operation", ["describe", "stop", "delete", "list"])
def test_a_job_that_is_not_there(yard, operation):
    names = {"list": "list_training_jobs_for_hyper_parameter_tuning_job"}
    call = getattr(yard.sm, names.get(operation, f"{operation}_hyper_parameter_tuning_job"))
    with pytest.raises(ClientError) as found:
        call(HyperParameterTuningJobName="nobody")
    assert found.value.response["Error"]["Code"] == "ResourceNotFound"
    assert found.value.response["Error"]["Message"] == "Amazon SageMaker can't find a tuning job called nobody. Type another name."


def test_autotune_without_anything_to_go_by(yard):
    refused(
        yard,
        "Autotune has no ranges for this algorithm",
        **yard.request("refused", yard.config(ParameterRanges=None), Autotune={"Mode": "Enabled"}),
    )


def test_a_denied_principal_is_denied(yard):
    iam = yard.root("iam")
    allowed = {
        "Effect": "Allow",
        "Action": "sagemaker:DescribeHyperParameterTuningJob",
        "Resource": "arn:aws:sagemaker:*:*:hyper-parameter-tuning-job/allowed*",
    }
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    keys = iam.create_access_key(UserName="reader")["AccessKey"]
    reader = inproc.client(yard.gateway, "sagemaker", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    yard.create("allowed-1")
    yard.create("denied-1")
    reader.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="allowed-1")
    for call, name in (("describe", "denied-1"), ("stop", "allowed-1"), ("delete", "allowed-1")):
        with pytest.raises(ClientError, match="is not authorized to perform: sagemaker:"):
            getattr(reader, f"{call}_hyper_parameter_tuning_job")(HyperParameterTuningJobName=name)
    with pytest.raises(ClientError, match="is not authorized to perform: sagemaker:CreateHyperParameterTuningJob"):
        reader.create_hyper_parameter_tuning_job(**yard.request("refused"))
