"""Runs the public suite ceph/s3-tests against this platform and writes docs/reference/s3-tests.md.

    git clone https://github.com/ceph/s3-tests ../s3-tests          # a checkout; nothing of it belongs here
    python -m venv ../suite && ../suite/bin/pip install -r ../s3-tests/requirements.txt pytest-xdist pytest-timeout
    .venv/bin/python tools/s3_tests.py ../s3-tests --python ../suite/bin/python

The run has five stages, each on a platform of its own with an account for each user that the suite wants: most of the tests; one that wants an empty account; IAM, STS and SNS one
after the other; lifecycle at 8640 times the speed (the suite waits ten seconds for a day); access logs at 60 times (five for five minutes).

The suite speaks to Ceph. Its clients are told AWS's words by the plugin in tools/s3_tests/: buckets ask for `ObjectOwnership=ObjectWriter` (the
suite is from a time when every bucket had ACLs), several conditions of a lifecycle filter stand in `And`, ARNs have an account, policies for access
logs match the log objects. `--plain` leaves out the first two. An empty region name becomes us-east-1. `issuer.py` issues the tokens of web identities.

`--select TEXT` runs the tests with this in their names (at `--speed`) and prints, without writing the page.
"""

from __future__ import annotations

import argparse
import configparser
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "tools" / "s3_tests"
PAGE = ROOT / "docs" / "reference" / "s3-tests.md"
REASONS = PLUGIN / "reasons.toml"
MODULES = ("test_s3.py", "test_headers.py", "test_iam.py", "test_sts.py", "test_sns.py", "test_s3select.py")
ALONE = ("test_iam.py", "test_sts.py", "test_sns.py")
"""Their cleanup removes what other processes of the same run made, so they run one after the other."""
ACCOUNTS = {"main": "111111111111", "alt": "222222222222", "tenant": "333333333333", "root": "444444444444", "alt root": "555555555555"}
TEST_S = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="a checkout of ceph/s3-tests")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="an interpreter with the suite's requirements")
    parser.add_argument("--select", default="", help="pytest's -k; the page is not written then")
    parser.add_argument("--modules", nargs="*", default=MODULES)
    parser.add_argument("--workers", default="2", help="processes that run tests (default 2)")
    parser.add_argument("--plain", action="store_true", help="buckets as AWS makes them today, without ACLs")
    parser.add_argument("--speed", type=float, default=1.0, help="speed of the platform's clock")
    parser.add_argument(
        "--results", type=Path, help="keep the results here, a JSON line per test (and write the page from them with --page)"
    )
    parser.add_argument("--resume", action="store_true", help="leave out what --results has already")
    parser.add_argument("--page", action="store_true", help="only write the page, from --results")
    args = parser.parse_args()
    results = args.results or Path(tempfile.mkdtemp(prefix="s3-tests-")) / "results.jsonl"
    if not args.page:
        if not args.resume:
            results.unlink(missing_ok=True)
        run(args, results)
    found = read(results)
    page = render(found, tomllib.loads(REASONS.read_text()), args.plain)
    if args.page or not (args.select or args.plain or tuple(args.modules) != MODULES):
        PAGE.write_text(page)
        print(f"{PAGE.relative_to(ROOT)} written")
    for name, one in sorted(found.items()):
        if one["outcome"] == "failed":
            print("FAILED", name, "|", one["why"][:150])
    print(dict(Counter(one["outcome"] for one in found.values())))
    return 0


# --- running it ------------------------------------------------------------------------------------


STAGES: tuple[tuple[float, tuple[str, ...], str], ...] = (
    (1.0, ("-m", "not bucket_logging", "-k", "(not lifecycle or header) and not list_buckets_paginated"), "together"),
    (1.0, ("-k", "list_buckets_paginated"), "together"),
    (1.0, (), "alone"),
    (8640.0, ("-k", "lifecycle and not header"), "together"),
    (60.0, ("-m", "bucket_logging"), "together"),
)
"""Speed of the clock, which tests, and which modules. Lifecycle: the suite waits ten seconds for a day. Access logs: five for five minutes. One test of the
pages of ListBuckets wants an account without other buckets."""


