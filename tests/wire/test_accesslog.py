"""The access log: one line per request, no secrets, nothing that could forge a line."""

from __future__ import annotations

from modelyard.wire.accesslog import AccessLog, redacted
from modelyard.wire.http import HttpRequest


def test_lines_without_secrets(tmp_path):
    log = AccessLog(tmp_path / "logs" / "access.log")
    query = "X-Amz-Credential=AKIA/1&X-Amz-Signature=abc&X-Amz-Security-Token=t0ken&prefix=a&Signature=xyz&AWSAccessKeyId=AKIA&WebIdentityToken=jwt"
    log.add(HttpRequest("GET", "/b/k\nforged", query, []), 200, 0.0123, "id-1", "s3:GetObject", "arn")
    log.close()
    text = (tmp_path / "logs" / "access.log").read_text()
    assert text.count("\n") == 1 and "s3:GetObject 200 12.3ms arn id-1" in text and "prefix=a" in text
    for secret in ("AKIA", "abc", "t0ken", "xyz", "jwt"):
        assert secret not in text
    assert redacted("a=b") == "a=b"
