"""GET of one S3 object with nothing but the standard library: importing boto3 would cost a start 0.2 s.

Credentials are those of the job's environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN);
the endpoint is S3_ENDPOINT_URL, AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, else AWS's own. Path style, Signature
Version 4 with an unsigned payload.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request


class DownloadError(Exception):
    """The object could not be read; the text names it and S3's answer."""


def download(uri: str, path: str) -> None:
    """Write the object `s3://bucket/key` to `path`, streaming."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    request = urllib.request.Request(_url(bucket, key))
    for name, value in _sign(request.full_url).items():
        request.add_header(name, value)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}) if _is_local(request.full_url) else urllib.request.ProxyHandler())
    try:
        with opener.open(request, timeout=60) as answer, open(path, "wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
    except urllib.error.HTTPError as error:
        raise DownloadError(f"An error occurred ({error.code}) when reading {uri}: {error.read(600).decode(errors='replace')}") from None
    except urllib.error.URLError as error:
        raise DownloadError(f"Could not reach S3 to read {uri}: {error.reason}") from None


def _url(bucket: str, key: str) -> str:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    names = ("S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    endpoint = next((os.environ[n] for n in names if os.environ.get(n)), f"https://s3.{region}.amazonaws.com")
    return f"{endpoint.rstrip('/')}/{bucket}/{urllib.parse.quote(key, safe='/-_.~')}"


def _is_local(url: str) -> bool:
    return urllib.parse.urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _sign(url: str) -> dict[str, str]:
    """The headers that sign a GET of `url`; none without credentials (a public object)."""
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return {}
    parts = urllib.parse.urlsplit(url)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {"host": parts.netloc, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": stamp}
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"GET\n{parts.path}\n{parts.query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signing = ("AWS4" + secret).encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        signing = hmac.digest(signing, part.encode(), "sha256")
    signature = hmac.digest(signing, text.encode(), "sha256").hex()
    headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
    del headers["host"]
    return headers
