"""Someone without any rights who follows nothing but what denials say: each statement that is pasted must let the call through, or to the
next denial, at the first try."""

from __future__ import annotations

import functools
import json
import re
import time

import pytest
from botocore.exceptions import ClientError

from modelyard.services.iam.bootstrap import ensure_account
from modelyard.services.iam.lint import lint
from tests.support import inproc, patience
from tests.support.boxes import IMAGE, Boxes
from tests.support.platform import ACCOUNT, InProcess

BUCKET = "learners-bucket"
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
HELP = re.compile(r"(?:add this statement|and this one) to ([^{]+?): (\{.*?\})(?=\)|; and this one to| \(s3://|$)")
SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"])); self.send_response(200)
        self.send_header("content-length", "2"); self.end_headers(); self.wfile.write(b"ok")
http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""


def document(statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class Learner:
    """`do(service, operation, …)` calls until it works; `pasted` are the statements by the policy that they went into."""

    def __init__(self, yard):
        self._iam = yard.client("iam")
        self._iam.create_user(UserName="learner")
        key = self._iam.create_access_key(UserName="learner")["AccessKey"]
        self._keys = {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
        self.client = functools.cache(lambda service: inproc.client(yard.gateway, service, **self._keys))
        self.pasted = {}

    def do(self, service, operation, **request):
        while True:
            try:
                return getattr(self.client(service), operation)(**request)
            except ClientError as problem:
                if not self.follow(problem.response["Error"]["Message"]):
                    raise

    def follow(self, message):
        """Pastes what a denial says. False: it says nothing."""
        found = HELP.findall(message)
        for place, text in found:
            statement = json.loads(text)
            had = self.pasted.setdefault(place, [])
            assert statement not in had, f"pasted in vain: {message}"
            assert lint(document([statement])) == [], statement
            had.append(statement)
            kind, name = re.fullmatch(r"a policy of (user|role) (\w+)", place).groups()
            for number in range(0, len(had), 10):  # a policy has a quota
                arn = f"arn:aws:iam::{ACCOUNT}:policy/{name}-{number}-{len(had)}"
                if number + 10 >= len(had):
                    self._iam.create_policy(PolicyName=arn.rpartition("/")[2], PolicyDocument=document(had[number : number + 10]))
                    attach = getattr(self._iam, f"attach_{kind}_policy")
                    detach = getattr(self._iam, f"detach_{kind}_policy")
                    who = {f"{kind.title()}Name": name}
                    for there in getattr(self._iam, f"list_attached_{kind}_policies")(**who)["AttachedPolicies"]:
                        if f"{name}-{number}-" in there["PolicyName"]:
                            detach(PolicyArn=there["PolicyArn"], **who)
                    attach(PolicyArn=arn, **who)
        return bool(found)

    def actions(self, place="a policy of user learner"):
        return [statement["Action"] for statement in self.pasted[place]]


def test_every_service(tmp_path):
    yard = InProcess(tmp_path / "data")
    learner = Learner(yard)
    do = learner.do
    try:
        do("s3", "create_bucket", Bucket=BUCKET)
        do("s3", "put_object", Bucket=BUCKET, Key="in/train.csv", Body=b"1,2\n")
        do("s3", "list_objects_v2", Bucket=BUCKET, Prefix="in/")
        do("s3", "get_object", Bucket=BUCKET, Key="in/train.csv")
        do("s3", "list_buckets")
        do("s3", "copy_object", Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/in/train.csv")
        (refused,) = do("s3", "delete_objects", Bucket=BUCKET, Delete={"Objects": [{"Key": "copy"}]})["Errors"]
        assert learner.follow(refused["Message"])
        assert do("s3", "delete_objects", Bucket=BUCKET, Delete={"Objects": [{"Key": "copy"}]})["Deleted"]
        key = do("kms", "create_key")["KeyMetadata"]["Arn"]
        do("kms", "create_alias", AliasName="alias/mine", TargetKeyId=key)
        do("s3", "put_object", Bucket=BUCKET, Key="sealed", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="alias/mine")
        do("s3", "get_object", Bucket=BUCKET, Key="sealed")
        do("iam", "create_role", RoleName="Worker", AssumeRolePolicyDocument=document([TRUST]))
        read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
        do("iam", "put_role_policy", RoleName="Worker", PolicyName="p", PolicyDocument=document([read]))
        do("secretsmanager", "create_secret", Name="db", SecretString="pw", KmsKeyId=key, Tags=[{"Key": "a", "Value": "b"}])
        assert do("secretsmanager", "get_secret_value", SecretId="db")["SecretString"] == "pw"
        do("secretsmanager", "list_secrets")
        do("ssm", "put_parameter", Name="/a/b", Value="v", Type="SecureString", KeyId=key)
        assert do("ssm", "get_parameter", Name="/a/b", WithDecryption=True)["Parameter"]["Value"] == "v"
        assert do("ssm", "get_parameters_by_path", Path="/a", WithDecryption=True)["Parameters"]
        do("cloudwatch", "put_metric_data", Namespace="n", MetricData=[{"MetricName": "m", "Value": 1}])
        do("logs", "create_log_group", logGroupName="g")
        do("logs", "create_log_stream", logGroupName="g", logStreamName="s")
        do(
            "logs",
            "put_log_events",
            logGroupName="g",
            logStreamName="s",
            logEvents=[{"timestamp": int(time.time() * 1000), "message": "m"}],
        )
        assert do("logs", "get_log_events", logGroupName="g", logStreamName="s")["events"]
        topic = do("sns", "create_topic", Name="t")["TopicArn"]
        do("sns", "publish", TopicArn=topic, Message="m")
        queue = do("sqs", "create_queue", QueueName="q")["QueueUrl"]
        do("sqs", "send_message", QueueUrl=queue, MessageBody="m")
        do("cloudtrail", "lookup_events")
        assert do("sts", "assume_role", RoleArn=f"arn:aws:iam::{ACCOUNT}:role/ModelyardExecutionRole", RoleSessionName="own")
        assert len(set(learner.actions())) > 25
    finally:
        yard.close()


def test_denials_of_two_sides_and_of_limits(tmp_path):
    """Another account's bucket needs both policies, a boundary and a session policy theirs: all are told at once."""
    yard = InProcess(tmp_path / "data")
    try:
        iam, learner = yard.client("iam"), Learner(yard)
        yard.client("s3").create_bucket(Bucket=BUCKET)
        keys = ensure_account(yard.platform, "210987654321")["root"]
        theirs = inproc.client(yard.gateway, "s3", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
        theirs.create_bucket(Bucket="their-bucket")
        theirs.put_object(Bucket="their-bucket", Key="k", Body=b"x")
        with pytest.raises(ClientError) as denied:
            learner.client("s3").get_object(Bucket="their-bucket", Key="k")
        told = dict(HELP.findall(denied.value.response["Error"]["Message"]))
        assert set(told) == {"the bucket policy of their-bucket (account 210987654321)", "a policy of user learner"}
        mine, bucket_policy = told["a policy of user learner"], told["the bucket policy of their-bucket (account 210987654321)"]
        theirs.put_bucket_policy(Bucket="their-bucket", Policy=document([json.loads(bucket_policy)]))
        iam.put_user_policy(UserName="learner", PolicyName="p", PolicyDocument=document([json.loads(mine)]))
        assert learner.client("s3").get_object(Bucket="their-bucket", Key="k")["Body"].read() == b"x"

        limit = iam.create_policy(PolicyName="Limit", PolicyDocument=document([{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]))
        iam.put_user_permissions_boundary(UserName="learner", PermissionsBoundary=limit["Policy"]["Arn"])
        with pytest.raises(ClientError) as denied:
            learner.client("iam").list_users()
        message = denied.value.response["Error"]["Message"]
        assert f"iam:ListUsers on resource: arn:aws:iam::{ACCOUNT}:user/ because no identity-based policy allows" in message
        assert "a policy of user learner: {" in message
        assert (
            f"; and this one to the permissions boundary of user learner (managed policy {limit['Policy']['Arn']} (version v1)): {{"
            in message
        )
    finally:
        yard.close()


def test_a_deny_of_a_managed_policy_is_named_as_aws_does(tmp_path):
    yard = InProcess(tmp_path / "data")
    try:
        iam, learner = yard.client("iam"), Learner(yard)
        deny = {"Sid": "Keep", "Effect": "Deny", "Action": "sagemaker:Delete*", "Resource": "*"}
        arn = iam.create_policy(PolicyName="Guard", PolicyDocument=document([deny]))["Policy"]["Arn"]
        iam.attach_user_policy(UserName="learner", PolicyArn=arn)
        with pytest.raises(ClientError) as denied:
            learner.client("sagemaker").delete_model(ModelName="m")
        message = denied.value.response["Error"]["Message"]
        assert f"model/m with an explicit deny in an identity-based policy: {arn}. " in message
        assert f'Denied by statement "Keep" of managed policy {arn} (version v1).' in message
        when = {
            "Effect": "Allow",
            "Action": "sagemaker:ListModels",
            "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "true"}},
        }
        iam.put_user_policy(UserName="learner", PolicyName="tls", PolicyDocument=document([when]))
        with pytest.raises(ClientError, match="would allow it, but its condition does not hold: aws:SecureTransport"):
            learner.client("sagemaker").list_models()
    finally:
        yard.close()


@pytest.mark.slow
def test_a_whole_job_by_what_denials_say(tmp_path):
    """Training with a KMS key, deployment and invocation: the user's policies and the role's are written from denials alone (8 s)."""
    boxes = Boxes(tmp_path / "data")
    learner = Learner(boxes.yard)
    do = learner.do
    try:
        do("s3", "create_bucket", Bucket=BUCKET)
        do("s3", "put_object", Bucket=BUCKET, Key="in/train.csv", Body=b"1,2\n")
        key = do("kms", "create_key")["KeyMetadata"]["Arn"]
        role = do("iam", "create_role", RoleName="Worker", AssumeRolePolicyDocument=document([TRUST]))["Role"]["Arn"]
        code = f"print('hello'); open('/opt/ml/model/serve.py', 'w').write({SERVER!r})"
        for number in range(8):
            request = boxes.request(
                f"job-{number}", code, RoleArn=role, OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/out", "KmsKeyId": key}
            )
            where = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/in/"}
            do(
                "sagemaker",
                "create_training_job",
                **request,
                InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": where}}],
            )
            job = settled(lambda n=number: do("sagemaker", "describe_training_job", TrainingJobName=f"job-{n}"), "TrainingJobStatus")
            if not learner.follow(job.get("FailureReason", "")):
                break
        assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
        model = job["ModelArtifacts"]["S3ModelArtifacts"]
        stored = boxes.s3.head_object(Bucket=BUCKET, Key=model.removeprefix(f"s3://{BUCKET}/"))
        assert (stored["ServerSideEncryption"], stored["SSEKMSKeyId"]) == ("aws:kms", key)
        streams = do("logs", "describe_log_streams", logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=job["TrainingJobName"])
        stream = {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamName": streams["logStreams"][0]["logStreamName"]}
        assert "hello" in [event["message"] for event in do("logs", "get_log_events", **stream)["events"]]
        do("sagemaker", "create_model", ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": model})
        variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        do("sagemaker", "create_endpoint_config", EndpointConfigName="c", ProductionVariants=[variant])
        for _ in range(3):
            do("sagemaker", "create_endpoint", EndpointName="e", EndpointConfigName="c")
            there = settled(lambda: do("sagemaker", "describe_endpoint", EndpointName="e"), "EndpointStatus")
            if not learner.follow(there.get("FailureReason", "")):
                break
            do("sagemaker", "delete_endpoint", EndpointName="e")
            gone(lambda: boxes.sm.describe_endpoint(EndpointName="e"))
        assert there["EndpointStatus"] == "InService", there["FailureReason"]
        assert do("sagemaker-runtime", "invoke_endpoint", EndpointName="e", Body=b"x")["Body"].read() == b"ok"
        assert {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "kms:GenerateDataKey", "kms:Decrypt"} == set(
            learner.actions("a policy of role Worker")
        )
        passing = next(one for one in learner.pasted["a policy of user learner"] if one["Action"] == "iam:PassRole")
        assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}} and passing["Resource"] == role
    finally:
        boxes.close()


def settled(look, status):
    deadline = patience.deadline(60)
    while (there := look())[status] in ("InProgress", "Creating"):
        assert time.monotonic() < deadline, there
        time.sleep(0.05)
    return there


def gone(look):
    deadline = patience.deadline(30)
    while True:
        try:
            look()
        except ClientError:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_nearly_allows_it_and_why_a_deny_holds(tmp_path):
    yard = InProcess(tmp_path / "data")
    try:
        yard.client("s3").create_bucket(Bucket="data")
        statements = [
            {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::data", "Sid": "Bucket"},
            {"Effect": "Deny", "Action": "s3:List*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        ]
        iam = yard.client("iam")
        iam.create_user(UserName="ann")
        iam.put_user_policy(UserName="ann", PolicyName="own", PolicyDocument=document(statements))
        key = iam.create_access_key(UserName="ann")["AccessKey"]
        s3 = inproc.client(yard.gateway, "s3", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
        with pytest.raises(
            ClientError, match='Statement "Bucket" of inline policy own of user ann allows it on other resources only: arn:aws:s3:::data'
        ):
            s3.get_object(Bucket="data", Key="x")
        with pytest.raises(ClientError, match='condition holds: Bool aws:SecureTransport "false", the request has "false"'):
            s3.list_objects_v2(Bucket="data")
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=document([trust]))["Role"]["Arn"]
        with pytest.raises(ClientError, match="because no role trust policy allows the sts:AssumeRole action"):
            yard.client("sts").assume_role(RoleArn=role, RoleSessionName="me")
    finally:
        yard.close()
