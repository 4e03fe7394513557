"""One call of a model without a coroutine: what its connection tells, as the waiter that `upstream.Connection` takes.

It keeps the books that `Invoker.invoke` keeps in its frames, by the same functions. What must wait (for a connection, for room,
for a second try) goes on in a task, which is then the ordinary path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

from modelyard.serving.upstream import Connection, Reply, TimedOut, Upstream, UpstreamError

if TYPE_CHECKING:
    from modelyard.serving.invoker import Invoker
    from modelyard.serving.outcome import Outcome
    from modelyard.serving.routes import RouteTable, Variant
    from modelyard.serving.sent import Ready, Sent


class Errand:
    """`tell(outcome)` is called once, on the loop, and not after `cancel`."""

    __slots__ = ("_body", "_connection", "_invoker", "_over", "_pool", "_ready", "_table", "_task", "_tell", "_variant", "began", "sent_at")

    def __init__(self, invoker: Invoker, ready: Ready, body: bytes, began: float, tell: Callable[[Outcome], None]) -> None:
        self._invoker, self._ready, self._body, self.began, self._tell = invoker, ready, body, began, tell
        self._task: asyncio.Task[Any] | None = None
        self._pool: Upstream | None = None
        self._over = False

    # --- on its way ----------------------------------------------------------------------------------

    def send(self, table: RouteTable, variant: Variant, pool: Upstream, connection: Connection) -> None:
        """Over a connection that is free."""
        self._table, self._variant, self._pool, self._connection = table, variant, pool, connection
        body, invoker = self._body, self._invoker
        pool.outstanding += 1
        invoker.under_way += 1
        self.sent_at = perf_counter()
        pool.send(connection, b"%b%d\r\n\r\n" % (self._ready.start, len(body)), body, monotonic() + variant.timeout_s, False, self)
        if invoker.under_way == 1:
            invoker.answers.watch()

    def by_task(self, work: Any) -> None:
        """The rest as a coroutine that answers the outcome."""
        self._task = asyncio.get_running_loop().create_task(self._await(work))

    async def _await(self, work: Any) -> None:
        outcome = await work
        self._task = None
        if not self._over:
            self._over = True
            tell, self._tell = self._tell, None
            tell(outcome)

    def cancel(self) -> None:
        """The caller went away: a connection with a request under way cannot be used again."""
        self._over = True
        if self._task is not None:
            self._task.cancel()
        elif self._pool is not None:
            self._connection.abort(UpstreamError("the caller went away", sent=True))
            self._left()

    # --- what a connection tells its waiter -------------------------------------------------------------

    def done(self) -> bool:
        return self._over

    def set_result(self, reply: Reply) -> None:
        ended = perf_counter()
        self._left()
        self._end(self._invoker.answered(self._table, self._variant, reply), ended)

    def set_exception(self, error: UpstreamError) -> None:
        ended = perf_counter()
        timed_out = isinstance(error, TimedOut)
        if not timed_out and self._pool.was_stale(self._connection):
            self.by_task(self._again())
            return
        self._left()
        self._end(self._invoker.failed(self._table, self._variant, error), ended)

    async def _again(self) -> Outcome:
        pool, self._pool = self._pool, None
        try:
            return await self._invoker.again(self.sent(), self._table, self._variant, pool, self.began)
        finally:
            pool.outstanding -= 1
            self._invoker.under_way -= 1

    def _left(self) -> None:
        """The replica has one request less."""
        pool, self._pool = self._pool, None
        pool.outstanding -= 1
        self._invoker.under_way -= 1
        self._invoker.left(self._table, self._variant)

    def _end(self, outcome: Outcome, ended: float) -> None:
        self._over = True
        invoker, body = self._invoker, self._body
        invoker.measure(outcome, self.began, self.sent_at, ended, len(body))
        if outcome.table.capture is not None or outcome.table.shadows:
            invoker.capture(outcome, self._ready.sent, body)
        tell, self._tell = self._tell, None  # it knows us too: a cycle would stay until the garbage collector comes by
        tell(outcome)
        if not invoker.under_way:
            invoker.requests.watch()

    def sent(self) -> Sent:
        return self._ready.sent.carrying(self._body)
