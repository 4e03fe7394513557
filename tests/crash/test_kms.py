"""Keys while the engine is killed at every point: each rotation happens once, no ciphertext is lost, deletion leaves nothing behind."""

from __future__ import annotations

import pytest

from modelyard.kernel.clock import ManualClock
from tests.support.chaos import Chaos, outlive
from tests.support.platform import ACCOUNT, InProcess

DAY = 86400.0


@pytest.mark.parametrize("seed", range(4))
def test_rotation_and_deletion(tmp_path, seed):
    yard, chaos = InProcess(tmp_path, clock=ManualClock()), Chaos(seed, 0.1)
    kms = yard.client("kms")
    key, going = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    kms.create_alias(AliasName="alias/going", TargetKeyId=going)
    kms.create_grant(KeyId=going, GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:root", Operations=["Decrypt"])
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    kms.schedule_key_deletion(KeyId=going, PendingWindowInDays=7)
    blobs = []
    for turn in range(3):
        blobs.append(kms.encrypt(KeyId=key, Plaintext=bytes([turn]))["CiphertextBlob"])
        if turn == 1:
            kms.rotate_key_on_demand(KeyId=key)
        outlive(yard.platform, "kms", chaos)
        yard.platform.clock.advance(90 * DAY)
        outlive(yard.platform, "kms", chaos)
    told = [one["RotationType"] for one in kms.list_key_rotations(KeyId=key)["Rotations"]]
    assert told == ["AUTOMATIC", "ON_DEMAND", "AUTOMATIC", "AUTOMATIC"]
    assert [kms.decrypt(CiphertextBlob=blob)["Plaintext"] for blob in blobs] == [b"\0", b"\1", b"\2"]
    store = yard.platform.store
    assert [one.name for one in store.list("kms-key")] == [key]
    assert store.list("kms-alias") == store.list("kms-grant") == []
    assert chaos.crashes > 0
    yard.close()


@pytest.mark.parametrize("seed", range(3))
def test_multi_region_keys(tmp_path, seed):
    """A family rotates once for all its regions; its primary goes after its replica, and nothing is left of them."""
    yard, chaos = InProcess(tmp_path, clock=ManualClock()), Chaos(seed, 0.1)
    kms, west = yard.client("kms"), yard.client("kms", region="eu-west-1")
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    kms.replicate_key(KeyId=key, ReplicaRegion="eu-west-1")
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    outlive(yard.platform, "kms", chaos)
    yard.platform.clock.advance(90 * DAY)
    outlive(yard.platform, "kms", chaos)
    kms.rotate_key_on_demand(KeyId=key)
    outlive(yard.platform, "kms", chaos)
    assert [one["RotationType"] for one in west.list_key_rotations(KeyId=key)["Rotations"]] == ["AUTOMATIC", "ON_DEMAND"]
    assert west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    west.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    for _ in range(2):
        outlive(yard.platform, "kms", chaos)
        yard.platform.clock.advance(7 * DAY)
        outlive(yard.platform, "kms", chaos)
    assert yard.platform.store.list("kms-key") == yard.platform.store.list("kms-key-family") == []
    assert chaos.crashes > 0
    yard.close()
