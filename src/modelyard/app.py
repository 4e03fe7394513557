"""The composition root: everything is put together here, from lists, and nowhere else.

`build_platform(settings, role)` makes the platform as one process sees it: role "gateway", "engine", "worker" (work
that an engine has done beside it) or "tool" (a command that looks at the store). `child_main` is the whole life of a gateway or engine process. What a role does
not need, it does not import.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import logging
import os
import pkgutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from modelyard import datafolder, wayout
from modelyard.config import Settings
from modelyard.kernel.clock import Clock
from modelyard.kernel.platform import Platform
from modelyard.kernel.service import Service
from modelyard.timekeeping import read_clock

log = logging.getLogger("modelyard")

GRACE_SECONDS = 8.0
"""What requests under way get to finish at the end; the supervisor waits a little longer."""
BELL_SECONDS = 30.0
LEASH_SECONDS = 600.0
"""How long a gateway or engine goes on without its supervisor (a new `up` takes over, `down` ends it)."""


def build_platform(settings: Settings, role: str, clock: Clock | None = None) -> Platform:
    """The platform of one process; its first account is there when this returns. A test may bring its own `clock`."""
    from modelyard.kernel.database import open_database
    from modelyard.kernel.dispatch import Dispatch
    from modelyard.kernel.store import Store

    clock = clock or read_clock(settings.data)
    platform = Platform(settings, clock, Store(open_database(settings.store, settings.data / "store.db"), clock))
    platform.identity = _identity(platform)
    for name, make, roles in PARTS:
        if role in roles:
            platform.parts[name] = make(platform)
    platform.services = {"tool": dict, "worker": lambda: load_services(WORKER_SERVICES)}.get(role, load_services)()
    platform.dispatch = Dispatch(platform)
    if role in ("gateway", "engine"):
        from modelyard.services.iam.bootstrap import ensure_account

        ensure_account(platform, settings.account)
    return platform


WORKER_SERVICES = ("s3", "iam")
"""What work beside an engine calls."""


def load_services(names: Sequence[str] | None = None) -> dict[str, Service]:
    """Imports every file of every service (of those named), which registers its operations and reconcilers."""
    from modelyard.services import SERVICES

    found = (_load_service(name) for name in (SERVICES if names is None else names))
    return {api.name: api for api in found}


@functools.cache
def _load_service(name: str) -> Service:
    package = importlib.import_module(f"modelyard.services.{name}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return package.api


# --- parts ---------------------------------------------------------------------------------------


def _identity(platform: Platform) -> Any:
    from modelyard.services.iam.identity import IamIdentity

    return IamIdentity(platform)


def _check_request(platform: Platform) -> Any:
    """`check_request(service, operation, request)`: what the wire would refuse of a request that comes from within."""

    def check(service: str, operation: str, request: dict[str, Any]) -> None:
        from modelyard.wire.codec import codec

        codec(service, operation).validate(request)

    return check


def _logs(platform: Platform) -> Any:
    from modelyard.kernel.database import open_database
    from modelyard.services.logs.log_store import LogStore

    settings = platform.settings
    return LogStore(open_database(settings.store, settings.data / "logs.db", durable=False, shrinks=True), platform.clock)


def _follower(platform: Platform) -> Any:
    from modelyard.services.logs.follow import LogFollower

    return LogFollower(platform.logs, platform.clock)


def _metrics(platform: Platform) -> Any:
    from modelyard.kernel.database import open_database
    from modelyard.services.cloudwatch.metric_store import MAPPED_MIB, MetricStore

    settings = platform.settings
    return MetricStore(open_database(settings.store, settings.data / "metrics.db", durable=False, mapped_mib=MAPPED_MIB), platform.clock)


def _alarm_history(platform: Platform) -> Any:
    from modelyard.services.cloudwatch.alarm.history import History

    return History(platform.store.db)


def _alarm_looks(platform: Platform) -> Any:
    from modelyard.services.cloudwatch.alarm.looks import Looks

    return Looks(platform.metrics.db)


def _tasks(platform: Platform) -> Any:
    from modelyard.kernel.tasks import Tasks

    return Tasks()


def _runtime(platform: Platform) -> Any:
    from modelyard.runtime.process import ProcessRuntime

    runtime = ProcessRuntime(platform.settings)
    datafolder.write_text(platform.settings.data / "run/tier", runtime.tier)
    return runtime


def _tier(platform: Platform) -> Any:
    """What the engine found: gateways tell it without probing."""
    path = platform.settings.data / "run/tier"
    return lambda: path.read_text() if path.exists() else None


def _readiness(platform: Platform) -> Any:
    """Every service stands on the store: it is asked for something small."""

    def look() -> dict[str, Any]:
        platform.store.last_seq()
        return {}

    return look


def _images(platform: Platform) -> Any:
    from modelyard.runtime.images import ImageStore

    return ImageStore(platform.settings)


def _s3(platform: Platform) -> Any:
    from modelyard.services.s3 import install

    return install(platform)  # and with it `objects` and S3's resource policies


def _queues(platform: Platform) -> Any:
    from modelyard.services.sqs import install

    return install(platform)


def _topics(platform: Platform) -> Any:
    from modelyard.services.sns import install

    return install(platform)


def _installed(module: str) -> Callable[[Platform], Any]:
    """The maker of a part that its module makes by `install(platform)`."""
    return lambda platform: importlib.import_module(module).install(platform)


def _apart(platform: Platform) -> Any:
    from modelyard.apart import Apart

    return Apart(platform.settings)


def _own_ports(platform: Platform) -> Any:
    """Ports of the platform itself: what it sends on a user's word never goes there."""
    return lambda: {port for port in (platform.settings.port, wayout.known_port(platform.settings)) if port}


