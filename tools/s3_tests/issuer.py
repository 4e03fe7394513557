"""A small OpenID Connect issuer for the suite's tests of web identities, where they look for one: port 8080 of this machine."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

PORT, REALM, AUDIENCE, SUBJECT = 8080, "s3tests", "account", "s3-tests-subject"
URL = f"http://localhost:{PORT}/auth/realms/{REALM}"
_TAGS = {"https://aws.amazon.com/tags": {"principal_tags": {"Department": ["Engineering", "Marketing"]}}}


class Issuer:
    """Publishes its key and makes tokens. Raises OSError where the port is taken."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pages = {"/.well-known/openid-configuration": {"issuer": URL, "jwks_uri": f"{URL}/certs"}, "/certs": {"keys": [self._public()]}}

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self):
                page = pages.get(self.path.removeprefix(f"/auth/realms/{REALM}"))
                self.send_response(200 if page else 404)
                self.end_headers()
                self.wfile.write(json.dumps(page).encode())

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", PORT), Pages)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def section(self) -> dict[str, str]:
        """`[webidentity]` of the suite's configuration."""
        return {
            "token": self.token({}),
            "user_token": self.token(_TAGS),
            "aud": AUDIENCE,
            "sub": SUBJECT,
            "azp": AUDIENCE,
            "thumbprint": "0" * 40,
            "KC_REALM": REALM,
        }

    def token(self, more: dict) -> str:
        now = int(time.time())
        claims = {"iss": URL, "aud": AUDIENCE, "azp": AUDIENCE, "sub": SUBJECT, "iat": now, "exp": now + 6 * 3600, **more}
        signed = ".".join(_coded(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "1", "typ": "JWT"}, claims))
        return f"{signed}.{_coded(self._key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    def _public(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        return {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": _number(numbers.n), "e": _number(numbers.e)}


def _number(value: int) -> str:
    return _coded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
