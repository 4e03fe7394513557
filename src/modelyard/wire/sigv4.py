"""Who signed this request: Signature Version 4 in header or query, checked against real time.

`read_claim` takes apart what the request says, `check_claim` finds the credential and checks times and tokens (no body is
needed so far, so a stranger cannot make us read one), `verify` compares the signature. `authenticate` does all three.
"""

from __future__ import annotations

import calendar
import hmac
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from operator import itemgetter
from typing import ClassVar
from urllib.parse import unquote

from modelyard.kernel import models
from modelyard.kernel.clock import Clock, real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Credential, Identity, Principal
from modelyard.wire import signing
from modelyard.wire.autherrors import auth_error, s3_mismatch
from modelyard.wire.codecs.scalars import write_iso8601_s
from modelyard.wire.http import HttpRequest

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_S = 15 * 60
LONGEST_PRESIGNED_S = 7 * 24 * 3600
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^\s,/]+)/(\d{8})/([^\s,/]+)/([^\s,/]+)/aws4_request\s*,\s*SignedHeaders=([^\s,]+)\s*,\s*Signature=([0-9a-f]{64})\s*"
).fullmatch
_MOMENT = re.compile(r"\d{8}T\d{6}Z", re.ASCII).fullmatch
_HEX64 = re.compile(r"[0-9a-f]{64}").fullmatch
_ONE_MECHANISM = (
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization "
    "header should be specified"
)
_FRONTS_KEPT = 4096
_fronts: dict[str, Scope] = {}
"""Authorization headers without their signatures, taken apart: a client sends the same all day."""
_epochs: dict[str, float] = {}


class Scope:
    """Whose key signs what, for which day, region and service: the part of a claim that stays the same all day."""

    __slots__ = (
        "_key",
        "_secret",
        "access_key",
        "date",
        "lines",
        "names",
        "region",
        "service",
        "signed_headers",
        "sound",
        "text",
        "values",
    )

    def __init__(self, access_key: str, date: str, region: str, service: str, signed_headers: str) -> None:
        self.access_key, self.date, self.region, self.service = access_key, date, region, service
        self.signed_headers, self.names = signed_headers, signed_headers.split(";")
        self.text = f"{date}/{region}/{service}/aws4_request"
        self.sound = bool(_REGION(region)) and all(map(_PLAIN, (date, service, signed_headers)))
        """A region becomes part of ARNs: one with colons in it would be another resource than it is."""
        self.lines = "".join(f"{name.replace('%', '%%')}:%s\n" for name in self.names)
        """The canonical headers, to be filled with `values(index)`: (KeyError: not all of them are there)."""
        self.values = itemgetter(*self.names) if len(self.names) > 1 else lambda index: (index[signed_headers],)
        self._secret = self._key = None

    def key(self, secret: str) -> bytes:
        """The derived key."""
        if self._secret != secret:
            self._key, self._secret = signing.signing_key(secret, self.date, self.region, self.service), secret
        return self._key


@dataclass(slots=True)
class Claim:
    """What a request says about its signature. `expires_s` is set for presigned ones; `payload` is the
    x-amz-content-sha256 as said ("" if not)."""

    of: Scope
    signature: str
    moment: str
    time: float
    token: str | None
    payload: str
    expires_s: int | None = None
    version: ClassVar[int] = 4

    @property
    def access_key(self) -> str:
        return self.of.access_key

    @property
    def region(self) -> str:
        return self.of.region

    @property
    def scope(self) -> str:
        return self.of.text


@dataclass(slots=True)
class Authenticated:
    """Who, and for which region and service it was signed. `key` goes on signing the chunks of a body."""

    principal: Principal
    region: str
    service: str
    claim: Claim | None = None
    key: bytes = b""
    verified: bool = True


_PLAIN = re.compile(r"[\x20-\x7e]*").fullmatch
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}").fullmatch


def is_decimal(text: str) -> bool:
    """Whether `int` takes it: ASCII digits, not thousands of them."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def read_claim(request: HttpRequest, family: str) -> Claim | None:
    """None: the request is not signed at all (by SigV4). Raises the family's error for a malformed one."""
    authorization = request.header("authorization")
    if len(request.index) != len(request.headers) and sum(name == "authorization" for name, _ in request.headers) > 1:
        raise auth_error(family, "incomplete")
    if authorization and family == "s3" and ("X-Amz-Algorithm=" in request.query or "X-Amz-Signature=" in request.query):
        raise ApiError("InvalidArgument", _ONE_MECHANISM, 400, fields={"ArgumentName": "Authorization"})
    if authorization.startswith(ALGORITHM):
        return _from_header(request, authorization, family)
    if "X-Amz-Signature=" in request.query or "X-Amz-Algorithm=" in request.query:
        return _from_query(request, family)
    return None


