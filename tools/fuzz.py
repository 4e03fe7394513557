#!/usr/bin/env python3
"""Throw noise at what strangers' bytes reach first: `tools/fuzz.py [--seconds N] [target …]`.

Guided by coverage where atheris is installed (`pip install atheris`), else blind mutation of the seeds. An answer of the
500s, an exception that is not a refusal, or a second without an answer is a finding: its bytes are written to
`fuzz-findings/<target>-<hash>` and printed; put them into tests/security/test_findings.py with the fix.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
SLOW_SECONDS = 2.0
DEFAULT_SECONDS = 60

Target = Callable[[bytes], None]


# --- targets: each makes a function of bytes that raises on a finding ------------------------------------------


def xml() -> Target:
    from modelyard.kernel.errors import ApiError
    from modelyard.wire.codecs import xml

    def run(data: bytes) -> None:
        with suppress(ApiError):
            xml.parse(data)

    return run


def chunked() -> Target:
    from modelyard.kernel.errors import ApiError
    from modelyard.wire.chunked import ChunkDecoder, ChunkSigner

    def run(data: bytes) -> None:
        mode, cut, rest = (data + b"\0\0")[0], (data + b"\0\0")[1], data[2:]
        signer = ChunkSigner(b"k" * 32, "20200101T000000Z", "20200101/us-east-1/s3/aws4_request", "0" * 64) if mode & 1 else None
        decoder = ChunkDecoder(signer, bool(mode & 2), mode if mode & 4 else None)
        size = 0
        with suppress(ApiError):
            for at in range(0, len(rest), cut + 1):
                size += sum(map(len, decoder.feed(rest[at : at + cut + 1])))
            decoder.end()
        assert size <= len(rest)

    return run


def sigv4() -> Target:
    """Claims in the headers and in the query, from the parser on: what they say must be refused, not fall over."""
    from modelyard.kernel.clock import SystemClock
    from modelyard.kernel.errors import ApiError
    from modelyard.wire import sigv2, sigv4
    from modelyard.wire.http import HttpRequest
    from tests.support.doors import FakeIdentity

    identity, clock = FakeIdentity(), SystemClock()

    def run(data: bytes) -> None:
        query, _, rest = data.decode("latin-1").partition("\n")
        headers = [("host", "h")]
        for line in rest.split("\n"):
            name, _, value = line.partition(":")
            headers.append((name.strip().lower(), value.strip()))
        for family in ("s3", "json", "query"):
            with suppress(ApiError):
                claim = sigv4.read_claim(HttpRequest("GET", "/a", query, headers), family)
                if claim is not None:
                    sigv4.check_claim(claim, identity, clock, family)
        with suppress(ApiError):  # and the arithmetic, whatever the time is
            claim = sigv4.read_claim(HttpRequest("GET", "/a%zz/../b", query, headers), "s3")
            if claim is not None and claim.of.sound:
                sigv4.verify(HttpRequest("GET", "/a%zz/../b", query, headers), claim, identity.credential(_key()), "x", "s3")
        with suppress(ApiError):
            sigv2.authenticate(HttpRequest("GET", "/a", query, headers), identity, clock)

    return run


def policy() -> Target:
    """Documents that are accepted must be evaluated without falling over."""
    from modelyard.kernel.errors import ApiError
    from modelyard.kernel.identity import ANONYMOUS, Principal
    from modelyard.services.iam.context import Context
    from modelyard.services.iam.document import PolicySet, compile_policy
    from modelyard.services.iam.evaluate import Policies, evaluate
    from modelyard.services.iam.validate import identity_policy, trust_policy
    from modelyard.services.s3.policy import is_public, parse_policy

    user = Principal("user", "123456789012", "arn:aws:iam::123456789012:user/u", "AIDAUSERUSERUSERUSER")
    context = Context(
        {"aws:username": "u", "aws:SourceIp": "127.0.0.1", "aws:CurrentTime": "2026-01-01T00:00:00Z", "s3:prefix": ["a", "b"]}
    )
    nothing = PolicySet(())

    def run(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        for check in (identity_policy, trust_policy, lambda text: parse_policy(text, "bucket")):
            try:
                document = check(text)
            except ApiError:
                continue
            rules = PolicySet(compile_policy(document, "p"))
            for who in (user, ANONYMOUS):
                evaluate(who, Policies(rules), "s3:GetObject", "arn:aws:s3:::bucket/k", context)
                evaluate(who, Policies(nothing), "s3:GetObject", "arn:aws:s3:::bucket/k", context, rules, "123456789012")
            with suppress(KeyError):
                is_public(document)

    return run


def codecs() -> Target:
    """Bodies of every protocol: the first byte chooses the operation."""
    from modelyard.kernel.errors import ApiError
    from modelyard.wire.codec import codec
    from modelyard.wire.http import HttpRequest
    from modelyard.wire.routing import Route

    kinds = [
        ("sagemaker", "CreateTrainingJob", "json"), ("sagemaker", "Search", "json"), ("iam", "CreateRole", "query"),
        ("cloudwatch", "PutMetricData", "smithy-rpc-v2-cbor"), ("cloudwatch", "PutMetricData", "query"),
        ("cloudwatch", "PutMetricData", "json"), ("ec2", "RunInstances", "ec2"), ("s3", "PutBucketLifecycleConfiguration", "rest-xml"),
        ("s3", "CompleteMultipartUpload", "rest-xml"), ("s3", "DeleteObjects", "rest-xml"), ("lambda", "CreateFunction", "rest-json"),
        ("logs", "PutLogEvents", "json"), ("sts", "AssumeRole", "query"),
    ]  # fmt: skip
    made = [codec(*kind) for kind in kinds]

    def run(data: bytes) -> None:
        choice = data[0] % len(kinds) if data else 0
        service, operation, protocol = kinds[choice]
        headers = [("host", "h"), ("content-type", "x")] + ([("content-encoding", "gzip")] if data[:1] > b"\xc0" else [])
        request, body = HttpRequest("POST", "/", "", headers), data[1:]
        with suppress(ApiError):
            asked = made[choice].parse(Route(service, operation, protocol, {"Bucket": "b", "Key": "k"}), request, body)
            made[choice].validate(asked)

    return run


def archives() -> Target:
    from modelyard.runtime.archives import BadArchive, extract

    folder = Path(tempfile.mkdtemp(prefix="modelyard-fuzz-"))
    count = 0

    def run(data: bytes) -> None:
        nonlocal count
        count += 1
        packer = zlib.compressobj(1, wbits=31)
        (folder / "a").write_bytes(packer.compress(data) + packer.flush())
        target = folder / str(count % 50) / "deep" / "target"
        with suppress(BadArchive):
            extract(folder / "a", target, max_bytes=1 << 20)
        loose = {path.name for path in folder.iterdir()} - {"a", *map(str, range(50))}
        assert not loose and {p.name for p in (folder / str(count % 50)).iterdir()} <= {"deep"}, f"left the folder: {loose}"

    return run


def http() -> Target:
    """The connection and its parser, the gateway and real services behind it, without a socket in between."""
    from modelyard.wire.limits import Limits
    from modelyard.wire.server import Server
    from tests.support.platform import InProcess

    yard = InProcess(Path(tempfile.mkdtemp(prefix="modelyard-fuzz-")), auth="open")
    loop = asyncio.new_event_loop()
    server = Server(yard.gateway.handle, Limits(linger_s=0.0), pool=yard.gateway.pool)
    server.loop = loop

    async def talk(data: bytes) -> bytes:
        from modelyard.wire.connection import Connection

        connection, wire = Connection(server, False), _Wire()
        connection.connection_made(wire)
        cut = data[0] + 1 if data else 1
        for at in range(1, len(data), cut):
            connection.data_received(data[at : at + cut])
            if at % 7 == 0:
                await asyncio.sleep(0)
        connection.eof_received()
        async with asyncio.timeout(SLOW_SECONDS * 4):
            while connection.busy:
                await asyncio.sleep(0.0005)
        connection.connection_lost(None)
        return bytes(wire.out)

    def run(data: bytes) -> None:
        out = loop.run_until_complete(talk(data))
        assert b"HTTP/1.1 5" not in out and b"Traceback" not in out, out[:300]

    return run


class _Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.out, self.closing = bytearray(), False

    def write(self, data: bytes) -> None:
        self.out += data

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 1) if name == "peername" else default

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def nothing(self, *_: object) -> None:
        """No buffer, no flow."""

    pause_reading = resume_reading = set_write_buffer_limits = write_eof = nothing


def _key() -> str:
    from tests.support.doors import KEY

    return KEY


TARGETS = {f.__name__: f for f in (xml, chunked, sigv4, policy, codecs, archives, http)}


# --- seeds -----------------------------------------------------------------------------------------------------


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, target in (("d", tarfile.DIRTYPE, ""), ("l", tarfile.SYMTYPE, "d"), ("h", tarfile.LNKTYPE, "f")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.pax_headers = kind, target, {"mtime": "1.5", "path": name}
            tar.addfile(info)
        info = tarfile.TarInfo("f")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    return buffer.getvalue()[:6144]


def seeds(target: str) -> list[bytes]:
    claim = (
        b"AWS4-HMAC-SHA256 Credential=%b/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=" % _key().encode()
    )
    query = b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%b%%2F20260101%%2Fus-east-1%%2Fs3%%2Faws4_request" % _key().encode()
    statement = {
        "Effect": "Allow",
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::bucket/*",
        "Condition": {"StringLike": {"aws:username": "${aws:username}*"}},
    }
    documents = [statement, statement | {"Principal": {"AWS": "*"}}, {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}]
    return {
        "xml": [b'<a xmlns="x"><b c="d">e</b>&amp;</a>', b"<!DOCTYPE a []><a/>", b"<?xml version='1.0' encoding='utf-16'?><a/>"],
        "chunked": [b"\0\x103\r\nabc\r\n0\r\n\r\n", b"\x02\x053\r\nabc\r\n0\r\nx-amz-checksum-crc32: AAAA\r\n\r\n", b"\x03\xff0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n"],
        "sigv4": [b"\nauthorization: " + claim + b"0" * 64 + b"\nx-amz-date: 20260101T000000Z\nx-amz-content-sha256: UNSIGNED-PAYLOAD",
                  query + b"&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00",
                  b"AWSAccessKeyId=%b&Signature=x&Expires=99999999999&x-amz-a=b" % _key().encode(), b"\ndate: Thu, 01 Jan 2026 00:00:00 GMT\nauthorization: " + claim + b"0" * 64],
        "policy": [json.dumps({"Version": "2012-10-17", "Statement": one}).encode() for one in documents],
        "codecs": [b'\0{"TrainingJobName": "j", "HyperParameters": {"a": "b"}, "StoppingCondition": {"MaxRuntimeInSeconds": 1}}',
                   b'\1{"Resource": "TrainingJob", "SearchExpression": {"SubExpressions": [{"Filters": []}]}}',
                   b"\2Action=CreateRole&Version=2010-05-08&RoleName=r&Tags.member.1.Key=a&Tags.member.1.Value=b",
                   b"\3\xa2iNamespaceanjMetricData\x81\xa2jMetricNameameTimestamp\xc1\x1a\x60\x00\x00\x00", b"\7<LifecycleConfiguration><Rule><ID>a</ID><Expiration><Date>2026-01-01T00:00:00Z</Date></Expiration></Rule></LifecycleConfiguration>",
                   b"\x08<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>"],
        "archives": [_tar()],
        "http": [b"\xffPUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nx-amz-meta-a: b\r\nRange: bytes=0-1\r\n\r\nabc", b"\xffPOST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: SageMaker.Search\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: 26\r\n\r\n{\"Resource\": \"TrainingJob\"}",
                 b"\xffGET /?Action=ListUsers&Version=2010-05-08&Marker=x HTTP/1.1\r\nHost: iam.amazonaws.com\r\n\r\n", b"\xffPOST /service/GraniteServiceVersion20100801/operation/ListMetrics HTTP/1.1\r\nHost: h\r\nsmithy-protocol: rpc-v2-cbor\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\xa0\r\n0\r\n\r\n",
                 b"\xffPUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\nGET /b?list-type=2&max-keys=1&continuation-token=x HTTP/1.1\r\nHost: b.localhost\r\nIf-Modified-Since: x\r\n\r\nDELETE /b/k?versionId=1 HTTP/1.1\r\nHost: h\r\n\r\n"],
    }[target]  # fmt: skip


# --- driving -----------------------------------------------------------------------------------------------------


def watched(name: str, run: Target) -> Target:
    """Counts, times, and writes findings down."""

    def one(data: bytes) -> None:
        began = time.monotonic()
        try:
            run(data)
            if time.monotonic() - began > SLOW_SECONDS:
                raise TimeoutError(f"took {time.monotonic() - began:.1f} s")
        except Exception:
            folder = Path("fuzz-findings")
            folder.mkdir(exist_ok=True)
            path = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
            path.write_bytes(data)
            print(f"FOUND {path}: {data[:300]!r}", flush=True)
            raise

    return one


def mutated(rng: random.Random, corpus: list[bytes]) -> bytes:
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                data[at:at] = rng.randbytes(rng.randint(1, 4))
            case 1:
                del data[at : at + rng.randint(1, 16)]
            case 2 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 3:
                piece = rng.choice(corpus)
                start = rng.randrange(len(piece) + 1)
                data[at:at] = piece[start : start + rng.randint(1, 40)]
            case 4:
                data[at : at + 1] = rng.choice(
                    [b"9" * 30, b"-1", b"\0", b"%", b"\xff", b"\xc2\xb2", b"[" * 200, b"\r\n", b'""', b"null", b"{}", b"1e999"]
                )
            case _:
                data[at:at] = data[at : at + rng.randint(1, 64)] * rng.randint(1, 4)
    return bytes(data)


def blind(name: str, seconds: float, seed: int) -> int:
    run, rng, corpus = watched(name, TARGETS[name]()), random.Random(seed), seeds(name)
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        run(mutated(rng, corpus))
        count += 1
    print(f"{name}: {count} inputs in {seconds:.0f} s (blind, seed {seed}), nothing found", flush=True)
    return count


def guided(name: str, seconds: float) -> None:
    import atheris

    with atheris.instrument_imports(include=["modelyard"]):
        run = TARGETS[name]()
    with tempfile.TemporaryDirectory(prefix="modelyard-seeds-") as corpus:
        for number, seed in enumerate(seeds(name)):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup(
            [sys.argv[0], f"-max_total_time={int(seconds)}", "-max_len=8192", "-rss_limit_mb=2048", "-timeout=20", corpus],
            watched(name, run),
        )
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], default=[], metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, help="per target")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of blind mutation")
    parser.add_argument("--blind", action="store_true", help="mutate seeds even where atheris is installed")
    args = parser.parse_args()
    if len(args.targets) != 1:  # libFuzzer ends its process: one each
        words = [f"--seconds={args.seconds}", f"--seed={args.seed}", *(["--blind"] if args.blind else [])]
        return max(subprocess.run([sys.executable, __file__, *words, name]).returncode for name in args.targets or TARGETS)
    import logging

    logging.disable(logging.CRITICAL)
    try:
        import atheris  # noqa: F401
    except ImportError:
        args.blind = True
    if args.blind:
        blind(args.targets[0], args.seconds, args.seed)
    else:
        guided(args.targets[0], args.seconds)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
