"""Inputs that once made something fall over, by the target of tools/fuzz.py that they were found with. They must not again."""

from __future__ import annotations

import importlib.util
import random
import time
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("fuzz", Path(__file__).resolve().parents[2] / "tools/fuzz.py")
fuzz = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fuzz)

FINDINGS = [
    ("sigv4", b"xAWSAccessKeyId=a&Signature=x&Expires=9"),
    ("sigv4", b"\ndate: Thu, 01 Jan 99999999999999999999 00:00:00 GMT\nauthorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=" + b"0" * 64),
    ("policy", b'{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket/*", "Condition": {"StringEquals": "x"}}}'),
    ("policy", b'{"Statement":' + b"[" * 9000 + b"]" * 9000 + b"}"),
]  # fmt: skip


@pytest.mark.parametrize("target, data", FINDINGS, ids=[f"{target}-{place}" for place, (target, _) in enumerate(FINDINGS)])
def test_what_was_found_stays_fixed(target, data):
    fuzz.TARGETS[target]()(data)


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_noise_for_a_few_seconds(target):
    """The same that tools/fuzz.py does for as long as one likes."""
    run, corpus, rng = fuzz.TARGETS[target](), fuzz.seeds(target), random.Random(20260101)
    for seed in corpus:
        run(seed)
    until = time.monotonic() + 2
    while time.monotonic() < until:
        data = fuzz.mutated(rng, corpus)
        try:
            run(data)
        except Exception as problem:
            pytest.fail(f"{target}: {problem!r} for {data!r}")
