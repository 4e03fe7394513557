"""The audit trail of one process: who answers a call writes its line first, a thread adds what is only counted (see docs/design/audit-trail.md)."""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any

import orjson

from modelyard.kernel import models
from modelyard.kernel.errors import ApiError
from modelyard.kernel.platform import Platform
from modelyard.kernel.service import Body, Call
from modelyard.services.cloudtrail import event, files, kinds, refused, selectors, snapshots
from modelyard.services.cloudtrail.recent import Recent
from modelyard.services.cloudtrail.redact import Redacted

log = logging.getLogger("modelyard.trail")
FLUSH_S = 0.05
MOST_REQUEST = 20_000
TOLD_S, MOST_TOLD = 60.0, 20_000
"""Platform seconds after which a permission in use is written at once again; of how many that is known."""
FOLDERS_TOLD = 2
"""Of an object's key, how many folders uses tell apart."""


class Trail:
    """`note` has written when it returns, with one write into the kernel: a process that is killed then has lost nothing that it answered."""

    def __init__(self, platform: Platform) -> None:
        self._platform, self._identity = platform, platform.identity
        self.folder = platform.settings.data / "trail"
        self._writer = files.Writer(self.folder)
        self._data = files.Writer(self.folder / "data")
        self._recent = Recent(self.folder / "calls")
        self._asked: list[Any] = []
        self._asked_types: frozenset[str] = frozenset()
        self._asked_at: Any = None
        self._snapshots = snapshots.Snapshots(self.folder / "policies", platform.clock.now)
        self._lock, self._bell, self._ended = threading.Lock(), threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._told: set[tuple[Any, ...]] = set()
        self._told_since = 0.0
        self._closing, self._last, self._swept = False, 0.0, platform.clock.now()
        self._identity.uses.bell, self._identity.uses.first = self._ring, self._first
        self._identity.trail = self

    # --- writing -----------------------------------------------------------------------------------

    def note(self, call: Call, asked: Mapping[str, Any] | None, said: Mapping[str, Any] | None, error: ApiError | None) -> None:
        """A call that is about to be answered. Data events are kept whole where permission was denied, and where a trail asks for them."""
        data = kinds.is_data(call.service, call.operation)
        denied = error is not None and (error.status == 403 or error.denial is not None)
        try:
            if data and error is None and asked is not None:
                self.passed(call.request_id, call, self._identity.needs(call, asked))
            if data and not denied and not self._wants(call):
                return
            if error is not None or (kinds.reads(call.service, call.operation) and call.service != "sts"):
                said = None
            stored = _stored(call, call.now(), asked, said, error, self._identity, self._snapshots.keep)
            rows = [stored, *({"t": stored["t"], "e": copy, "c": {}} for copy in event.for_owners(stored["e"], call, error))]
            if data and not denied:
                rows = [row for row in rows if any(selectors.wanted(trail.spec, row["e"]) for trail in self._asked)]
            with self._lock:
                self._append([self._line(row) for row in rows], self._data if data and not denied else None)
        except Exception:
            log.exception("a call could not be written to the audit trail")

    def passed(self, request_id: str, call: Call, needs: list[Any]) -> None:
        """A data call that is about to be answered without an error."""
        self._recent.note(request_id, call.now(), call, needs)
        if not self._bell.is_set():
            self._ring()

    def wants_data(self) -> bool:
        """Whether any trail asks for data events: known like a change of IAM, at the next call in every process."""
        mark = self._identity.mark()
        if mark != self._asked_at:
            trails = [one for one in self._platform.store.list("trail") if one.spec["Logging"]]
            self._asked = [one for one in trails if selectors.data_types(one.spec)]
            self._asked_types = frozenset(kind for one in self._asked for kind in selectors.data_types(one.spec))
            self._asked_at = mark
        return bool(self._asked)

    def _wants(self, call: Call) -> bool:
        return self.wants_data() and kinds.data_type(call.service) in self._asked_types

    def _first(self, used: tuple[str, str, str, bool, str]) -> bool:
        """A permission that was not used before, or not for a minute, is written before the call goes on: only how often is gathered."""
        who, action, resource, allowed, given = used
        use, now = (who, action, _folder(resource), allowed, given), self._platform.clock.now()
        if not 0 <= now - self._told_since < TOLD_S:
            self._told, self._told_since = set(), now
        if use in self._told or len(self._told) >= MOST_TOLD:
            return False
        try:
            with self._lock:
                self._append([self._line({"u": [[*use, 1]]})])
        except OSError:
            log.exception("the audit trail could not be written")
            return False
        self._told.add(use)
        return True

    def refused(self, request_id: str, route: Any, error: ApiError, key: str, client: str, agent: str) -> None:
        """A request that was not let in."""
        try:
            said = refused.told(self._platform, request_id, route, error, key, client, agent)
            with self._lock:
                self._append([self._line({"r": said})])
        except Exception:
            log.exception("a refused request could not be written to the audit trail")

    def assumed(self, role: Any, credential: Any, service: str) -> None:
        """A service took a role of the account's: `role` is its record."""
        try:
            made = event.of_service(role, credential, service, self._platform.clock.now(), self._platform.settings.region)
            with self._lock:
                self._append([self._line({"e": made, "c": {}})])
        except Exception:
            log.exception("a service's call could not be written to the audit trail")

    def snapshot(self, fingerprint: str | None) -> Any:
        """Policies as they were when a call was decided, or None."""
        return self._snapshots.read(fingerprint) if fingerprint else None

    def _append(self, lines: list[bytes], writer: files.Writer | None = None) -> None:
        now = self._platform.clock.now()
        if lines:
            (writer or self._writer).append(lines, now)
        if now - self._swept > 86400.0:
            self._swept = now
            for one in (self._writer, self._data, self._recent.writer):
                one.sweep(now)
            self._snapshots.sweep()

    def _ring(self) -> None:
        if self._thread is None:
            self._begin()
        self._bell.set()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="trail", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._closing:
            self._bell.wait()
            if not self._closing:
                self._ended.wait(FLUSH_S)  # gathers what is counted meanwhile into one line
            self._bell.clear()
            self.flush()
            if self._identity.uses.waiting or self._recent:
                self._bell.set()

    def flush(self) -> None:
        """What was counted before the last call of this is in the file when it returns."""
        with self._lock:
            try:
                used = self._identity.uses.take()
                if used and (counted := _folded(used)):
                    self._append([self._line({"u": counted})])
                if self._recent:
                    self._append([self._line({"d": self._recent.take()})], self._recent.writer)
            except OSError:
                log.exception("the audit trail could not be written")

    def _line(self, stored: dict[str, Any]) -> bytes:
        self._last = max(stored.pop("t", None) or self._platform.clock.now(), self._last + 1e-6)
        return b'{"t":%.6f,' % self._last + orjson.dumps(stored, default=str, option=orjson.OPT_NON_STR_KEYS)[1:] + b"\n"

    def close(self) -> None:
        self._closing = True
        self._ended.set()
        self._bell.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
        self.flush()
        self.flush()  # uses come one later
        with self._lock:
            for one in (self._writer, self._data, self._recent.writer):
                one.close()

    # --- reading -----------------------------------------------------------------------------------

    def lines(self, start: float | None = None, end: float | None = None) -> Iterator[tuple[float, bytes]]:
        """Management and data events and all else, newest first."""
        both = (files.lines(folder, start, end) for folder in (self.folder, self._data.folder))
        return heapq.merge(*both, key=lambda item: -item[0])

    def events(
        self, start: float | None = None, end: float | None = None, needles: tuple[bytes, ...] = ()
    ) -> Iterator[tuple[float, dict[str, Any]]]:
        """(time, stored call), newest first, of those lines that have all `needles` in them. `stored["e"]` is CloudTrail's event."""
        self.flush()
        for at, line in files.lines(self.folder, start, end):
            if all(needle in line for needle in needles) and (stored := files.parse(line)) is not None and "e" in stored:
                yield at, stored

    def find(self, account: str, request_id: str) -> dict[str, Any] | None:
        """A call, or what was refused before it became one (`stored["r"]`)."""
        needle = orjson.dumps(request_id)
        for _, line in self.lines():
            if needle not in line or (stored := files.parse(line)) is None:
                continue
            said = stored.get("e") or stored.get("r")
            if said is not None and said["requestID"] == request_id and said["recipientAccountId"] == account:
                return stored
        self.flush()
        return self._recent.find(account, request_id)

    def last_denied(self, account: str) -> dict[str, Any] | None:
        """The last call of an account that was denied or not let in."""
        for _, line in files.lines(self.folder):
            if b'"errorCode"' not in line or (stored := files.parse(line)) is None:
                continue
            said, kept = stored.get("e") or stored.get("r"), stored.get("c", {})
            if said is not None and said["recipientAccountId"] == account and ("r" in stored or kept.get("denied") is not None):
                return stored
        return None

    def uses(self, principal: str, start: float | None = None) -> dict[tuple[str, str, bool, str], tuple[int, float]]:
        """(action, resource, allowed, condition) → (how often, last time) of a role or another principal."""
        self.flush()
        self.flush()
        needle, found = orjson.dumps(principal), {}
        for at, line in files.lines(self.folder, start):
            if needle not in line or (stored := files.parse(line)) is None:
                continue
            for who, action, resource, allowed, *given, count in stored.get("u", ()):
                if who == principal:
                    use = (action, resource, allowed, given[0] if given else "")
                    had = found.get(use, (0, at))
                    found[use] = had[0] + count, had[1]
        return found


