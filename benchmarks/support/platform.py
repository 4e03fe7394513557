"""A platform of its own for a benchmark: started from this checkout, asked by signed HTTP, measured from /proc."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPATH": str(ROOT / "src")}
TICKS = os.sysconf("SC_CLK_TCK")


class Platform:
    """`modelyard up --detach` on a free port, ended by `stop`."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.run("up", "--detach", "--port", "0", *options)
        told = json.loads(self.run("status", "--json"))
        self.url: str = told["endpoint"]
        self.host = self.url.removeprefix("http://")
        self.pids: dict[str, int] = {p["role"]: p["pid"] for p in told["processes"]}
        exports = dict(re.findall(r"^export (\w+)=['\"]?([^'\"\n]*)", self.run("env"), re.M))
        self.keys = (exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"], exports.get("AWS_SESSION_TOKEN"))

    def run(self, *words: str) -> str:
        command = [sys.executable, "-m", "modelyard", *words, "--data", str(self.data)]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
        if done.returncode:
            raise SystemExit(f"modelyard {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def client(self, service: str, **options):
        """An unmodified boto3 client of this platform."""
        import boto3

        key, secret, token = self.keys
        return boto3.client(
            service, REGION, endpoint_url=self.url, aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token, **options
        )

    def signed(self, service: str, path: str, body: bytes, headers: dict[str, str], method: str = "POST") -> dict[str, str]:
        """All headers of a signed request; it is good for 15 minutes."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest(method, self.url + path, data=body, headers=headers)
        SigV4Auth(Credentials(*self.keys), service, REGION).add_auth(request)
        return {**{str(k): str(v) for k, v in request.headers.items()}, "Host": self.host}

    def ask(self, target: str, body: dict) -> dict:
        """One json 1.1 operation of SageMaker, by raw signed HTTP."""
        data = json.dumps(body).encode()
        headers = self.signed("sagemaker", "/", data, {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"SageMaker.{target}"})
        with urllib.request.urlopen(urllib.request.Request(self.url, data, headers), timeout=60) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self.run("down")


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # threads end
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    return found


def cpu_s(pids: list[int]) -> float:
    """User and system seconds of these processes and their descendants so far."""
    total = 0
    for pid in {each for top in pids for each in tree(top)}:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mib(pid: int, line: str = "VmRSS", file: str = "status") -> float:
    return int(re.search(rf"^{line}:\s+(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.M)[1]) / 1024


def load_average() -> str:
    return f"load average {os.getloadavg()[0]:.1f}"
