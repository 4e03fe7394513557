"""A platform with IAM and S3 behind a real front door (http and https on one port), and boto3 clients on it."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import threading
from pathlib import Path
from typing import Any

import boto3
import uvloop
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from modelyard import app
from modelyard.config import Settings
from modelyard.kernel.clock import Clock, SystemClock
from modelyard.kernel.database import open_database
from modelyard.kernel.dispatch import Dispatch
from modelyard.kernel.platform import Platform
from modelyard.kernel.store import Store
from modelyard.services import iam, kms, s3, sts
from modelyard.services.iam.bootstrap import ensure_account
from modelyard.services.iam.identity import IamIdentity
from modelyard.wire.gateway import Gateway
from modelyard.wire.server import Server

ACCOUNT, OTHER = "123456789012", "210987654321"


class Yard:
    def __init__(self, data: Path, clock: Clock | None = None) -> None:
        self.data = data
        self._clients: dict[Any, Any] = {}
        clock = clock or SystemClock()
        self.platform = Platform(Settings(data=data, strict=True), clock, Store(open_database("", data / "store.db"), clock))
        self.platform.identity = IamIdentity(self.platform)
        self.platform.dispatch = Dispatch(self.platform)
        self.platform.services = {"iam": iam.api, "sts": sts.api, "s3": s3.api, **app.load_services(["kms"])}
        self.platform.parts["kms"] = kms.install(self.platform)
        self.depot = s3.install(self.platform)
        self.keys = {account: ensure_account(self.platform, account)["root"] for account in (ACCOUNT, OTHER)}
        self.ca = data / "ca.pem"
        self._loop = uvloop.new_event_loop()
        self.gateway = Gateway(self.platform)
        quick = {"at_once": self.gateway.at_once, "again": self.gateway.again}
        self._server = Server(self.gateway.handle, tls=_tls(self.ca), pool=self.gateway.pool, **quick)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self._run(self._server.start("127.0.0.1", 0))

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(240)

    def close(self) -> None:
        self._run(self._server.stop(1.0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self.gateway.close()

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}"

    def client(self, service: str = "s3", account: str = ACCOUNT, scheme: str = "http", region: str = "us-east-1", **config: Any) -> Any:
        """As root of an account; no retries. The same client for the same wish: making one takes long."""
        wish = (service, account, scheme, region, repr(config))
        if wish not in self._clients:
            self._clients[wish] = self.session(account, region).client(service, **self._options(scheme, config))
        return self._clients[wish]

    def resource(self, scheme: str = "http") -> Any:
        return self.session(ACCOUNT, "us-east-1").resource("s3", **self._options(scheme, {}))

    def session(self, account: str, region: str) -> Any:
        key = self.keys[account]
        return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=region)

    def _options(self, scheme: str, config: dict[str, Any]) -> dict[str, Any]:
        options = Config(retries={"max_attempts": 0}, **config)
        return {"endpoint_url": self.url(scheme), "verify": str(self.ca), "config": options}


def _tls(ca: Path) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 that signs itself; its public half is written to `ca`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "modelyard test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    both = ca.with_name("server.pem")
    ca.write_bytes(public)
    both.write_bytes(public + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context