def _from_header(request: HttpRequest, authorization: str, family: str) -> Claim:
    signature, front = authorization[-64:], authorization[:-64]
    scope = _fronts.get(front)
    if scope is None or not _HEX64(signature):
        found = _AUTHORIZATION(authorization) or _in_any_order(authorization)
        if found is None:
            raise auth_error(family, "incomplete")
        *parts, signature = found.groups()
        scope = Scope(*parts)
        if found.string is authorization and authorization.endswith(signature):
            if len(_fronts) >= _FRONTS_KEPT:
                _fronts.clear()
            _fronts[front] = scope
    date = scope.date
    header = request.index.get
    moment = header("x-amz-date") or _moment_of_date(header("date", ""), family)
    if not moment.startswith(date):
        raise auth_error(family, "mismatch" if family == "s3" else "scope", _not_same_day(date, moment) if family != "s3" else None)
    token, payload = header("x-amz-security-token") or None, header("x-amz-content-sha256", "")
    return Claim(scope, signature, moment, epoch(moment, family), token, payload)


def _in_any_order(authorization: str) -> re.Match[str] | None:
    """The three parts in another order than usual."""
    parts = dict(part.strip().partition("=")[::2] for part in authorization[len(ALGORITHM) :].split(","))
    try:
        return _AUTHORIZATION(
            f"{ALGORITHM} Credential={parts['Credential']}, SignedHeaders={parts['SignedHeaders']}, Signature={parts['Signature']}"
        )
    except KeyError:
        return None


def _from_query(request: HttpRequest, family: str) -> Claim:
    pairs = signing.query_pairs(request.query)
    said = {name if "%" not in name else unquote(name): value if "%" not in value else _unquoted(value) for name, value in pairs}
    scope = said.get("X-Amz-Credential", "").split("/")
    moment, expires = said.get("X-Amz-Date", ""), said.get("X-Amz-Expires", "" if family == "s3" else "900")
    problem = None
    if said.get("X-Amz-Algorithm") != ALGORITHM:
        problem = 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"'
    elif len(scope) != 5 or scope[4] != "aws4_request":
        problem = 'Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
    elif not _MOMENT(moment) or not moment.startswith(scope[1]):
        problem = "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
    elif not is_decimal(expires):
        problem = "X-Amz-Expires should be a number"
    elif int(expires) > LONGEST_PRESIGNED_S:
        problem = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"
    elif not said.get("X-Amz-SignedHeaders") or not said.get("X-Amz-Signature"):
        problem = "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
    if problem is not None:
        raise ApiError("AuthorizationQueryParametersError", problem, 400) if family == "s3" else auth_error(family, "incomplete", problem)
    payload = request.header("x-amz-content-sha256") or said.get("X-Amz-Content-Sha256", "")
    if family == "s3" and not payload:
        payload = "UNSIGNED-PAYLOAD"
    headers, signature = said["X-Amz-SignedHeaders"], said["X-Amz-Signature"]
    token = said.get("X-Amz-Security-Token") or request.header("x-amz-security-token") or None
    return Claim(_scope(said["X-Amz-Credential"], headers), signature, moment, epoch(moment, family), token, payload, int(expires))


def _unquoted(text: str) -> str:
    """Presigned URLs of one key have the same credential and the same names of headers."""
    return _unquoted_before(text) if len(text) <= 256 else unquote(text)


_unquoted_before = lru_cache(256)(unquote)


def _scope(credential: str, headers: str) -> Scope:
    """Of presigned URLs: one key signs many in a day."""
    front = f"{credential} {headers}"
    scope = _fronts.get(front)
    if scope is None:
        scope = Scope(*credential.split("/")[:4], headers)
        if len(_fronts) >= _FRONTS_KEPT:
            _fronts.clear()
        _fronts[front] = scope
    return scope


def check_claim(claim: Claim, identity: Identity, clock: Clock, family: str) -> Credential:
    """The credential of a claim whose times and token are right; the signature is not looked at yet."""
    credential = identity.credential(claim.of.access_key)
    if not claim.of.sound:
        raise auth_error(family, "scope")
    if credential is None:
        raise auth_error(family, "key", AWSAccessKeyId=claim.access_key) if family == "s3" else auth_error(family, "key")
    if credential.token is not None and claim.token is None:
        raise auth_error(family, "key")
    if claim.token is not None and not (
        credential.token is not None and hmac.compare_digest(claim.token.encode(), credential.token.encode())
    ):
        raise auth_error(family, "token")
    if credential.expires_at is not None and clock.now() >= credential.expires_at:
        raise auth_error(family, "expired")
    now = real_now()
    if claim.expires_s is not None:
        _check_presigned(claim, now, family)
    elif abs(now - claim.time) > SKEW_S:
        raise auth_error(family, "skewed", _skew_text(claim, now))
    return credential


