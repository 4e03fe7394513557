"""Services, operations and the call that reaches them.

A service file per resource does

    from modelyard.services.sagemaker import api          # api = Service("sagemaker")

    @api.operation
    def create_model(call, request): ...

`operation` looks the name up in botocore's model at import and refuses unknown or duplicate ones. The
function gets the request as boto3 would take it (already parsed and validated against the model) and
returns the response as boto3 would give it. It may be `async def`: then it runs on the gateway's loop
and must never block; a plain function runs on a thread.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from modelyard.kernel import models
from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Principal

if TYPE_CHECKING:
    from modelyard.kernel.lifecycle import Lifecycle
    from modelyard.kernel.platform import Platform
    from modelyard.kernel.reconcile import Reconciler
    from modelyard.kernel.records import Record


class ServiceErrors:
    """`api.error.ResourceInUse("text", Field=…)`: modelled errors, code and status from the model."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __getattr__(self, shape: str) -> Callable[..., ApiError]:
        found = models.error(self._service, shape)
        if found is None:
            raise AttributeError(f"{self._service} has no error shape {shape}")

        def make(message: str, **fields: Any) -> ApiError:
            return ApiError(found.code, message, found.status, fields=fields)

        return make


@dataclass(frozen=True)
class AtOnce:
    """An async operation whose payload is a plain blob, without a coroutine, for the hottest paths.

    `prepare(call, request)` looks at all but the payload, which the model's bounds have checked, and answers `begin(payload, tell)`;
    of a request that comes again and again the same, but for its payload, that is used again. `begin` starts the work and answers
    something with `cancel()`, or None where this request needs the coroutine (nothing was done then); `tell(outcome)` is called later, once, on the
    loop. `finish(call, request, outcome)` makes the response of it, or raises; the coroutine ends with the very same.
    `alike(outcome)` is None, or (key, payload): responses of equal keys to such requests differ in their payload only."""

    prepare: Callable[[Call, dict[str, Any]], Callable[[bytes, Callable[[Any], None]], Any]]
    finish: Callable[[Call, dict[str, Any], Any], dict[str, Any]]
    alike: Callable[[Any], tuple[Hashable, bytes] | None]