def _wayout(platform: Platform) -> Any:
    return wayout.WayOut(platform.settings)


def _invoker(platform: Platform) -> Any:
    from modelyard.services.sagemaker.endpoint.shelf import shelf_of
    from modelyard.serving.invoker import Invoker

    data, put = platform.settings.data, platform.metrics.put
    return Invoker(
        platform.store,
        platform.clock,
        put,
        data / "capture",
        platform.objects.put_bytes,
        data / "meters",
        tell_needs=platform.serverless.tell,
        shelf_of=shelf_of(platform),
    )


def _serverless(platform: Platform) -> Any:
    from modelyard.services.sagemaker.endpoint.serverless import Demand

    return Demand(platform, f"{os.getpid()}-{os.urandom(4).hex()}")


def _async_queue(platform: Platform) -> Any:
    """A gateway's accept is durable; an engine's claims and ends need not be (see serving/asynchronous/queue.py)."""
    from modelyard.kernel.database import open_database
    from modelyard.serving.asynchronous.queue import Queue

    settings, durable = platform.settings, "tasks" not in platform.parts
    return Queue(open_database(settings.store, settings.data / "async.db", durable=durable))


def async_driver(platform: Platform) -> Any:
    """Empties the queue of asynchronous inference; `start()` and `stop()` are its caller's."""
    from modelyard.services.sagemaker.async_hands import Hands
    from modelyard.serving.asynchronous.driver import Driver
    from modelyard.serving.asynchronous.report import Reporter
    from modelyard.serving.capture import Capture

    data, queue, clock = platform.settings.data, platform.async_queue, platform.clock
    folder = data / "async"
    folder.mkdir(mode=0o700, exist_ok=True)
    report = Reporter(queue, platform.metrics.put, platform.logs.append, clock, folder)
    capture = Capture(data / "capture", platform.objects.put_bytes, clock.now)
    return Driver(platform.store, queue, Hands(platform), clock, folder, report, capture)


GATEWAY, ENGINE, ALL = ("gateway",), ("engine",), ("gateway", "engine", "tool")

