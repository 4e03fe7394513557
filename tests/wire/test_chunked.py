"""aws-chunked: AWS's published examples, any way of cutting, and everything that must be refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
import zlib

import boto3
import pytest
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import BytesBody, Service
from modelyard.wire import payload, signing
from modelyard.wire.ca import Authority
from modelyard.wire.chunked import ChunkDecoder, ChunkSigner
from modelyard.wire.gateway import Gateway
from modelyard.wire.http import HttpRequest
from modelyard.wire.sigv4 import Authenticated, Claim, Scope
from tests.support.doors import KEY, ROOT, SECRET, make_platform, serving

MOMENT, SCOPE = "20130524T000000Z", "20130524/us-east-1/s3/aws4_request"
EXAMPLE_KEY = signing.signing_key(SECRET, "20130524", "us-east-1", "s3")
DATA = b"a" * 65536, b"a" * 1024
# "Example: PUT object" of the S3 API reference, without and with a trailing checksum.
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
CHUNKS = (
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
)
TRAILING_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
TRAILING_CHUNKS = (
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
)
TRAILER, TRAILER_SIGNATURE = b"x-amz-checksum-crc32c:sOO8/Q==", b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"


def coded(signatures, trailer=b"") -> bytes:
    out = b"".join(b"%x;chunk-signature=%s\r\n%s\r\n" % (len(d), s.encode(), d) for d, s in zip((*DATA, b""), signatures, strict=True) if d)
    return out + b"0;chunk-signature=%s\r\n" % signatures[-1].encode() + trailer + b"\r\n"


SIGNED = coded(CHUNKS)
SIGNED_TRAILING = coded(TRAILING_CHUNKS, TRAILER + b"\r\nx-amz-trailer-signature:" + TRAILER_SIGNATURE + b"\r\n")


def decode(data: bytes, signer=None, trailing=False, length=None, cut=7919) -> tuple[bytes, dict[str, str]]:
    decoder, out = ChunkDecoder(signer, trailing, length), []
    for at in range(0, len(data), cut):
        out += decoder.feed(data[at : at + cut])
    decoder.end()
    return b"".join(out), decoder.trailers


def test_the_signed_examples_of_the_reference():
    assert decode(SIGNED, ChunkSigner(EXAMPLE_KEY, MOMENT, SCOPE, SEED), length=66560)[0] == b"a" * 66560
    for ending in (b"\r\n", b"\n\r\n"):
        body = SIGNED_TRAILING.replace(TRAILER + b"\r\n", TRAILER + ending)
        data, trailers = decode(body, ChunkSigner(EXAMPLE_KEY, MOMENT, SCOPE, TRAILING_SEED), True, 66560)
        assert data == b"a" * 66560 and trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}


@pytest.mark.parametrize("at", [5, 20, 100, 65536 + 100, 65536 + 200, -20])
def test_any_changed_byte_of_a_signed_body_is_noticed_and_nothing_of_that_chunk_comes_out(at):
    body = bytearray(SIGNED_TRAILING)
    body[at] = body[at] ^ 1
    decoder = ChunkDecoder(ChunkSigner(EXAMPLE_KEY, MOMENT, SCOPE, TRAILING_SEED), True, 66560)
    with pytest.raises(ApiError) as problem:
        decoder.feed(bytes(body))
        decoder.end()
    assert 400 <= problem.value.status < 500


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"", 3),
        (b"3\r\nabc\r\n", 3),
        (b"3\r\nabc\r\n0\r\n", 3),
        (b"3\r\nabcd\r\n0\r\n\r\n", 3),
        (b"3\r\nabc\r\n0\r\n\r\n", 4),
        (b"3\r\nabc\r\n0\r\n\r\n", 2),
        (b"-3\r\nabc\r\n0\r\n\r\n", 3),
        (b"0x3\r\nabc\r\n0\r\n\r\n", 3),
        (b"zz\r\nabc\r\n", 3),
        (b"\r\n", 3),
        (b"3\r\nabc\r\n0\r\nnocolon\r\n\r\n", 3),
        (b"3\r\nabc\r\n0\r\n" + b"a:b\r\n" * 100 + b"\r\n", 3),
        (b"3" + b"0" * 5000, 3),
        (b"ffffffffffffffffff\r\n", 3),
        (b"3\r\nabc\r\n0\r\n\r\nmore", 3),
    ],
)
def test_bad_framing_is_a_4xx(body, length):
    with pytest.raises(ApiError) as problem:
        decode(body, length=length)
    assert 400 <= problem.value.status < 500


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_round_trip_however_it_is_cut(pieces, cut):
    whole = b"".join(pieces)
    body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"
    assert decode(body, length=len(whole), trailing=True, cut=cut) == (whole, {"x-amz-checksum-crc32": "AAAA"})


@given(st.binary(max_size=300), st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_noise_is_a_4xx_or_decoded(noise, cut):
    for signer in (None, ChunkSigner(EXAMPLE_KEY, MOMENT, SCOPE, SEED)):
        try:
            decode(noise, signer, cut=cut)
        except ApiError as problem:
            assert 400 <= problem.status < 500


def claim_of(said: str) -> Authenticated:
    claim = Claim(Scope(KEY, "20130524", "us-east-1", "s3", "host"), SEED, MOMENT, 0.0, None, said)
    return Authenticated(ROOT, "us-east-1", "s3", claim, EXAMPLE_KEY)


def test_what_an_operation_reads_is_verified():
    def body(said, data, **headers):
        sent = {"content-length": str(len(data)), **{k.replace("_", "-"): v for k, v in headers.items()}}
        request = HttpRequest("PUT", "/b/k", "", list(sent.items()), BytesBody(data))
        return payload.verified(request, claim_of(said), "s3")

    good = body(payload.SIGNED, SIGNED, x_amz_decoded_content_length="66560")
    assert good.length == 66560 and b"".join(good) == b"a" * 66560
    assert b"".join(body(hashlib.sha256(b"abc").hexdigest(), b"abc")) == b"abc"
    with pytest.raises(ApiError, match="XAmzContentSHA256Mismatch"):
        b"".join(body(hashlib.sha256(b"abd").hexdigest(), b"abc"))
    with pytest.raises(ApiError, match="MissingContentLength"):
        body(payload.SIGNED, SIGNED)
    with pytest.raises(ApiError, match="InvalidArgument"):
        body("nonsense", b"")
    with pytest.raises(ApiError, match="InvalidArgument"):
        body(payload.SIGNED, SIGNED, x_amz_decoded_content_length="x")
    with pytest.raises(ApiError, match="SignatureDoesNotMatch"):
        b"".join(body(payload.SIGNED, SIGNED.replace(b"ad80", b"ad81"), x_amz_decoded_content_length="66560"))


s3 = Service("s3")
GOT: dict[str, tuple[bytes, dict[str, str]]] = {}


@s3.operation
def put_object(call, request):
    data = b"".join(request["Body"])
    GOT[request["Key"]] = (data, dict(request["Body"].trailers))
    return {}


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
async def test_boto3_over_https_sends_trailers(tmp_path, algorithm):
    door, authority = Gateway(make_platform(s3)), Authority(tmp_path)
    async with serving(door.handle, tls=authority.server_context, pool=door.pool) as server:

        def put() -> None:
            client = boto3.client(
                "s3",
                endpoint_url=f"https://localhost:{server.port}",
                aws_access_key_id=KEY,
                aws_secret_access_key=SECRET,
                region_name="us-east-1",
                verify=str(authority.certificate),
                config=Config(retries={"max_attempts": 0}),
            )
            for size in (0, 5, 2_000_000):
                client.put_object(Bucket="bucket", Key=f"k{size}", Body=bytes(size), ChecksumAlgorithm=algorithm)

        await asyncio.to_thread(put)
    for size in (0, 5, 2_000_000):
        data, trailers = GOT[f"k{size}"]
        assert data == bytes(size)
        if algorithm == "CRC32" and size:
            import base64

            assert trailers["x-amz-checksum-crc32"] == base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode(), json.dumps(trailers)