@lru_cache(maxsize=1024)
def _signing_names(service: str) -> frozenset[str]:
    said = models.service_model(service)["metadata"]
    return frozenset({service, said["endpointPrefix"], said.get("signingName", service)})


def check_service(claim: Claim, service: str, family: str) -> None:
    """The scope of the signature must name the service (botocore's name) that the request went to."""
    names = _signing_names(service)
    if claim.of.service in names:
        return
    name = models.service_model(service)["metadata"].get("signingName") or min(names, key=len)
    if family == "s3":
        text = f'The authorization header is malformed; incorrect service "{claim.of.service}". This endpoint belongs to "{name}".'
        raise auth_error(family, "scope", text)
    raise auth_error(family, "scope", f"Credential should be scoped to correct service: '{name}'. ")


def _check_presigned(claim: Claim, now: float, family: str) -> None:
    if now > claim.time + claim.expires_s:
        if family == "s3":
            raise expired(claim.time + claim.expires_s, now, **{"X-Amz-Expires": str(claim.expires_s)})
        raise auth_error(family, "skewed", _skew_text(claim, now))
    if claim.time > now + SKEW_S:
        if family == "s3":
            raise ApiError("AccessDenied", "Request is not yet valid", 403)
        raise auth_error(family, "skewed", _skew_text(claim, now))


def expired(at: float, now: float, **fields: str) -> ApiError:
    """What S3 says of a presigned URL whose time is over."""
    times = {"Expires": write_iso8601_s(at), "ServerTime": write_iso8601_s(now)}
    return ApiError("AccessDenied", "Request has expired", 403, fields={**fields, **times})


def verify(request: HttpRequest, claim: Claim, credential: Credential, payload_hash: str, family: str) -> bytes:
    """Compares the signature; answers the signing key (for chunks). Raises the family's mismatch."""
    if family == "s3":
        _check_all_signed(request, claim)
    key, names = claim.of.key(credential.secret_key), claim.of.names
    if "host" not in names:
        raise auth_error(family, "mismatch")
    if "x-amz-target" not in names and "x-amz-target" in request.index:  # it says which operation is meant
        raise auth_error(family, "mismatch", "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.")
    pairs = signing.query_pairs(request.query) if request.query else []
    if claim.expires_s is not None:
        pairs = [pair for pair in pairs if pair[0] != "X-Amz-Signature"]
    path = signing.canonical_path(request.path, family == "s3")
    host = request.header("host")
    if pairs and _signs(request, claim, key, payload_hash, path, _as_received(pairs), host):
        return key  # what nearly all clients send is in canonical form already
    query = signing.canonical_query(pairs) if pairs else ""
    if not _signs(request, claim, key, payload_hash, path, query, host) and not any(
        _signs(request, claim, key, payload_hash, *reading) for reading in _other_readings(request, family, pairs, path, query, host)
    ):
        if family != "s3":
            raise auth_error(family, "mismatch")
        raise s3_mismatch(claim.access_key, claim.signature, *_signed_texts(request, claim, payload_hash, path, query, host))
    return key


def _signed_texts(request: HttpRequest, claim: Claim, payload_hash: str, path: str, query: str, host: str) -> tuple[str, str]:
    """String to sign and canonical request, as we read it."""
    scope = claim.of
    headers = _canonical_headers(request, scope, host)
    canonical = f"{request.method}\n{path}\n{query}\n{headers}\n{scope.signed_headers}\n{payload_hash}"
    return signing.string_to_sign(claim.moment, scope.text, canonical), canonical


def _signs(request: HttpRequest, claim: Claim, key: bytes, payload_hash: str, path: str, query: str, host: str) -> bool:
    scope = claim.of
    headers = _canonical_headers(request, scope, host)
    canonical = f"{request.method}\n{path}\n{query}\n{headers}\n{scope.signed_headers}\n{payload_hash}"
    signature = signing.sign(key, signing.string_to_sign(claim.moment, scope.text, canonical))
    return claim.signature.isascii() and hmac.compare_digest(signature, claim.signature)


def _other_readings(request: HttpRequest, family: str, pairs: list[tuple[str, str]], path: str, query: str, host: str):
    """What clients that differ have signed: path and query as they were on the wire, and the Host without or with its port
    (proxies change it)."""
    raw_query = _as_received(pairs)
    if raw_query != query or request.path != path:
        yield (request.path if family == "s3" else path), raw_query, host
    bare = re.sub(r":\d+$", "", host)
    if bare != host:
        yield path, query, bare
    else:
        yield path, query, f"{host}:{443 if request.secure else 80}"