PARTS: list[tuple[str, Callable[[Platform], Any], tuple[str, ...]]] = [
    ("logs", _logs, (*ALL, "worker")),
    ("metrics", _metrics, ALL),
    ("alarm_history", _alarm_history, ("gateway", "engine")),
    ("alarm_looks", _alarm_looks, ("gateway", "engine")),
    ("follower", _follower, ENGINE),
    ("tasks", _tasks, ENGINE),
    ("runtime", _runtime, ENGINE),
    ("images", _images, ("gateway", "engine")),
    ("kms", _installed("modelyard.services.kms.part"), ("gateway", "engine", "worker")),
    ("parameters", _installed("modelyard.services.ssm.part"), ("gateway", "engine")),
    ("secrets", _installed("modelyard.services.secretsmanager.part"), ("gateway", "engine")),
    ("s3", _s3, ("gateway", "engine", "worker")),
    ("queues", _queues, ("gateway", "engine")),
    ("topics", _topics, ("gateway", "engine")),
    ("model_package_policies", _installed("modelyard.services.sagemaker.registry.access"), ("gateway", "engine")),
    ("experiment_links", _installed("modelyard.services.sagemaker.experiments.links"), ("gateway", "engine")),
    ("lineage_edges", _installed("modelyard.services.sagemaker.lineage.edges"), ("gateway", "engine")),
    ("run_metrics", _installed("modelyard.services.sagemaker.experiments.run_metrics"), ("gateway", "engine")),
    ("meters", _installed("modelyard.services.sagemaker.cost.meters"), ("gateway", "engine")),
    ("trail", _installed("modelyard.services.cloudtrail.trail"), ("gateway", "engine", "worker")),
    ("own_ports", _own_ports, ("gateway", "engine")),
    ("check_request", _check_request, ("gateway", "engine")),
    ("wayout", _wayout, ENGINE),
    ("apart", _apart, ENGINE),
    ("serverless", _serverless, ("gateway", "engine")),
    ("invoker", _invoker, GATEWAY),
    ("async_queue", _async_queue, ("gateway", "engine")),
    ("tier", _tier, GATEWAY),
    ("readiness", _readiness, GATEWAY),
]
"""Name, maker, roles that have it; in order, a later one may use an earlier one."""


# --- processes -----------------------------------------------------------------------------------


def child_main(role: str, words: list[str]) -> int:
    """A gateway or engine process, started by the supervisor."""
    parser = argparse.ArgumentParser(prog=f"modelyard _{role}")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--leash", type=int, help="pipe that ends with the supervisor")
    parser.add_argument("--listener", type=int, help="listening socket of the front door (gateway)")
    parser.add_argument("--egress", type=int, help="listening socket of the way out for runs (gateway)")
    args = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if args.leash is not None:
        threading.Thread(target=_hold_leash, args=(args.leash,), name="leash", daemon=True).start()
    settings = datafolder.load_settings(args.data)
    from modelyard.services.kms.root import WrongRoot

    try:
        platform = build_platform(settings, role)
    except WrongRoot as problem:
        sys.exit(str(problem))  # the last line of this process's log, which `modelyard up` shows
    return gateway_main(platform, args.listener, args.egress) if role == "gateway" else engine_main(platform)


def work_main(words: list[str]) -> int:
    """Work beside an engine (see apart.py): `transform JOB HOST`."""
    from modelyard.apart import end_with

    end_with(sys.stdin.buffer)
    parser = argparse.ArgumentParser(prog="modelyard _work")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("kind", choices=["transform"])
    parser.add_argument("job", help="uid of the record")
    parser.add_argument("host", type=int, help="which instance, from 1")
    args = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    platform = build_platform(datafolder.load_settings(args.data), "worker")

    from modelyard.services.sagemaker.transform_job.host import work

    work(platform, args.job, args.host)
    platform.trail.close()
    return 0


def gateway_main(platform: Platform, listener: int | None = None, egress: int | None = None) -> int:
    """Serves until SIGTERM, on the listening sockets (front door, way out of runs) the supervisor handed over."""
    import socket

    import uvloop

    uvloop.run(serve(platform, *(None if fd is None else socket.socket(fileno=fd) for fd in (listener, egress))))
    return 0


