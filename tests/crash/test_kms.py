"""Keys while the engine is killed at every point: each rotation happens once, no ciphertext is lost, deletion leaves nothing behind."""

from __future__ import annotations

import pytest

from modelyard.kernel.bus import Bus, Reader
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.reconcile import Engine
from tests.support.chaos import Chaos, Crash
from tests.support.platform import ACCOUNT, InProcess

DAY = 86400.0


def work(yard: InProcess, chaos: Chaos, rounds: int = 200) -> None:
    """Engine and bus, dying and coming back, until there is nothing to do."""
    platform, real = yard.platform, yard.platform.store
    service = platform.services["kms"]
    readers = [Reader(name, lambda event, handle=handle: handle(event, platform), kinds) for name, kinds, handle in service.readers]
    quiet = 0
    for _ in range(rounds):
        platform.store = chaos.wrap(real)
        try:
            Engine(platform, service.reconcilers).settle()
            Bus(platform.store, readers).drain()
        except Crash:
            platform.store = real
            real.db.grouped(lambda tx: tx.execute("UPDATE records SET lease_until = 0"))
            quiet = 0
            continue
        finally:
            platform.store = real
        quiet += 1
        if quiet == 3:
            return
    raise AssertionError("the engine never came to rest")


@pytest.mark.parametrize("seed", range(8))
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
        work(yard, chaos)
        yard.platform.clock.advance(90 * DAY)
        work(yard, chaos)
    told = [one["RotationType"] for one in kms.list_key_rotations(KeyId=key)["Rotations"]]
    assert told == ["AUTOMATIC", "ON_DEMAND", "AUTOMATIC", "AUTOMATIC"]
    assert [kms.decrypt(CiphertextBlob=blob)["Plaintext"] for blob in blobs] == [b"\0", b"\1", b"\2"]
    store = yard.platform.store
    assert [one.name for one in store.list("kms-key")] == [key]
    assert store.list("kms-alias") == store.list("kms-grant") == []
    assert chaos.crashes > 0
    yard.close()
