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
