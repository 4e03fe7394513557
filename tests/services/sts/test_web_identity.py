"""AssumeRoleWithWebIdentity against a real provider on this machine: a key pair, a JWKS over HTTP, tokens that are signed."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import ANONYMOUS
from tests.services.iam.conftest import ACCOUNT, Yard, allow, policy

KEY = rsa.generate_private_key(65537, 2048)


def b64(data: bytes | dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Provider:
    """`token(claims)` of an OpenID Connect provider on a free port."""

    def __init__(self) -> None:
        public = KEY.public_key().public_numbers()
        jwks = {"keys": [{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": number(public.n), "e": number(public.e)}]}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages = {"/.well-known/openid-configuration": {"jwks_uri": f"{provider.url}/keys"}, "/keys": jwks}
                body = json.dumps(pages.get(self.path, {})).encode()
                self.send_response(200 if self.path in pages else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: Any) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        self.bare = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.bare}"

    def claims(self, **more: Any) -> dict[str, Any]:
        return {"iss": self.url, "sub": "repo:me/lab", "aud": "sts", "exp": real_now() + 600, "iat": real_now(), **more}

    def token(self, key: rsa.RSAPrivateKey = KEY, header: dict[str, Any] | None = None, **more: Any) -> str:
        signed = f"{b64(header or {'alg': 'RS256', 'kid': '1'})}.{b64(self.claims(**more))}"
        return f"{signed}.{b64(key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


@pytest.fixture
def yard(tmp_path: Path, provider: Provider) -> Yard:
    yard = Yard(tmp_path)
    arn = yard("iam", "CreateOpenIDConnectProvider", Url=provider.url, ClientIDList=["sts"])["OpenIDConnectProviderArn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:oidc-provider/{provider.bare}"
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{provider.bare}:aud": "sts"}, "StringLike": {f"{provider.bare}:sub": "repo:me/*"}},
    }
    yard("iam", "CreateRole", RoleName="CI", AssumeRolePolicyDocument=policy(trust))
    yard("iam", "PutRolePolicy", RoleName="CI", PolicyName="p", PolicyDocument=policy(allow("s3:*")))
    return yard


def enter(yard: Yard, token: str, role: str = "CI", **more: Any) -> dict[str, Any]:
    request = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{role}", "RoleSessionName": "build-7", "WebIdentityToken": token}
    return yard("sts", "AssumeRoleWithWebIdentity", ANONYMOUS, **request, **more)


def refusal(yard: Yard, token: str, **more: Any) -> tuple[str, str]:
    with pytest.raises(ApiError) as caught:
        enter(yard, token, **more)
    assert token not in caught.value.message
    return caught.value.code, caught.value.message


def test_a_token_that_holds(yard: Yard, provider: Provider) -> None:
    got = enter(yard, provider.token(), DurationSeconds=900)
    assert got["SubjectFromWebIdentityToken"] == "repo:me/lab" and got["Audience"] == "sts"
    assert got["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/CI/build-7"
    key = got["Credentials"]["AccessKeyId"]
    yard.authorize(key, "s3", "GetObject", Bucket="b", Key="x")
    assert yard("sts", "GetCallerIdentity", key)["Arn"].endswith("CI/build-7")


def test_tokens_that_do_not_hold(yard: Yard, provider: Provider) -> None:
    other = rsa.generate_private_key(65537, 2048)
    assert refusal(yard, "x.y.z")[0] == "InvalidIdentityToken"
    assert refusal(yard, provider.token(key=other))[0] == "InvalidIdentityToken"
    unsigned = f"{b64({'alg': 'none'})}.{b64(provider.claims())}."
    assert refusal(yard, unsigned)[0] == "InvalidIdentityToken"
    good = provider.token()
    assert refusal(yard, good[: good.rindex(".") + 1] + "AAAA")[0] == "InvalidIdentityToken"
    assert refusal(yard, provider.token(header={"alg": "HS256", "kid": "1"}))[0] == "InvalidIdentityToken"
    assert refusal(yard, provider.token(aud="another")) == ("InvalidIdentityToken", "Incorrect token audience")
    assert refusal(yard, provider.token(exp=real_now() - 5))[0] == "ExpiredTokenException"
    assert refusal(yard, provider.token(iss="https://elsewhere.example.com"))[1].startswith("No OpenIDConnect provider found")
    said = ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
    assert refusal(yard, provider.token(sub="repo:you/lab")) == said
    assert refusal(yard, provider.token(), role="Missing") == said
    assert refusal(yard, provider.token(), role="ModelyardExecutionRole") == said


def test_providers_elsewhere_are_not_called(yard: Yard, provider: Provider) -> None:
    yard("iam", "CreateOpenIDConnectProvider", Url="https://idp.example.com", ClientIDList=["sts"])
    code, text = refusal(yard, provider.token(iss="https://idp.example.com"))
    assert code == "IDPCommunicationError" and "127.0.0.1 only" in text


def test_the_platforms_own_ports_are_not_called(yard: Yard, provider: Provider) -> None:
    yard.platform.parts["own_ports"] = lambda: {provider.server.server_port}
    assert refusal(yard, provider.token())[0] == "IDPCommunicationError"
