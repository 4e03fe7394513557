"""What lies on disk, and that envelopes hold for any content."""

from __future__ import annotations

import base64
import json
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.services.kms import envelope
from modelyard.services.kms.keyring import opened
from tests.support.platform import ACCOUNT

PATIENT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXTS = st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5)


@PATIENT
@given(st.binary(max_size=4096), TEXTS, TEXTS, st.binary(min_size=32, max_size=32))
def test_envelopes(plaintext, context, other, material):
    key, name = str(uuid.uuid4()), "0123456789abcdef" * 4
    blob = envelope.seal(material, key, ACCOUNT, name, plaintext, context)
    assert envelope.read(blob) == envelope.Named(key, ACCOUNT, name[:16])
    assert envelope.unseal(material, blob, dict(reversed(context.items()))) == plaintext
    assert len(plaintext) < 8 or plaintext not in blob
    if other != context:
        with pytest.raises(envelope.Unreadable):
            envelope.unseal(material, blob, other)


@PATIENT
@given(st.data())
def test_no_changed_bit_goes_unseen(data):
    material, key, name = bytes(32), str(uuid.uuid4()), "ab" * 32
    blob = bytearray(envelope.seal(material, key, ACCOUNT, name, b"plaintext", {"a": "b"}))
    place = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[place // 8] ^= 1 << place % 8
    with pytest.raises(envelope.Unreadable):
        envelope.read(bytes(blob))
        envelope.unseal(material, bytes(blob), {"a": "b"})


@PATIENT
@given(TEXTS, TEXTS)
def test_different_contexts_are_different_bytes(one, two):
    assert (envelope.canonical(one) == envelope.canonical(two)) == (one == two)


def test_no_key_material_lies_in_the_clear(yard, kms):
    kms.create_key()
    kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    records = yard.platform.store.list("kms-key")
    bare = [opened(yard.platform.kms.root, key, key.state["Materials"][0]) for key in records]
    assert len(bare) == 3
    root = (yard.settings.secrets / "root.key").read_bytes()
    wanted = [
        form
        for secret in [*bare, root]
        for form in (secret, base64.b64encode(secret), secret.hex().encode(), json.dumps(list(secret)).encode())
    ]
    for path in yard.settings.data.rglob("*"):
        if path.is_file() and path.name != "root.key":
            content = path.read_bytes()
            assert not any(form in content for form in wanted), path
