"""AWS's managed policies: sound documents, real ARNs, pages, and what courses attach is there."""

from __future__ import annotations

import json
import urllib.parse

from modelyard.services.iam import managed
from modelyard.services.iam.validate import managed_policy
from tests.services.iam.conftest import Yard

COURSES = """
AdministratorAccess PowerUserAccess ReadOnlyAccess IAMFullAccess IAMReadOnlyAccess IAMUserChangePassword AmazonSageMakerFullAccess
AmazonSageMakerReadOnly AmazonSageMakerPipelinesIntegrations AmazonSageMakerFeatureStoreAccess AmazonSageMakerGroundTruthExecution
AmazonSageMakerCanvasFullAccess AmazonSageMakerModelRegistryFullAccess AmazonS3FullAccess AmazonS3ReadOnlyAccess
service-role/AWSLambdaBasicExecutionRole service-role/AWSLambdaVPCAccessExecutionRole service-role/AWSLambdaRole AWSLambda_FullAccess
AWSLambda_ReadOnlyAccess AWSLambdaExecute AWSCodeBuildAdminAccess AWSCodeBuildDeveloperAccess AWSCodeBuildReadOnlyAccess AWSCodeCommitFullAccess
AWSCodeCommitPowerUser AWSCodeCommitReadOnly AWSCodePipeline_FullAccess AWSCodePipeline_ReadOnlyAccess service-role/AWSCodeDeployRole
AWSCodeDeployRoleForECS AWSStepFunctionsFullAccess AWSStepFunctionsConsoleFullAccess AWSStepFunctionsReadOnlyAccess CloudWatchFullAccess
CloudWatchFullAccessV2 CloudWatchReadOnlyAccess CloudWatchLogsFullAccess CloudWatchLogsReadOnlyAccess CloudWatchEventsFullAccess
CloudWatchAgentServerPolicy AmazonEventBridgeFullAccess AmazonEventBridgeReadOnlyAccess AmazonEventBridgeSchedulerFullAccess SecretsManagerReadWrite
AmazonSSMFullAccess AmazonSSMReadOnlyAccess AmazonSSMManagedInstanceCore AWSKeyManagementServicePowerUser AmazonEC2ContainerRegistryFullAccess
AmazonEC2ContainerRegistryPowerUser AmazonEC2ContainerRegistryReadOnly AmazonSQSFullAccess AmazonSQSReadOnlyAccess AmazonSNSFullAccess
AmazonSNSReadOnlyAccess AWSCloudFormationFullAccess AWSCloudFormationReadOnlyAccess AmazonDynamoDBFullAccess AmazonAthenaFullAccess
service-role/AWSGlueServiceRole AWSGlueConsoleFullAccess AmazonKinesisFullAccess AmazonKinesisFirehoseFullAccess AmazonEC2FullAccess AmazonVPCFullAccess
service-role/AmazonECSTaskExecutionRolePolicy AmazonECS_FullAccess AmazonRekognitionFullAccess ComprehendFullAccess AmazonTextractFullAccess
AmazonBedrockFullAccess AWSXRayDaemonWriteAccess job-function/DataScientist job-function/SystemAdministrator AmazonEKSClusterPolicy
service-role/AmazonAPIGatewayPushToCloudWatchLogs AmazonAPIGatewayAdministrator IAMSelfManageServiceSpecificCredentials AWSServiceCatalogAdminFullAccess
"""


def test_documents_are_sound() -> None:
    policies = managed.all_policies()
    assert len(policies) > 1500 and len({policy.policy_id for policy in policies}) == len(policies)
    for policy in policies:
        managed_policy(policy.document)
        assert policy.version[0] == "v" and policy.version[1:].isdigit(), policy.name


def test_what_courses_attach() -> None:
    assert [name for name in COURSES.split() if managed.find(f"{managed.PREFIX}/{name}") is None] == []


def test_they_are_listed_in_pages_and_read(yard: Yard) -> None:
    found, marker = [], {}
    while True:
        page = yard("iam", "ListPolicies", Scope="AWS", MaxItems=50, **marker)
        found += page["Policies"]
        if not page["IsTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert [policy["Arn"] for policy in found] == sorted({policy.arn for policy in managed.all_policies()})
    functions = yard("iam", "ListPolicies", Scope="AWS", PathPrefix="/job-function/")["Policies"]
    assert {policy["Path"] for policy in functions} == {"/job-function/"}
    arn = f"{managed.PREFIX}/AmazonSageMakerFullAccess"
    assert yard("iam", "ListPolicies", Scope="AWS", OnlyAttached=True)["Policies"][0]["PolicyName"] == "AdministratorAccess"
    policy = yard("iam", "GetPolicy", PolicyArn=arn)["Policy"]
    version = yard("iam", "GetPolicyVersion", PolicyArn=arn, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    assert "sagemaker:*" in str(json.loads(urllib.parse.unquote(version["Document"]))) and version["IsDefaultVersion"]


def test_what_an_account_uses_is_in_its_details(yard: Yard) -> None:
    """Of AWS's policies those in use only; users come first, policies last."""
    yard.user("ann")
    yard("iam", "CreateServiceLinkedRole", AWSServiceName="rds.amazonaws.com")
    details = yard("iam", "GetAccountAuthorizationDetails")
    assert {policy["PolicyName"] for policy in details["Policies"]} == {"AdministratorAccess", "AmazonRDSServiceRolePolicy"}
    assert [user["UserName"] for user in yard("iam", "GetAccountAuthorizationDetails", MaxItems=1)["UserDetailList"]] == ["ann"]


def test_times_and_versions_of_policies_are_those_that_aws_tells(yard: Yard) -> None:
    arn = f"{managed.PREFIX}/AmazonS3ReadOnlyAccess"
    policy = yard("iam", "GetPolicy", PolicyArn=arn)["Policy"]
    assert policy["DefaultVersionId"] == "v3" and policy["UpdateDate"] == 1691703099 and policy["CreateDate"] < policy["UpdateDate"]
    version = yard("iam", "GetPolicyVersion", PolicyArn=arn, VersionId="v3")["PolicyVersion"]
    assert version["CreateDate"] == policy["UpdateDate"] and "s3-object-lambda:List*" in urllib.parse.unquote(version["Document"])
    sage = managed.find(f"{managed.PREFIX}/AmazonSageMakerFullAccess")
    assert sage is not None and len(json.loads(sage.document)["Statement"]) > 30