@dataclass(frozen=True)
class RawRequest:
    """A request that is no operation of a service model, for something behind the platform: HTTP as it came, the body gathered.
    `path` and `query` are still percent-encoded; of a page, the path below its name."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in reversed(self.headers) if key == name), "")


@dataclass(frozen=True)
class RawResponse:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class Form:
    """A posted web form: its bucket, fields (names in lower case, in order; of a name that comes twice the first), and the file at its end.
    `policy` is the signed policy as it came; None: the form is not signed."""

    bucket: str
    fields: dict[str, str]
    file: Body
    file_name: str
    file_type: str
    policy: str | None


@dataclass(frozen=True)
class Operation:
    service: str
    name: str
    function: Callable[[Call, dict[str, Any]], Any]
    is_async: bool
    at_once: AtOnce | None = None
    brief: Callable[[Call, dict[str, Any]], Any] | None = None
    """Of a plain function, what it does where that takes microseconds and no thread; see `Service.brief`."""


class Service:
    """One AWS service: its operations and reconcilers, filled by the files of its package.

    `name` is botocore's (`sagemaker-runtime`, `logs`, `cloudwatch`, `s3`).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.operations: dict[str, Operation] = {}
        self.reconcilers: list[Reconciler] = []
        self.readers: list[tuple[str, frozenset[str] | None, Callable[[Any, Platform], None]]] = []
        """(name, kinds, handle): who hears of events, see `reader`."""
        self.workers: list[Callable[[Platform], float | None]] = []
        self.pages: dict[str, Callable[[Platform, str], tuple[int, str, bytes]]] = {}
        self.doors: dict[str, Callable[[Call, RawRequest], RawResponse]] = {}
        self.raw_pages: dict[str, Callable[[Platform, RawRequest], RawResponse]] = {}
        self.form_function: Callable[[Call, Form], RawResponse] | None = None
        self.unsigned: set[str] = set()
        """Operations that may come without a signature: then only a resource's policy can allow them."""
        self.target_names: frozenset[str] = frozenset({name})
        self.target_function: Callable[[Platform, Any], None] | None = None
        self.error = ServiceErrors(name)

    def operation(self, function: Callable[[Call, dict[str, Any]], Any]) -> Callable[[Call, dict[str, Any]], Any]:
        name = models.operation_name(self.name, function.__name__)
        if name is None:
            raise LookupError(f"botocore's {self.name} has no operation for {function.__name__}")
        if name in self.operations:
            raise LookupError(f"{self.name}:{name} is defined twice")
        self.operations[name] = Operation(self.name, name, function, inspect.iscoroutinefunction(function))
        return function

    def at_once(self, name: str, prepare: Callable[..., Any], finish: Callable[..., dict[str, Any]], alike: Callable[..., Any]) -> None:
        """Gives a registered async operation its form without a coroutine."""
        self.operations[name] = replace(self.operations[name], at_once=AtOnce(prepare, finish, alike))

    def brief(self, name: str) -> Callable[..., Any]:
        """Decorates `brief(call, request)` of a registered plain operation: it runs on the gateway's loop, for authorised requests whose body, if
        they have one, is here whole. It answers the response or an awaitable of it; or None, nothing done, where the function is to do it on a thread:
        whatever reads more than a few rows or waits for somebody else."""

        def register(function: Callable[[Call, dict[str, Any]], Any]) -> Callable[[Call, dict[str, Any]], Any]:
            self.operations[name] = replace(self.operations[name], brief=function)
            return function

        return register

    def reconciler(self, lifecycle: Lifecycle, observe: Callable[..., Any]) -> Callable[..., Any]:
        """Decorates the pure `decide(record, observation, now) -> Step` of a kind."""
        from modelyard.kernel.reconcile import Reconciler

        def register(decide: Callable[..., Any]) -> Callable[..., Any]:
            self.reconcilers.append(Reconciler(lifecycle, observe, decide))
            return decide

        return register

    def reader(self, name: str, kinds: set[str] | None = None) -> Callable[..., Any]:
        """Decorates `handle(event, platform)`: every event of the outbox of these kinds, in order, at least once, on a thread of
        an engine (kernel/bus.py). `name` owns the stored cursor and never changes once released."""

        def register(handle: Callable[..., Any]) -> Callable[..., Any]:
            self.readers.append((name, None if kinds is None else frozenset(kinds), handle))
            return handle

        return register

    def worker(self, drain: Callable[[Platform], float | None]) -> Callable[[Platform], float | None]:
        """Decorates `drain(platform)`: on a thread of each engine, now and then and after every bell, it does what is due in tables of
        its own and answers when something will be due next (platform time; None: nothing is known). Must be repeatable."""
        self.workers.append(drain)
        return drain

    def page(self, name: str) -> Callable[..., Any]:
        """Decorates `page(platform, rest of the path) -> (status, content type, body)`, served without a signature at `/_modelyard/<name>/…`."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.pages[name] = function
            return function

        return register

    def door(self, signing_name: str) -> Callable[..., Any]:
        """Decorates `enter(call, request) -> RawResponse`: requests signed for a name that no service model has, authenticated, on a
        thread. What they may is the function's to ask (`call.authorize`)."""

        def register(function: Callable[[Call, RawRequest], RawResponse]) -> Callable[[Call, RawRequest], RawResponse]:
            self.doors[signing_name] = function
            return function

        return register

    def raw_page(self, name: str) -> Callable[..., Any]:
        """Decorates `page(platform, request) -> RawResponse`: any method at `/_modelyard/<name>/…`, unsigned, on a thread."""

        def register(function: Callable[[Platform, RawRequest], RawResponse]) -> Callable[[Platform, RawRequest], RawResponse]:
            self.raw_pages[name] = function
            return function

        return register

    def form(self, function: Callable[[Call, Form], RawResponse]) -> Callable[[Call, Form], RawResponse]:
        """Decorates `post(call, form)`: a web form with a file that a browser posts (S3's POST Object), its signature checked, on a thread."""
        self.form_function = function
        return function

    def target(self, function: Callable[[Platform, Any], None]) -> Callable[[Platform, Any], None]:
        """Decorates `deliver(platform, delivery)`: what other services send to ARNs of this one (kernel/targets.py)."""
        if self.target_function is not None:
            raise LookupError(f"{self.name} takes deliveries in two places")
        self.target_function = function
        return function