def _as_received(pairs: list[tuple[str, str]]) -> str:
    return "&".join([f"{name}={value}" for name, value in sorted(pairs)])


def _canonical_headers(request: HttpRequest, scope: Scope, host: str) -> str:
    index, names = request.index, scope.names
    try:
        if len(index) != len(request.headers) or index["host"] is not host:
            raise KeyError
        values = scope.values(index)
        lines = scope.lines % values
    except KeyError:
        if len(index) == len(request.headers):
            values = [index.get(name, "") for name in names]
        else:
            values = [",".join(v for n, v in request.headers if n == name) for name in names]
        values[names.index("host")] = host
        lines = scope.lines % tuple(values)
    if "  " in lines or "\t" in lines:
        lines = "".join([f"{name}:{signing.fold(value)}\n" for name, value in zip(names, values, strict=True)])
    return lines


def _check_all_signed(request: HttpRequest, claim: Claim) -> None:
    """S3 refuses x-amz-* headers that the signature does not cover."""
    signed = f";{claim.of.signed_headers};"
    loose = [name for name, _ in request.headers if name.startswith("x-amz-") and f";{name};" not in signed]
    if loose and not (claim.expires_s is not None and loose == ["x-amz-content-sha256"]):
        raise ApiError(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            403,
            fields={"HeadersNotSigned": ", ".join(loose)},
        )


def authenticate(
    request: HttpRequest, identity: Identity, clock: Clock, family: str = "json", payload: bytes | None = None
) -> Authenticated | None:
    """All three steps; None: the request carries no SigV4 signature. `payload` is the gathered body (None where it streams:
    then the signed x-amz-content-sha256 stands for it, and `wire/payload.py` checks it as it is read)."""
    claim = read_claim(request, family)
    if claim is None:
        return None
    credential = check_claim(claim, identity, clock, family)
    return finish(request, claim, credential, family, payload)


def finish(request: HttpRequest, claim: Claim, credential: Credential, family: str, payload: bytes | None) -> Authenticated:
    """The last step of `authenticate`, once the body is there."""
    said = claim.payload
    if not said:
        said = sha256(payload).hexdigest() if payload else signing.EMPTY_SHA256
    key = verify(request, claim, credential, said, family)
    if payload is not None and len(said) == 64 and claim.payload and sha256(payload).hexdigest() != said:
        raise payload_mismatch(family, said, sha256(payload).hexdigest())
    return Authenticated(credential.principal, claim.of.region, claim.of.service, claim, key)


def payload_mismatch(family: str, said: str, computed: str) -> ApiError:
    if family == "s3":
        return ApiError(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            400,
            fields={"ClientComputedContentSHA256": said, "S3ComputedContentSHA256": computed},
        )
    return auth_error(family, "mismatch")


# --- times -------------------------------------------------------------------------------------


def epoch(moment: str, family: str) -> float:
    """The time that X-Amz-Date says; 0 for one that no calendar has."""
    at = _epochs.get(moment)
    if at is None:
        if not _MOMENT(moment):
            text = f"Date must be in ISO-8601 'basic format'. Got '{moment[:64]}'. See http://en.wikipedia.org/wiki/ISO_8601"
            raise auth_error(family, "incomplete", text)
        try:
            at = float(calendar.timegm(time.strptime(moment, "%Y%m%dT%H%M%SZ")))
        except ValueError:
            at = 0.0
        if len(_epochs) >= 1024:
            _epochs.clear()
        _epochs[moment] = at
    return at


def _text(at: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))


def _skew_text(claim: Claim, now: float) -> str:
    if claim.time < now:
        return f"Signature expired: {claim.moment} is now earlier than {_text(now - SKEW_S)} ({_text(now)} - 15 min.)"
    return f"Signature not yet current: {claim.moment} is still later than {_text(now + SKEW_S)} ({_text(now)} + 15 min.)"


def _not_same_day(date: str, moment: str) -> str:
    return f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date}' != '{moment[:8]}', from '{moment}'."


def _moment_of_date(value: str, family: str) -> str:
    """A Date header (RFC 1123, or already in basic format) as ISO 8601 basic format."""
    from email.utils import parsedate_to_datetime

    if _MOMENT(value):
        return value
    try:
        return parsedate_to_datetime(value).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, TypeError, OverflowError, IndexError):
        raise auth_error(family, "incomplete") from None


def anonymous(principal: Principal, region: str, service: str) -> Authenticated:
    return Authenticated(principal, region, service, None, b"", False)