async def serve(platform: Platform, listener: Any = None, egress: Any = None) -> None:
    """The front door, until SIGTERM or SIGINT: nothing new is accepted then, and what runs has time to finish."""
    import asyncio

    from modelyard.kernel.wake import Bell, Watch
    from modelyard.wire.accesslog import AccessLog
    from modelyard.wire.ca import Authority
    from modelyard.wire.connect import transparent_proxy
    from modelyard.wire.egress import Tokens
    from modelyard.wire.gateway import Gateway
    from modelyard.wire.server import Server

    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    bell = Bell(platform.settings.socket_dir, "gateway")
    platform.ring = bell.ring
    watch = Watch(platform.store, loop)
    bell.attach(loop, watch.poke)
    access_log = AccessLog(platform.settings.data / "logs" / "access.log") if platform.settings.access_log else None
    gateway = Gateway(platform, watch=watch, access_log=access_log)
    authority = Authority(platform.settings.data / "ca")
    authority.write_bundle()
    own_ports = {platform.settings.port}
    proxy = transparent_proxy(
        gateway.handle, authority, Tokens.of_folder(platform.settings.secrets), os.environ, own_ports, pool=gateway.pool
    )
    server = Server(
        gateway.handle, tls=authority.server_context, proxy=proxy, pool=gateway.pool, at_once=gateway.at_once, again=gateway.again
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    platform.invoker.start(loop)
    bell.attach(loop, lambda topic: platform.invoker.ring() if topic == "routes" else None)
    await server.start(platform.settings.host, platform.settings.port, listener=listener)
    way_out = await wayout.serve(platform, gateway, authority, own_ports, egress)
    gc.collect()
    gc.freeze()  # models and codecs stay: no collection walks them again in the middle of a request
    gc.set_threshold(20_000, 20, 20)  # requests leave hardly any cycles; the default looks every few of them
    await ended.wait()
    await server.stop(GRACE_SECONDS)
    await proxy.stop(0.0)
    await way_out.stop(0.0)
    platform.invoker.stop()
    gateway.close()
    bell.close()
    platform.trail.close()
    if access_log is not None:
        access_log.close()


def keep_reserve(platform: Platform) -> Any:
    """The engine's: space put by, given up when its store meets a full disk."""
    from modelyard.kernel.reserve import Reserve

    reserve = Reserve(platform.settings.data / "reserve")
    reserve.hold()
    platform.store.db.on_full = reserve.give_up
    return reserve


def engine_main(platform: Platform) -> int:
    """Reconciles until SIGTERM."""
    from modelyard.housekeeping import keep_house
    from modelyard.kernel.reconcile import Engine
    from modelyard.kernel.wake import Bell
    from modelyard.kernel.workers import Workers
    from modelyard.supervisor import up_mark

    bell = Bell(platform.settings.socket_dir, "engine")
    platform.ring = bell.ring
    reconcilers = [r for service in platform.services.values() for r in service.reconcilers]
    engine, bus = Engine(platform, reconcilers), event_bus(platform)
    platform.parts["engine"] = engine
    driver = async_driver(platform)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: engine.stop())
    workers = Workers(platform)
    threading.Thread(target=_hear, args=(bell, engine, bus, driver, workers, keep_reserve(platform)), name="bell", daemon=True).start()
    workers.start()
    threading.Thread(target=bus.run, name="bus", daemon=True).start()
    up_mark(platform.settings.data, os.getpid()).touch(mode=0o600)
    ended = threading.Event()
    threading.Thread(target=keep_house, args=(platform, ended), name="housekeeping", daemon=True).start()
    driver.start()
    engine.run()
    driver.stop()
    bus.stop()
    workers.stop()
    ended.set()
    platform.trail.close()
    return 0


def event_bus(platform: Platform) -> Any:
    """The outbox with everyone who asked for events (`Service.reader`)."""
    from functools import partial

    from modelyard.kernel.bus import Bus, Reader

    asked = [r for service in platform.services.values() for r in service.readers]
    return Bus(platform.store, [Reader(name, partial(_heard, handle, platform), kinds) for name, kinds, handle in asked])


def _heard(handle: Callable[[Any, Platform], None], platform: Platform, event: Any) -> None:
    handle(event, platform)


def _hear(bell: Any, engine: Any, bus: Any, driver: Any, workers: Any, reserve: Any) -> None:
    """Every bell makes the engine, the readers of events and the workers look, but for one of asynchronous requests, which
    their driver alone hears; in quiet times the reserve is put by again."""
    while True:
        topics = bell.wait(BELL_SECONDS)
        if not topics:
            reserve.hold()
            continue
        if topics & {"async", "routes"}:
            driver.ring()
        if topics - {"async"}:
            engine.ring()
            bus.ring()
            workers.ring()


def _hold_leash(fd: int) -> None:
    """Ends this process some time after its supervisor was killed."""
    while os.read(fd, 1):
        pass
    log.warning("the supervisor is gone; serving for another %.0f s unless a new one takes over", LEASH_SECONDS)
    threading.Event().wait(LEASH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
