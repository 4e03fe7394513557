"""Signed messages, and the certificate to check them with, served at /_modelyard/sns/.

Source: "Verifying the signatures of Amazon SNS messages" in the developer guide: version 1 is SHA1withRSA, version 2 SHA256withRSA,
over the names and values of certain members, each followed by a newline.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.services.sns import api

NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
DAYS = 3650


class Signer:
    """Key and certificate are made with the first message: `secrets/sns.key` (0600) and `secrets/sns.pem`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._key: Any = None
        self._certificate = b""

    def certificate(self) -> bytes:
        self._load()
        return self._certificate

    def name(self) -> str:
        return f"SimpleNotificationService-{hashlib.sha256(self.certificate()).hexdigest()[:32]}.pem"

    def sign(self, envelope: Mapping[str, Any], version: str = "1") -> str:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        self._load()
        names = NOTIFICATION if envelope["Type"] == "Notification" else CONFIRMATION
        text = "".join(f"{name}\n{envelope[name]}\n" for name in names if name in envelope)
        kind = hashes.SHA256() if version == "2" else hashes.SHA1()
        return base64.b64encode(self._key.sign(text.encode(), padding.PKCS1v15(), kind)).decode()

    def _load(self) -> None:
        with self._lock:
            if self._key is not None:
                return
            from cryptography.hazmat.primitives.serialization import load_pem_private_key

            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            pem = _first(self._folder / "sns.key", _new_key)
            key = load_pem_private_key(pem, None)
            self._certificate = _first(self._folder / "sns.pem", lambda: _certificate(key))
            self._key = key


@api.page("sns")
def certificate_page(platform: Any, path: str) -> tuple[int, str, bytes]:
    signer = platform.topics.signer
    if path == signer.name():
        return 200, "application/x-pem-file", signer.certificate()
    return 404, "text/plain", b"There is no such certificate.\n"


def _new_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _certificate(key: Any) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Modelyard")]
    )
    now = datetime.datetime.fromtimestamp(real_now(), datetime.UTC)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + DAYS * day)
    )
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _first(path: Path, make: Any) -> bytes:
    """What is at `path`, or what `make` makes, linked into place by whichever process is first."""
    if not path.exists():
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(make())
                file.flush()
                os.fsync(fd)
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(temporary)
    return path.read_bytes()