def _stored(
    call: Call,
    at: float,
    asked: Mapping[str, Any] | None,
    said: Mapping[str, Any] | None,
    error: ApiError | None,
    identity: Any,
    keep: Callable[[str, bytes], None],
) -> dict[str, Any]:
    """`e` is the event; `c` what is needed to decide once more: checks, what conditions read, and which policies there were."""
    plain = {name: value for name, value in (asked or {}).items() if not isinstance(value, Body)}
    needs = [list(need) for need in identity.needs(call, plain)] if asked is not None else []
    arns = list(dict.fromkeys(need[1] for need in needs))
    further = [[action, resource, dict(condition)] for action, resource, condition in call.further or ()]
    if not arns and further and call.service in ("kms", "sts"):
        arns = list(dict.fromkeys(one[1] for one in further))  # these find the resource themselves
    kept: dict[str, Any] = {
        "service": call.service,
        "operation": call.operation,
        "principal": event.principal_of(call.principal),
        "needs": needs,
        "further": further,
    }
    kept |= {"secure": call.secure, "host": call.host, "condition": call.condition, "request": _request(call, plain), "region": call.region}
    if call.weighed is not None:
        fingerprint, text = call.weighed.snapshot
        keep(fingerprint, text)
        kept["caller"] = fingerprint
    if call.ruled:
        kept["ruled"] = [_ruling(keep, *one) for one in call.ruled]
    if error is not None and error.denial is not None:
        kept["denied"] = error.denial
    return {"t": at, "e": event.make(call, at, plain if asked is not None else None, said, error, arns), "c": kept}


