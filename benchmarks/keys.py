"""KMS, Parameter Store and Secrets Manager beside, where one names an interpreter that has it, moto's server (which keeps keys in memory).

    PYTHONPATH=src python benchmarks/keys.py [--calls 300] [--moto PYTHON]

One boto3 client, signed calls one after the other, the operations taken in turn so that both servers are asked in the same minute. Prints the
median and the 99th percentile of the time that a call takes the client, and the server's CPU per call.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from support.lone_gateway import serve

TICK = os.sysconf("SC_CLK_TCK")
WARM = 20


def calls(port: int, key: str, secret: str) -> dict[str, Callable[[], Any]]:
    """What is measured, on keys, a parameter and a secret made here."""
    import boto3

    session = boto3.Session(key, secret, region_name="us-east-1")
    kms, ssm, secrets = (session.client(name, endpoint_url=f"http://127.0.0.1:{port}") for name in ("kms", "ssm", "secretsmanager"))
    kms_key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=kms_key, Plaintext=b"x" * 100)["CiphertextBlob"]
    ssm.put_parameter(Name="/plain", Value="v", Type="String")
    ssm.put_parameter(Name="/secure", Value="v", Type="SecureString", KeyId=kms_key)
    secrets.create_secret(Name="secret", SecretString="v", KmsKeyId=kms_key)
    return {
        "Encrypt": lambda: kms.encrypt(KeyId=kms_key, Plaintext=b"x" * 100),
        "Decrypt": lambda: kms.decrypt(CiphertextBlob=blob),
        "GenerateDataKey": lambda: kms.generate_data_key(KeyId=kms_key, KeySpec="AES_256"),
        "GetParameter": lambda: ssm.get_parameter(Name="/plain"),
        "GetParameter secure": lambda: ssm.get_parameter(Name="/secure", WithDecryption=True),
        "GetSecretValue": lambda: secrets.get_secret_value(SecretId="secret"),
        "PutSecretValue": lambda: secrets.put_secret_value(SecretId="secret", SecretString="v"),
    }


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def measure(name: str, pid: int, call: Callable[[], Any], count: int) -> tuple[float, float, float]:
    """(median ms, 99th percentile ms, ms of the server's CPU per call)."""
    for _ in range(WARM):
        call()
    before, took = cpu_of(pid), []
    for _ in range(count):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), sorted(took)[int(count * 0.99)], (cpu_of(pid) - before) / count * 1000


def wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("moto does not answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--moto", help="a Python interpreter that has moto[server]")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    children = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            children.append(subprocess.Popen([sys.executable, __file__, "--serve", folder], stdout=subprocess.PIPE, text=True))
            port, key, secret = children[0].stdout.readline().split()
            peers = {"modelyard": (children[0].pid, calls(int(port), key, secret))}
            if args.moto:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", 0))
                    free = probe.getsockname()[1]
                words = [args.moto, "-m", "moto.server", "-p", str(free)]
                children.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                wait_for(free)
                peers["moto"] = (children[1].pid, calls(free, "a", "b"))
            else:
                print("no peer: --moto names an interpreter that has moto[server]")
            for what in peers["modelyard"][1]:
                for name, (pid, made) in peers.items():
                    middle, slow, cpu = measure(name, pid, made[what], args.calls)
                    print(f"{what:<20} {name:<10} p50 {middle:6.2f} ms   p99 {slow:6.2f} ms   {cpu:5.2f} ms CPU of the server", flush=True)
        finally:
            for child in children:
                child.kill()
                child.wait()


if __name__ == "__main__":
    main()
