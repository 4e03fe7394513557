"""What a call's permission costs: the evaluation behind every call, warm and after a change, and how soon a change is in force elsewhere.

    python benchmarks/policy.py [--calls 20000] [--json FILE]

CPU time of one call, in process, on one thread, over a real store with real IAM records. Callers: AdministratorAccess, AmazonSageMakerFullAccess, ten policies with
conditions and variables inside a boundary and a session policy, and a bucket policy. "remembered" are decisions in which no condition had a say; the rest
is evaluated anew at each call. Floor: one call of a function that looks up a tuple in a dict. Change: another process puts a Deny; this one asks
until it is refused; the calls that were still allowed after the answer of the change are counted (0 is the promise).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from modelyard.config import Settings  # noqa: E402
from modelyard.kernel.clock import SystemClock  # noqa: E402
from modelyard.kernel.database import open_database  # noqa: E402
from modelyard.kernel.dispatch import Dispatch  # noqa: E402
from modelyard.kernel.errors import ApiError  # noqa: E402
from modelyard.kernel.platform import Platform  # noqa: E402
from modelyard.kernel.service import Call  # noqa: E402
from modelyard.kernel.store import Store  # noqa: E402
from modelyard.services import iam, sts  # noqa: E402
from modelyard.services.iam.bootstrap import ensure_account  # noqa: E402
from modelyard.services.iam.identity import IamIdentity  # noqa: E402

ACCOUNT, BATCH, LIMIT_US = "123456789012", 500, 40.0
AWS = "arn:aws:iam::aws:policy/"


class Yard:
    def __init__(self, data: Path) -> None:
        settings, clock = Settings(data=data), SystemClock()
        self.platform = Platform(settings, clock, Store(open_database("", data / "store.db"), clock))
        self.platform.identity = IamIdentity(self.platform)
        self.platform.dispatch = Dispatch(self.platform)
        self.platform.services = {"iam": iam.api, "sts": sts.api}
        self.secrets = ensure_account(self.platform, ACCOUNT)

    def call(self, key: str, service: str = "sts", operation: str = "GetCallerIdentity") -> Call:
        credential = self.platform.identity.credential(key)
        assert credential is not None, key
        return Call(self.platform, service, operation, ACCOUNT, "us-east-1", credential.principal, "r")

    def __call__(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        return self.call(self.secrets["session"]["AccessKeyId"]).invoke(service, operation, request)

    def session(self, name: str, *attached: str, boundary: str | None = None, **more: Any) -> str:
        trust = policy({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": ["sts:AssumeRole", "sts:TagSession"]})
        limit = {"PermissionsBoundary": boundary} if boundary else {}
        arn = self("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=trust, **limit)["Role"]["Arn"]
        for policy_arn in attached:
            self("iam", "AttachRolePolicy", RoleName=name, PolicyArn=policy_arn)
        return self("sts", "AssumeRole", RoleArn=arn, RoleSessionName="bench", **more)["Credentials"]["AccessKeyId"]

    def policy(self, name: str, *statements: dict[str, Any]) -> str:
        return self("iam", "CreatePolicy", PolicyName=name, PolicyDocument=policy(*statements))["Policy"]["Arn"]


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--deny", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.deny:
        put_denies(options.deny)
        return
    with tempfile.TemporaryDirectory(prefix="bench-policy-") as folder:
        yard = Yard(Path(folder))
        told: dict[str, Any] = {"warm": warm(yard, options.calls), "first_us": after_a_change(yard), **elsewhere(yard, Path(folder))}
        yard.platform.store.db.close()
    slow = [name for name, row in told["warm"].items() if row["median_us"] > LIMIT_US]
    print(f"over {LIMIT_US:.0f} µs: {slow or 'none'}")
    if options.json:
        options.json.write_text(json.dumps(told, indent=2))


# --- cost ------------------------------------------------------------------------------------------------


def callers(yard: Yard) -> dict[str, tuple[str, str, str, dict[str, Any]]]:
    """Name → (access key, service, operation, request)."""
    many = [
        yard.policy(
            f"P{i}",
            *(
                {
                    "Effect": "Allow",
                    "Action": [f"s3:{verb}*" for verb in ("Get", "Put", "List")],
                    "Resource": f"arn:aws:s3:::bucket-{i}-{j}/${{aws:PrincipalTag/team}}/*",
                    "Condition": {"StringEquals": {"aws:PrincipalTag/team": "ml"}, "IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
                }
                for j in range(5)
            ),
        )
        for i in range(10)
    ]
    fence = yard.policy(
        "Fence", {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    )
    tags = [{"Key": "team", "Value": "ml"}]
    limited = policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    bucket = policy({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "s3:*", "Resource": "arn:aws:s3:::shared/*"})
    document = json.loads(bucket)
    yard.platform.parts["resource_policies"] = {"s3": lambda call, request: (document if request["Bucket"] == "shared" else None, None)}
    sagemaker = yard.session("Scientist", AWS + "AmazonSageMakerFullAccess")
    conditions = yard.session("Conditions", *many, boundary=fence, Policy=limited, Tags=tags)
    admin = yard.secrets["session"]["AccessKeyId"]
    return {
        "AdministratorAccess, remembered": (admin, "sagemaker", "DescribeModel", {"ModelName": "m"}),
        "AmazonSageMakerFullAccess": (sagemaker, "sagemaker", "CreateTrainingJob", {"TrainingJobName": "t"}),
        "50 statements with conditions, boundary, session policy": (conditions, "s3", "GetObject", {"Bucket": "bucket-9-4", "Key": "ml/x"}),
        "bucket policy": (admin, "s3", "GetObject", {"Bucket": "shared", "Key": "x"}),
    }


def warm(yard: Yard, calls: int) -> dict[str, dict[str, float]]:
    told = {}
    print(f"{'':58}{'median µs':>10}{'p99 µs':>8}   (batches of {BATCH})")
    for name, (key, service, operation, request) in {**callers(yard), "floor: a look-up of a tuple": ("", "", "", {})}.items():
        work = floor() if not key else asking(yard, yard.call(key, service, operation), request)
        work()
        took = sorted(batch(work) for _ in range(max(5, calls // BATCH)))
        told[name] = {"median_us": statistics.median(took), "p99_us": took[int(len(took) * 0.99) - 1]}
        print(f"{name:58}{told[name]['median_us']:10.1f}{told[name]['p99_us']:8.1f}")
    return told


def asking(yard: Yard, call: Call, request: dict[str, Any]) -> Callable[[], None]:
    """One call's way through the identity: its credential, then every permission that its operation needs."""
    identity, key = yard.platform.identity, call.principal.access_key
    return lambda: identity.authorize(replace_principal(call, identity.credential(key).principal), request)


