"""Object stores of the comparison: ours as `modelyard up` runs it, nginx (WebDAV PUT without fsync, sendfile GET) as the floor, moto's
server and ministack (both keep objects in memory or in files without fsync).

The peers' environments are made once with uv in the cache folder, with the pins below.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from support.platform import Platform, tree
from support.ports import free_port

PINS = {"moto": ("moto[server]==5.2.5",), "ministack": ("ministack==1.5.33",)}
MODULES = {"moto": "moto.server", "ministack": "ministack.app"}
BUCKET = "bench"


def environment(peer: str, cache: Path) -> Path:
    """The interpreter of a peer's environment. Raises subprocess.CalledProcessError when it cannot be installed."""
    key = hashlib.sha256(f"{PINS[peer]}{sys.version_info[:2]}".encode()).hexdigest()[:12]
    folder = cache / f"{peer}-{key}"
    if not (folder / "complete").exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([*uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(folder / "bin/python"), *PINS[peer]], check=True)
        (folder / "complete").touch()
    return folder / "bin/python"


class Signed:
    """A server of S3 that is asked with presigned URLs."""

    def connect(self, port: int, key: str, secret: str) -> None:
        import boto3
        from botocore.config import Config

        self.port, self.key, self.secret = port, key, secret
        self.client = boto3.client(
            "s3", "us-east-1", aws_access_key_id=key, aws_secret_access_key=secret, endpoint_url=f"http://127.0.0.1:{port}",
            config=Config(signature_version="s3v4", request_checksum_calculation="when_required"),
        )  # fmt: skip
        self.client.create_bucket(Bucket=BUCKET)

    def target(self, method: str, key: str, expires: int = 3600) -> str:
        """Path and query of a presigned URL (botocore takes ten times as long for one)."""
        from modelyard.wire import signing

        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{moment[:8]}/us-east-1/s3/aws4_request"
        path = f"/{BUCKET}/{quote(key)}"
        query = (
            f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={quote(f'{self.key}/{scope}', safe='')}&X-Amz-Date={moment}"
            f"&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host"
        )
        canonical = f"{method}\n{path}\n{query}\nhost:127.0.0.1:{self.port}\n\nhost\nUNSIGNED-PAYLOAD"
        signature = signing.sign(
            signing.signing_key(self.secret, moment[:8], "us-east-1", "s3"), signing.string_to_sign(moment, scope, canonical)
        )
        return f"{path}?{query}&X-Amz-Signature={signature}"


class Modelyard(Signed):
    name = "modelyard"

    def __init__(self, folder: Path) -> None:
        self.platform = Platform(folder / "data")
        self.gateway = self.platform.pids["gateway"]
        try:
            self.connect(int(self.platform.url.rpartition(":")[2]), *self._key())
        except BaseException:
            self.stop()
            raise

    def _key(self) -> tuple[str, str]:
        """A user's, without a session token."""
        iam = self.platform.client("iam")
        iam.create_user(UserName=BUCKET)
        iam.attach_user_policy(UserName=BUCKET, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        key = iam.create_access_key(UserName=BUCKET)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def pids(self) -> list[int]:
        return [self.gateway]

    def stop(self) -> None:
        self.platform.stop()


class Peer(Signed):
    def __init__(self, name: str, python: Path, folder: Path) -> None:
        self.name, port = name, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [str(python), "-m", MODULES[name], *(["-p", str(port)] if name == "moto" else [])],
            cwd=folder,
            env={**os.environ, "GATEWAY_PORT": str(port), "PYTHONPATH": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait(port)
        self.connect(port, "test", "test")

    def pids(self) -> list[int]:
        return tree(self.process.pid)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


class Nginx:
    name = "nginx"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        root = folder / "nginx"
        (root / "www").mkdir(parents=True)
        (root / "nginx.conf").write_text(
            f"worker_processes 1; daemon off; pid {root}/pid; error_log {root}/error.log; "
            + ("user root; " if os.getuid() == 0 else "")
            + f"events {{}} http {{ access_log off; sendfile on; keepalive_requests 1000000; client_max_body_size 0; "
            f"client_body_temp_path {root}/tmp; proxy_temp_path {root}/t1; fastcgi_temp_path {root}/t2; uwsgi_temp_path {root}/t3; "
            f"scgi_temp_path {root}/t4; server {{ listen 127.0.0.1:{self.port}; location / {{ root {root}/www; dav_methods PUT; }} }} }}"
        )
        self.process = subprocess.Popen(["nginx", "-p", str(root), "-c", str(root / "nginx.conf")], stderr=subprocess.DEVNULL)
        _wait(self.port)

    def target(self, method: str, key: str, expires: int = 3600) -> str:
        return f"/{key}?{expires}"

    def pids(self) -> list[int]:
        return tree(self.process.pid)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def _wait(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("a server did not start")


# --- memory --------------------------------------------------------------------------------------


def rss_mib(server: Signed | Nginx, line: str) -> float:
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in server.pids()]
    return sum(int(re.search(rf"^{line}:\s+(\d+)", text, re.M)[1]) for text in texts) / 1024


def reset_peak(server: Signed | Nginx) -> None:
    for pid in server.pids():
        Path(f"/proc/{pid}/clear_refs").write_text("5")
