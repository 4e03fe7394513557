"""The seam that S3, parameters and secrets stand on."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelyard import app
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.errors import ApiError
from modelyard.services.kms.root import FACT, Root, WrongRoot
from tests.support.platform import ACCOUNT, InProcess

CONTEXT = {"aws:s3:arn": "arn:aws:s3:::bucket/key"}


def test_a_data_key_comes_back_from_its_blob(yard, kms):
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/mine", TargetKeyId=key["KeyId"])
    for ref in (key["KeyId"], key["Arn"], "alias/mine", f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/mine"):
        arn, plaintext, blob = yard.platform.kms.data_key(ACCOUNT, "us-east-1", ref, CONTEXT)
        assert (arn, len(plaintext)) == (key["Arn"], 32)
        assert plaintext not in blob
        assert yard.platform.kms.decrypt(ACCOUNT, "us-east-1", blob, CONTEXT) == (arn, plaintext)
    with pytest.raises(ApiError, match="InvalidCiphertextException"):
        yard.platform.kms.decrypt(ACCOUNT, "us-east-1", blob, {})


def test_the_key_of_a_service_is_made_once_on_first_use(yard, kms):
    first = yard.platform.kms.encrypt(ACCOUNT, "us-east-1", "alias/aws/s3", b"x", {})
    second = yard.platform.kms.data_key(ACCOUNT, "us-east-1", "alias/aws/s3", {})[0]
    assert yard.platform.kms.decrypt(ACCOUNT, "us-east-1", first, {}) == (second, b"x")
    assert [one["KeyArn"] for one in kms.list_keys()["Keys"]] == [second]
    assert kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["KeyManager"] == "AWS"
    other = yard.platform.kms.data_key("210987654321", "us-east-1", "alias/aws/s3", {})[0]
    assert other.split(":")[4] == "210987654321"


def test_a_key_that_is_not_in_use_serves_nobody(yard, kms):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=key)
    with pytest.raises(ApiError, match=r"DisabledException: arn:aws:kms:.* is disabled"):
        yard.platform.kms.data_key(ACCOUNT, "us-east-1", key, {})
    signer = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    with pytest.raises(ApiError, match="InvalidKeyUsageException"):
        yard.platform.kms.data_key(ACCOUNT, "us-east-1", signer, {})
    with pytest.raises(ApiError, match=r"Key 'arn:aws:kms:us-east-1:.*' does not exist"):
        yard.platform.kms.data_key(ACCOUNT, "us-east-1", "12345678-1234-1234-1234-123456789012", {})


def test_the_root_key_is_private_and_outlives_the_process(tmp_path):
    first = InProcess(tmp_path, clock=ManualClock())
    blob = first.platform.kms.encrypt(ACCOUNT, "us-east-1", "alias/aws/ssm", b"still here", {})
    first.close()
    path = tmp_path / "secrets/root.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 32
    second = InProcess(tmp_path, clock=ManualClock())
    assert second.platform.kms.decrypt(ACCOUNT, "us-east-1", blob, {})[1] == b"still here"
    second.close()


@pytest.mark.parametrize(
    ("content", "text"), [(None, "is missing"), (b"x" * 32, "is not the key that this store was sealed with"), (b"x" * 31, "is damaged")]
)
def test_without_its_root_key_a_platform_does_not_start(tmp_path, content, text):
    first = InProcess(tmp_path, clock=ManualClock())
    blob = first.platform.kms.encrypt(ACCOUNT, "us-east-1", "alias/aws/ssm", b"kept", {})
    first.close()
    path = tmp_path / "secrets/root.key"
    right = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WrongRoot, match=text):
        InProcess(tmp_path, clock=ManualClock())
    assert (path.read_bytes() if path.exists() else None) == content
    path.write_bytes(right)
    second = InProcess(tmp_path, clock=ManualClock())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert second.platform.kms.decrypt(ACCOUNT, "us-east-1", blob, {})[1] == b"kept"
    second.close()


def test_sealed_material_opens_for_its_own_purpose_only(yard):
    root = yard.platform.kms.root
    sealed = root.seal(b"material", "one")
    assert root.open(sealed, "one") == b"material"
    with pytest.raises(WrongRoot):
        root.open(sealed, "two")


def test_one_root_key_however_many_begin_at_once(tmp_path, yard):
    yard.platform.store.set_fact(FACT, None)
    with ThreadPoolExecutor(8) as pool:
        roots = list(pool.map(lambda _: Root(tmp_path / "new", yard.platform.store), range(8)))
    assert {root.open(roots[0].seal(b"x", "p"), "p") for root in roots} == {b"x"}


def test_a_process_without_the_root_key_says_so_and_no_more(tmp_path, monkeypatch):
    def refused(settings, role):
        raise WrongRoot("root.key is missing")

    monkeypatch.setattr(app, "build_platform", refused)
    with pytest.raises(SystemExit) as ended:
        app.child_main("engine", ["--data", str(tmp_path)])
    assert ended.value.code == "root.key is missing"