@dataclass(slots=True)
class Call:
    """One authenticated call of one operation: who, where, with what platform."""

    platform: Platform
    service: str
    operation: str
    account: str
    region: str
    principal: Principal
    request_id: str
    source_ip: str = "127.0.0.1"
    user_agent: str = ""
    secure: bool = False
    host: str = ""
    """The Host header the client used, e.g. `127.0.0.1:4566`: for URLs that an answer carries."""
    condition: dict[str, Any] = field(default_factory=dict)
    """Condition keys beside those that every call has (aws:SourceIp, aws:SecureTransport, …), for policies."""
    auth: Any = None
    """The wire's claim: how it was signed (`version`, `time`, `expires_s`, `payload`); None: unsigned, or a call in process."""
    held: tuple[str, int] | None = None
    logged: Any = None
    """The bucket that this call is about, where its requests are logged (services/s3/access_lines.py)."""
    about: str = ""
    """The resource that the operation is about, as it was authorised: what a passed role will belong to."""
    further: list[tuple[str, str, Any]] | None = None
    """(action, resource, condition) of what `authorize` was asked beside what every such call needs, for the audit trail."""
    invoked_by: str = ""
    """The service (botocore's name) that makes this call in the principal's name; "": the principal itself, by wire."""
    weighed: Any = None
    """The caller's policies, as they were when this call was decided; `ruled`: those of resources. For the audit trail."""
    ruled: list[Any] | None = None

    @property
    def store(self):
        return self.platform.store

    @property
    def clock(self):
        return self.platform.clock

    def now(self) -> float:
        return self.platform.clock.now()

    def hold(self, record: Record) -> None:
        """Patient describe: this answer is of a record on its way; the gateway may wait for its next
        *status* (at most the patience of the settings) and call the operation again, holding no thread."""
        self.held = (record.uid, record.revision)

    def authorize(self, action: str, resource: str, condition: dict[str, Any] | None = None) -> None:
        """A further permission that this operation needs (`iam:PassRole`, …); raises AccessDenied."""
        self.platform.identity.require(self, action, resource, {**self.condition, **(condition or {})})

    def invoke(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Another operation in the name of the same principal, authorised as if it came by wire."""
        return self.platform.dispatch.call(self, service, operation, request)


# --- bodies ------------------------------------------------------------------------------------


class Body:
    """A streaming request body, read on a thread: `read()` blocks until bytes are there.

    `length` is the decoded length when the client said it, else None. Reading to the end verifies
    what the client signed and promised (length, payload hash, chunk signatures) and raises ApiError
    where it does not hold. `trailers` has the HTTP trailers (lower-case names) once the end was read.
    """

    length: int | None = None
    trailers: dict[str, str]

    def read(self, size: int = 1 << 18) -> bytes:
        """Up to `size` bytes; b"" at the end."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read():
            yield chunk


class BytesBody(Body):
    """A body that is in memory already (tests, in-process calls)."""

    def __init__(self, data: bytes, trailers: dict[str, str] | None = None) -> None:
        self._view, self._at = memoryview(data), 0
        self.length = len(data)
        self.trailers = trailers or {}

    def read(self, size: int = 1 << 18) -> bytes:
        piece = bytes(self._view[self._at : self._at + size])
        self._at += len(piece)
        return piece


class FileBody(Body):
    """An open binary file as a streaming request body, from where it stands to its end (or for `length` bytes)."""

    def __init__(self, file: BinaryIO, length: int | None = None) -> None:
        self._file = file
        self.length = os.fstat(file.fileno()).st_size - file.tell() if length is None else length
        self._left = self.length
        self.trailers = {}

    def read(self, size: int = 1 << 18) -> bytes:
        piece = self._file.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(piece)
        return piece


@dataclass(frozen=True)
class FileSlice:
    """A streaming response body that is a piece of an open file: sent with sendfile, then closed.

    `file` is a binary file object opened by the operation, so that a later delete of the path does not
    hurt an answer under way.
    """

    file: Any
    offset: int
    length: int
