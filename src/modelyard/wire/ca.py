"""The local certificate authority: made once, signs leaf certificates for this machine and for AWS's host names.

    data/ca/ca.pem        the authority's certificate, to be trusted by clients
    data/ca/ca.key        its key (0600)
    data/ca/leaf.key      the key of all leaves (0600)
    data/ca/leaves/       leaf certificates by name, renewed before they end
    data/ca/bundle.pem    the authority and the roots clients trusted so far, for AWS_CA_BUNDLE and the like

Name constraints keep the authority from ever vouching for another site than those. `cryptography` is imported only when
something is to be signed.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path

from modelyard.wire.awshosts import AWS_SUFFIXES, is_aws_host

CA_DAYS, LEAF_DAYS, RENEW_DAYS = 3650, 397, 30
LOCAL_NAMES = ("localhost",)
LOCAL_ADDRESSES = ("127.0.0.1", "::1")
_KEPT_CONTEXTS = 512
_ONE_DAY = datetime.timedelta(days=1)


class Authority:
    """The authority of one data folder. Opening it makes what is missing; several processes may do so at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "leaves").mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        self.certificate = folder / "ca.pem"
        self._contexts: dict[str, ssl.SSLContext] = {}
        if not self.certificate.exists():
            self._make()

    # --- what servers use ----------------------------------------------------------------------------

    def server_context(self) -> ssl.SSLContext:
        """A context that shows the local leaf, or by SNI the leaf of an AWS host name."""
        context = self._context("local")

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            if name and is_aws_host(name):
                connection.context = self._context(name.lower())

        context.sni_callback = choose
        return context

    def _context(self, name: str) -> ssl.SSLContext:
        context = self._contexts.get(name)
        if context is None:
            if len(self._contexts) >= _KEPT_CONTEXTS:
                self._contexts = {"local": self._contexts["local"]} if "local" in self._contexts else {}
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["http/1.1"])
            context.load_cert_chain(self._leaf(name), self.folder / "leaf.key")
            self._contexts[name] = context
        return context

    def _leaf(self, name: str) -> Path:
        path = self.folder / "leaves" / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.pem"
        renew = (LEAF_DAYS - RENEW_DAYS) * 86400
        if not path.exists() or datetime.datetime.now().timestamp() - path.stat().st_mtime > renew:
            names, addresses = (LOCAL_NAMES, LOCAL_ADDRESSES) if name == "local" else ((name,), ())
            _replace(path, self._sign(names, addresses), 0o600)
        return path

    # --- signing -------------------------------------------------------------------------------------

    def _make(self) -> None:
        """Key first, linked into place by whoever is first; the certificate follows from whatever key is there."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.x509.oid import NameOID

        key = _load_key(_first(self.folder / "ca.key", _new_key()))
        _first(self.folder / "leaf.key", _new_key())
        tag = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:8]
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, f"Modelyard local CA {tag}"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Modelyard"),
            ]
        )
        now = datetime.datetime.now(datetime.UTC)
        permitted: list[x509.GeneralName] = [x509.DNSName(suffix) for suffix in (*AWS_SUFFIXES, *LOCAL_NAMES)]
        permitted += [x509.IPAddress(ipaddress.ip_network("127.0.0.0/8")), x509.IPAddress(ipaddress.ip_network("::1/128"))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _ONE_DAY)
            .not_valid_after(now + CA_DAYS * _ONE_DAY)
            .add_extension(x509.BasicConstraints(True, 0), True)
            .add_extension(_usage(signs=True), True)
            .add_extension(x509.NameConstraints(permitted, None), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(key, hashes.SHA256())
        )
        _first(self.certificate, _pem(certificate), 0o644)

    def _sign(self, names: Iterable[str], addresses: Iterable[str]) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        authority = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        key, leaf = _load_key((self.folder / "ca.key").read_bytes()), _load_key((self.folder / "leaf.key").read_bytes())
        names, now = list(names), datetime.datetime.now(datetime.UTC)
        alternatives = [x509.DNSName(name) for name in names] + [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
            .issuer_name(authority.subject)
            .public_key(leaf.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _ONE_DAY)
            .not_valid_after(now + LEAF_DAYS * _ONE_DAY)
            .add_extension(x509.SubjectAlternativeName(alternatives), False)
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(_usage(signs=False), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(leaf.public_key()), False)
            .sign(key, hashes.SHA256())
        )
        return _pem(certificate)

    # --- what clients use ----------------------------------------------------------------------------

    def write_bundle(self, environment: dict[str, str] | os._Environ[str] = os.environ) -> Path:
        """Writes `bundle.pem`: this authority, then every root that clients on this machine trust so far (those the
        environment names, the system's, botocore's), each once. Call it at every start: roots change."""
        path = self.folder / "bundle.pem"
        blocks: dict[str, None] = dict.fromkeys(_blocks(self.certificate))
        for source in _root_files(environment):
            if source.resolve() != path.resolve():
                blocks.update(dict.fromkeys(_blocks(source)))
        _replace(path, ("\n".join(blocks) + "\n").encode(), 0o644)
        return path


def _root_files(environment: dict[str, str] | os._Environ[str]) -> list[Path]:
    import botocore

    named = [
        environment[name] for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE") if environment.get(name)
    ]
    system = [ssl.get_default_verify_paths().openssl_cafile, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"]
    found = [Path(name) for name in (*named, *system) if name] + [Path(botocore.__file__).parent / "cacert.pem"]
    return [path for path in found if path.is_file()]


def _blocks(path: Path) -> list[str]:
    begin, end, out = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", []
    for part in path.read_text("utf-8", "replace").split(begin)[1:]:
        inside, mark, _ = part.partition(end)
        if mark:
            out.append(f"{begin}\n{inside.strip()}\n{end}")
    return out


def _usage(signs: bool):
    from cryptography import x509

    return x509.KeyUsage(not signs, False, False, False, False, signs, signs, False, False)


def _new_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _load_key(data: bytes):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(data, None)


def _pem(certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _temporary(path: Path, data: bytes, mode: int) -> str:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    return name


def _replace(path: Path, data: bytes, mode: int) -> None:
    os.replace(_temporary(path, data, mode), path)


def _first(path: Path, data: bytes, mode: int = 0o600) -> bytes:
    """Writes the file unless it is there; answers what is in it."""
    name = _temporary(path, data, mode)
    try:
        os.link(name, path)
    except FileExistsError:
        return path.read_bytes()
    finally:
        os.unlink(name)
    return data