def replace_principal(call: Call, principal: Any) -> Call:
    return call if call.principal is principal else replace(call, principal=principal)


def floor() -> Callable[[], Any]:
    known = {("sagemaker:DescribeModel", "arn"): True}
    return lambda: known[("sagemaker:DescribeModel", "arn")]


def batch(work: Callable[[], Any]) -> float:
    """µs of CPU of one, of a batch: what the work costs, whatever else the machine does."""
    began = time.process_time()
    for _ in range(BATCH):
        work()
    return (time.process_time() - began) / BATCH * 1e6


# --- changes ---------------------------------------------------------------------------------------------


def after_a_change(yard: Yard) -> float:
    """µs of the first call after a change of IAM: everything known is read again."""
    key = yard.session("Changing", AWS + "AmazonSageMakerFullAccess")
    work = asking(yard, yard.call(key, "sagemaker", "DescribeModel"), {"ModelName": "m"})
    took = []
    for number in range(50):
        yard("iam", "TagRole", RoleName="Changing", Tags=[{"Key": "n", "Value": str(number)}])
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1e6)
    print(f"first call after a change: {statistics.median(took):.0f} µs")
    return statistics.median(took)


ROUNDS = 20


def put_denies(data: Path) -> None:
    """The other process: on each line of its input it denies or allows, and says so once IAM has answered."""
    yard = Yard(data)
    for line in sys.stdin:
        effect = line.strip()
        document = policy({"Effect": effect, "Action": "sagemaker:*", "Resource": "*"})
        yard("iam", "PutRolePolicy", RoleName="Told", PolicyName="p", PolicyDocument=document)
        print("done", flush=True)


def elsewhere(yard: Yard, data: Path) -> dict[str, int]:
    key = yard.session("Told")
    work = asking(yard, yard.call(key, "sagemaker", "DescribeModel"), {"ModelName": "m"})
    other = subprocess.Popen([sys.executable, __file__, "--deny", str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin is not None and other.stdout is not None
    wrong = 0
    for number in range(ROUNDS):
        effect = ("Allow", "Deny")[number % 2]
        print(effect, file=other.stdin, flush=True)
        assert other.stdout.readline() == "done\n"
        wrong += (not allowed(work)) if effect == "Allow" else allowed(work)
    other.stdin.close()
    other.wait(20)
    print(f"changes by another process: {ROUNDS}, not in force at the next call: {wrong}")
    return {"changes": ROUNDS, "late": wrong}


def allowed(work: Callable[[], Any]) -> bool:
    try:
        work()
    except ApiError:
        return False
    return True


if __name__ == "__main__":
    main()