def run(args: argparse.Namespace, results: Path) -> None:
    together = [name for name in args.modules if name not in ALONE]
    alone = [name for name in args.modules if name in ALONE]
    stages = [(args.speed, ("-k", args.select), "together"), (args.speed, ("-k", args.select), "alone")] if args.select else STAGES
    for speed, words, which in stages:
        modules = together if which == "together" else alone
        if modules:
            _stage(args, results, speed, [*words], modules, args.workers if which == "together" else "0")


def _stage(args: argparse.Namespace, results: Path, speed: float, words: list[str], modules: list[str], workers: str) -> None:
    """One platform, one call of pytest."""
    with tempfile.TemporaryDirectory(prefix="s3-tests-") as folder, _issuer() as issuer:
        platform = Platform(Path(folder) / "data", speed)
        try:
            config = Path(folder) / "s3tests.conf"
            with config.open("w") as file:
                platform.config(issuer).write(file)
            environment = {
                **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
                "S3TEST_CONF": str(config),
                "S3TESTS_RESULTS": str(results.absolute()),
                "S3TESTS_PLAIN": "1" if args.plain else "",
                "S3TESTS_ACCOUNT": ACCOUNTS["main"],
                "S3TESTS_IAM_ACCOUNT": ACCOUNTS["alt"],
                "PYTHONPATH": str(PLUGIN),
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
                "HOME": folder,
            }
            call = [str(args.python), "-m", "pytest", "-q", "-p", "s3_tests_plugin", "-n", workers, f"--timeout={TEST_S}", "--tb=short"]
            call += ["-p", "no:cacheprovider", *words, *(f"s3tests/functional/{name}" for name in modules)]
            subprocess.run(call, cwd=args.checkout, env=environment, check=False)
        finally:
            platform.stop()


@contextmanager
def _issuer() -> Iterator[dict[str, str] | None]:
    """The `[webidentity]` section of the configuration; None where the issuer's port is taken."""
    sys.path.insert(0, str(PLUGIN))
    from issuer import Issuer

    try:
        issuer = Issuer()
    except OSError as problem:
        print(f"no issuer of web identities: {problem}", file=sys.stderr)
        yield None
        return
    try:
        yield issuer.section()
    finally:
        issuer.stop()


