"""Secrets and parameters while the engine is killed at every point: each schedule is kept once, values are never lost, nothing is left behind."""

from __future__ import annotations

import json

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.service import Service
from tests.support.chaos import Chaos, outlive
from tests.support.platform import ACCOUNT, InProcess

DAY = 86400.0


@pytest.mark.parametrize("seed", range(3))
def test_rotation_and_deletion(tmp_path, seed):
    yard, chaos = InProcess(tmp_path, clock=ManualClock()), Chaos(seed, 0.02)
    secrets, made = yard.client("secretsmanager"), Service("lambda")
    finished: list[str] = []

    @made.target
    def deliver(platform, delivery):
        event = json.loads(delivery.body)
        arn, token = event["SecretId"], event["ClientRequestToken"]
        if event["Step"] == "createSecret":
            secrets.put_secret_value(SecretId=arn, ClientRequestToken=token, SecretString=f"of {token}", VersionStages=["AWSPENDING"])
        if event["Step"] == "finishSecret":
            stages = secrets.describe_secret(SecretId=arn)["VersionIdsToStages"]
            current = next(name for name, held in stages.items() if "AWSCURRENT" in held)
            if current != token:
                secrets.update_secret_version_stage(
                    SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
                )
                finished.append(token)

    yard.platform.services["lambda"] = made
    try:
        secrets.create_secret(Name="turning", SecretString="first")
        secrets.create_secret(Name="going", SecretString="x")
        secrets.delete_secret(SecretId="going", RecoveryWindowInDays=7)
        function = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"
        rules = {"AutomaticallyAfterDays": 10}
        secrets.rotate_secret(SecretId="turning", RotationLambdaARN=function, RotationRules=rules, RotateImmediately=False)
        for turn in range(1, 4):
            yard.platform.clock.advance(10 * DAY)
            outlive(yard.platform, "secretsmanager", chaos)
            assert len(finished) == turn
        assert secrets.get_secret_value(SecretId="turning")["SecretString"] == f"of {finished[-1]}"
        assert [one.name for one in yard.platform.store.list("secret")] == ["turning"]
        rows = yard.platform.store.db.read("SELECT DISTINCT secret FROM secret_values")
        assert len(rows) == 1
        assert chaos.crashes > 0
    finally:
        del yard.platform.services["lambda"]
        yard.close()


@pytest.mark.parametrize("seed", range(2))
def test_a_parameter_expires(tmp_path, seed):
    yard, chaos = InProcess(tmp_path, clock=ManualClock(0.0)), Chaos(seed, 0.2)
    ssm = yard.client("ssm")
    policies = [
        {"Type": "Expiration", "Version": "1.0", "Attributes": {"Timestamp": "1970-01-11T00:00:00Z"}},
        {"Type": "ExpirationNotification", "Version": "1.0", "Attributes": {"Before": "2", "Unit": "Days"}},
    ]
    ssm.put_parameter(Name="/e", Value="1", Type="String", Tier="Advanced")
    ssm.put_parameter(Name="/e", Value="2", Overwrite=True, Policies=json.dumps(policies))
    for _ in range(11):
        outlive(yard.platform, "ssm", chaos)
        yard.platform.clock.advance(DAY)
    outlive(yard.platform, "ssm", chaos)
    told = [
        event.detail["aws"]["detail"]
        for event in yard.platform.store.events(0, 1000)
        if event.kind == "ssm-parameter" and "aws" in event.detail
    ]
    assert [one.get("operation") or one["policy-type"] for one in told] == [
        "Create",
        "Update",
        "ExpirationNotification",
        "Expiration",
        "Delete",
    ]
    assert yard.platform.store.db.read("SELECT count(*) FROM parameter_history") == [(0,)]
    yard.close()


def test_values_that_no_version_names_are_swept(tmp_path):
    yard = InProcess(tmp_path, clock=ManualClock())
    secrets, values = yard.client("secretsmanager"), yard.platform.secrets
    secrets.create_secret(Name="s", SecretString="kept")
    values.add(yard.platform.store.list("secret")[0].uid, "left by a crash")
    values.add("no secret", "left by a crash")
    values.sweep(yard.platform.store)
    assert yard.platform.store.db.read("SELECT count(*) FROM secret_values") == [(3,)]
    yard.platform.clock.advance(3601)
    values.sweep(yard.platform.store)
    assert yard.platform.store.db.read("SELECT count(*) FROM secret_values") == [(1,)]
    assert secrets.get_secret_value(SecretId="s")["SecretString"] == "kept"
    yard.close()


@pytest.mark.parametrize("seed", range(3))
def test_replicas(tmp_path, seed):
    """Whatever dies in the midst of the copying: each replica ends up saying what its primary says, and no value is left over."""
    yard, chaos = InProcess(tmp_path, clock=ManualClock()), Chaos(seed, 0.1)
    sm, west = yard.client("secretsmanager"), yard.client("secretsmanager", region="eu-west-1")
    sm.create_secret(Name="s", SecretString="0", AddReplicaRegions=[{"Region": "eu-west-1"}])
    for turn in range(1, 4):
        outlive(yard.platform, "secretsmanager", chaos)
        assert west.get_secret_value(SecretId="s")["SecretString"] == str(turn - 1)
        sm.put_secret_value(SecretId="s", SecretString=str(turn))
    outlive(yard.platform, "secretsmanager", chaos)
    assert [one["Status"] for one in sm.describe_secret(SecretId="s")["ReplicationStatus"]] == ["InSync"]
    assert west.describe_secret(SecretId="s")["VersionIdsToStages"] == sm.describe_secret(SecretId="s")["VersionIdsToStages"]
    assert chaos.crashes > 0
    yard.platform.clock.advance(2 * 3600)
    yard.platform.secrets.sweep(yard.platform.store)
    assert yard.platform.store.db.read("SELECT COUNT(*) FROM secret_values", ())[0][0] == 8
    yard.close()