def _ruling(keep: Callable[[str, bytes], None], need: Any, policy: Any, account: str | None, must_grant: bool) -> list[Any]:
    text = policy.text.encode()
    fingerprint = sha256(text).hexdigest()[:32]
    keep(fingerprint, text)
    name = policy.statements[0].policy if policy.statements else ""
    return [need.action, need.resource, fingerprint, name, account, must_grant]


def _request(call: Call, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request under its own names, for conditions; None where it is very large."""
    shape = models.service_model(call.service)["operations"][call.operation].get("input", {}).get("shape")
    found = Redacted(call.service, shape, asked, as_asked=True).value
    return found if len(orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS)) <= MOST_REQUEST else None


def _folded(used: Mapping[tuple[str, str, str, bool, str], int]) -> list[list[Any]]:
    """Keys of objects come by the thousand: of an object, its first folders are told apart."""
    found: dict[tuple[str, str, str, bool, str], int] = {}
    for (who, action, resource, allowed, given), count in used.items():
        use = (who, action, _folder(resource), allowed, given)
        if count:
            found[use] = found.get(use, 0) + count
    return [[*use, count] for use, count in found.items()]


def _folder(resource: str) -> str:
    if not resource.startswith("arn:aws:s3:::") or "/" not in resource:
        return resource
    bucket, *folders = resource.split("/")
    return "/".join([bucket, *folders[:-1][:FOLDERS_TOLD], "*"])


def install(platform: Platform) -> Trail:
    return Trail(platform)