class Platform:
    """A platform of its own, with the accounts and users of the suite."""

    def __init__(self, data: Path, speed: float) -> None:
        self.data = data
        self._command("up", "--detach", "--port", "0", "--account", ACCOUNTS["main"], "--clock-speed", str(speed))
        for account in list(ACCOUNTS.values())[1:]:
            self._command("account", "add", account)
        status = json.loads(self._command("status", "--json"))
        self.endpoint = status["endpoint"]
        self.users = self._users()

    def _command(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "modelyard", *words, "--data", str(self.data)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"modelyard {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def stop(self) -> None:
        self._command("down")

    def root(self, user: str) -> dict[str, str]:
        return json.loads((self.data / "secrets" / f"{ACCOUNTS[user]}.json").read_text())["root"]

    def client(self, service: str, user: str) -> Any:
        import boto3

        keys = self.root(user)
        return boto3.client(service, "us-east-1", endpoint_url=self.endpoint, aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"])  # fmt: skip

    def _users(self) -> dict[str, dict[str, str]]:
        """Key, secret and canonical user of each of the suite's users. `alt` is an IAM user of its account that may do everything,
        named by the canonical user (the suite uses one name for both); `iam` is the root of the same account."""
        found = {}
        for user in ACCOUNTS:
            keys, owner = self.root(user), self.client("s3", user).list_buckets()["Owner"]
            found[user] = {
                "key": keys["AccessKeyId"],
                "secret": keys["SecretAccessKey"],
                "id": owner["ID"],
                "name": owner.get("DisplayName", ""),
            }
        found["iam"] = dict(found["alt"])
        iam, name = self.client("iam", "alt"), found["alt"]["id"]
        iam.create_user(UserName=name)
        iam.attach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        key = iam.create_access_key(UserName=name)["AccessKey"]
        found["alt"] |= {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
        kms = self.client("kms", "main")
        for number in ("", "2"):
            try:
                found["main"][f"kms{number}"] = kms.create_key()["KeyMetadata"]["Arn"]
            except Exception as problem:
                print(f"no KMS key: {problem}", file=sys.stderr)
        return found

    def config(self, issuer: dict[str, str] | None) -> configparser.RawConfigParser:
        config = configparser.RawConfigParser()
        host, _, port = self.endpoint.rpartition("/")[2].partition(":")
        config["DEFAULT"] = {"host": host, "port": port, "is_secure": "False", "ssl_verify": "False"}
        config["fixtures"] = {"bucket prefix": "s3t-{random}-", "iam name prefix": "s3t-{random}-", "iam path prefix": "/s3-tests/"}
        for section, user in {"s3 main": "main", "s3 alt": "alt", "s3 tenant": "tenant", "iam": "iam"}.items():
            one = self.users[user]
            config[section] = {
                "display_name": one["name"],
                "user_id": one["id"],
                "email": f"{user}@example.com",
                "access_key": one["key"],
                "secret_key": one["secret"],
            }
        config["s3 tenant"]["tenant"] = ACCOUNTS["tenant"]
        config["s3 main"].update({"api_name": "eu-west-1", "storage_classes": "GLACIER,DEEP_ARCHIVE", "lc_debug_interval": "10"})
        if issuer:
            config["webidentity"] = issuer
        for number in ("", "2"):
            if f"kms{number}" in self.users["main"]:
                config["s3 main"][f"kms_keyid{number}"] = self.users["main"][f"kms{number}"]
        for section, user, name in (("iam root", "root", ACCOUNTS["root"]), ("iam alt root", "alt root", self.users["alt root"]["id"])):
            one = self.users[user]  # the suite takes the one's ID for its account, the other's for its canonical user
            config[section] = {"access_key": one["key"], "secret_key": one["secret"], "user_id": name, "email": f"{user[:3]}@example.com"}
        return config


# --- telling of it ---------------------------------------------------------------------------------


def read(results: Path) -> dict[str, dict[str, Any]]:
    """Test name → {outcome: passed | failed | skipped, why, marks}. A test fails with any phase or parameter of it that fails; one
    test of many parameters is one test."""
    found: dict[str, dict[str, Any]] = {}
    for one in cases(results).values():
        one = {**one, "name": one["name"].partition("[")[0]}
        have = found.setdefault(one["name"], one)
        if one["outcome"] == "failed" or (have["outcome"] == "passed" and one["outcome"] == "skipped"):
            found[one["name"]] = one
    return found


def cases(results: Path) -> dict[str, dict[str, Any]]:
    """The same of each set of parameters, as of its last run."""
    found: dict[str, dict[str, Any]] = {}
    for line in results.read_text().splitlines():
        one = json.loads(line)
        have = found.setdefault(one["name"], one)
        if one["round"] > have["round"] or (one["round"] == have["round"] and one["outcome"] != "passed" and have["outcome"] != "failed"):
            found[one["name"]] = one
    return found


def unexplained(results: Path, reasons: dict[str, Any]) -> list[str]:
    """Failed tests that nothing is known of, as pytest names them."""
    told = {**reasons["failures"], **reasons["not-applicable"]["names"]}
    marks = reasons["not-applicable"]["marks"]
    failed = (one for one in cases(results).values() if one["outcome"] == "failed" and not set(one["marks"]) & set(marks))
    return [f"s3tests/functional/{one['name']}" for one in failed if not known(told, one["name"].partition("::")[2].partition("[")[0])]


def render(found: dict[str, dict[str, Any]], reasons: dict[str, Any], plain: bool) -> str:
    """The page. `reasons` has `not-applicable` (marks and names → reason) and `failures` (names → reason)."""
    marks, names, failures = reasons["not-applicable"]["marks"], reasons["not-applicable"]["names"], reasons["failures"]
    areas: dict[str, Counter[str]] = defaultdict(Counter)
    left_out: dict[str, list[str]] = defaultdict(list)
    failed: dict[str, list[str]] = defaultdict(list)
    for name, one in sorted(found.items()):
        short = name.partition("::")[2]
        why = known(names, short) or next((text for mark, text in marks.items() if mark in one["marks"]), None)
        if one["outcome"] == "skipped" and not why:
            why = f"The suite itself skips it: {one['why']}"
        passed = one["outcome"] == "passed" and not set(one["marks"]) & set(reasons["not-applicable"]["always"])
        outcome = "passed" if passed else "not applicable" if why else "failed"
        areas[area(name, one["marks"], reasons["areas"])][outcome] += 1
        if outcome == "not applicable":
            left_out[why].append(short)
        elif outcome == "failed":
            failed[known(failures, short) or "Not looked into yet."].append(short)
    return _page(areas, left_out, failed)


def known(reasons: dict[str, str], name: str) -> str | None:
    """The reason of a test: by its name, else by a beginning of it (`test_lifecycle*`)."""
    fits = (text for key, text in reasons.items() if key.endswith("*") and name.startswith(key[:-1]))
    return reasons.get(name) or next(fits, None)


def area(name: str, marks: list[str], areas: dict[str, str]) -> str:
    module, _, short = name.partition("::")
    by_name = next((title for start, title in areas.items() if short.startswith(start)), None)
    return by_name or {"test_iam.py": "IAM", "test_sts.py": "STS", "test_sns.py": "SNS", "test_s3select.py": "S3 Select", "test_headers.py": "Headers and signatures"}.get(module, "Buckets and objects")  # fmt: skip


def _page(areas: dict[str, Counter[str]], left_out: dict[str, list[str]], failed: dict[str, list[str]]) -> str:
    total = sum(areas.values(), Counter())
    counted, told = total["passed"] + total["failed"], ("passed", "failed", "not applicable")
    text = [
        "# ceph/s3-tests\n",
        "Written by `tools/s3_tests.py` (its head says how to repeat it, and what the suite's clients are told in AWS's words) from results of the "
        "public suite [ceph/s3-tests](https://github.com/ceph/s3-tests); why a test fails or does not apply is in `tools/s3_tests/reasons.toml`.\n",
        f"**{total['passed']} of {counted} applicable tests pass ({100 * total['passed'] / max(counted, 1):.1f} %)**; "
        f"of all {sum(total.values())} tests of the suite {100 * total['passed'] / max(sum(total.values()), 1):.1f} %. The suite's clients make "
        "buckets with `ObjectOwnership=ObjectWriter`: it is from a time when every bucket had ACLs. Where Ceph and AWS differ, AWS is right here.\n",
        "| area | passed | failed | not applicable |\n|---|---|---|---|",
        *(f"| {name} | {' | '.join(str(counts[one]) for one in told)} |" for name, counts in sorted(areas.items())),
        f"| **all** | {' | '.join(str(total[one]) for one in told)} |\n",
    ]
    for title, groups in (("Failures", failed), ("Not applicable", left_out)):
        text.append(f"## {title}\n")
        for why, names in sorted(groups.items(), key=lambda pair: -len(pair[1])):
            text.append(f"- **{why}** ({len(names)}) {', '.join(f'`{name}`' for name in names)}")
        text.append("")
    return "\n".join(text)


if __name__ == "__main__":
    sys.exit(main())
