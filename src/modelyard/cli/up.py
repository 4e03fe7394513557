"""Start the platform on a data folder and serve until Ctrl-C, or until `modelyard down` with --detach."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields, replace
from typing import Any

from modelyard.cli import exits, output
from modelyard.config import Settings

NAME = "up"
HELP = "start the platform"
EXAMPLES = """\
examples:
  modelyard up                              on port 4566, in the foreground
  modelyard up --detach --port 0            on any free port, in the background
  modelyard up --auth open                  accept any key, as other local AWS tools do (loopback only)
  modelyard up --clock-speed 3600           an hour of schedules, alarms and expiries in a second
"""

LOOPBACK = ("127.", "::1", "localhost")
_HELP = {f.name: f.metadata.get("help", "") for f in fields(Settings)}


def arguments(parser: argparse.ArgumentParser) -> None:
    def knob(name: str, **more: Any) -> None:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=_HELP[name] + more.pop("more", ""), default=None, **more)

    knob("port", type=int, metavar="PORT", more=" (default 4566)")
    knob("host", metavar="ADDRESS", more=" (default 127.0.0.1)")
    knob("auth", choices=("iam", "open"), more=" (default iam)")
    knob("account", metavar="ID", type=_account, more=" (default 123456789012)")
    knob("region", metavar="REGION", more=" (default us-east-1)")
    knob("clock_speed", metavar="N", type=_positive, more=" (default 1)")
    knob("gateways", metavar="N", type=_count, more=" (default 1)")
    knob("engines", metavar="N", type=_count, more=" (default 1)")
    knob("patience", metavar="SECONDS", type=_seconds, more=" (default 3)")
    knob("store", metavar="URL", more=" (postgresql://…)")
    parser.add_argument("--detach", action="store_true", help="return as soon as the platform is ready")
    parser.add_argument("--access-log", action="store_true", default=None, help=_HELP["access_log"])
    parser.add_argument("--strict", action="store_true", default=None, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    given = {f.name: getattr(args, f.name) for f in fields(Settings) if getattr(args, f.name, None) is not None}
    settings = replace(Settings(), **given)
    if settings.auth == "open" and not settings.host.startswith(LOOPBACK):
        output.problem(
            f"--auth open accepts any key and so is for loopback only, not for {settings.host}", "Leave out --auth open, or --host."
        )
        return exits.USAGE
    return _detached(settings) if args.detach else _foreground(settings)


def _foreground(settings: Settings) -> int:
    from modelyard import datafolder
    from modelyard.supervisor import PortTaken, Supervisor

    try:
        code = Supervisor(settings, announce=_announce, say=output.note).run()
    except datafolder.Held as held:
        return _held(settings, held.holder)
    except PortTaken as taken:
        who = f" by {taken.owner[1]} (pid {taken.owner[0]})" if taken.owner else ""
        output.problem(f"port {taken.port} on {taken.host} is in use{who}", "Choose another with --port, or any free one with --port 0.")
        return exits.HELD
    except (datafolder.NewerFormat, OSError) as problem:
        output.problem(str(problem))
        return exits.FAILED
    if code == 0:
        output.note("stopped")
    return code


def _detached(settings: Settings) -> int:
    """Starts the foreground command in a session of its own and waits for what it says first."""
    import os
    import subprocess
    import tempfile

    from modelyard import datafolder

    if (holder := datafolder.holder(settings.data)) is not None:
        return _held(settings, holder)
    words = [sys.executable, "-m", "modelyard", "up", "--data", str(settings.data)]
    for field in fields(Settings):
        value = getattr(settings, field.name)
        if field.name not in ("data", "cache") and not isinstance(value, bool) and value != "":
            words += [f"--{field.name.replace('_', '-')}", str(value)]
    words += [f"--{f.name.replace('_', '-')}" for f in fields(Settings) if getattr(settings, f.name) is True]
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True, env={**os.environ, "NO_COLOR": "1"}
        )
        state = _wait_ready(settings, child)
        if state is not None:
            _announce(state, detached=True)
            return exits.OK
        said.seek(0)
        sys.stderr.write(said.read())
        return child.poll() or exits.FAILED


def _wait_ready(settings: Settings, child: Any) -> dict[str, Any] | None:
    import time

    from modelyard import datafolder

    while child.poll() is None:
        state = datafolder.load_state(settings.data)
        if state.get("ready") and any(p["role"] == "supervisor" and p["pid"] == child.pid for p in state["processes"]):
            return state
        time.sleep(0.01)
    return None


def _announce(state: dict[str, Any], detached: bool = False) -> None:
    speed = state.get("clock_speed", 1)
    print(f"{output.paint('ready', 'green')}  Modelyard {state['version']} at {output.paint(state['endpoint'], 'bold')}")
    print(
        f"       auth {state['auth']}, account {state['account']}, region {state['region']}"
        + (f", clock × {speed:g}" if speed != 1 else "")
    )
    print('next   eval "$(modelyard env)"   then use boto3, aws or the SageMaker SDK as ever')
    print("stop   modelyard down" if detached else "stop   Ctrl-C, or modelyard down in another terminal", flush=True)


def _held(settings: Settings, holder: dict[str, Any]) -> int:
    pid, endpoint = holder.get("pid", "?"), holder.get("endpoint", "an endpoint not known yet")
    output.problem(
        f"a platform already runs on {settings.data}: pid {pid}, {endpoint}",
        "Stop it with  modelyard down,  or name another folder with --data.",
    )
    return exits.HELD


# --- argument types --------------------------------------------------------------------------------


def _account(text: str) -> str:
    if len(text) != 12 or not text.isdigit():
        raise argparse.ArgumentTypeError("an account ID has 12 digits")
    return text


def _positive(text: str) -> float:
    if not (value := _number(text)) > 0:
        raise argparse.ArgumentTypeError("must be greater than 0")
    return value


def _seconds(text: str) -> float:
    if not (value := _number(text)) >= 0:
        raise argparse.ArgumentTypeError("must be 0 or greater")
    return value


def _count(text: str) -> int:
    value = _number(text)
    if value != int(value) or not 1 <= value <= 64:
        raise argparse.ArgumentTypeError("must be a whole number from 1 to 64")
    return int(value)


def _number(text: str) -> float:
    import math

    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a number: {text}") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"not a number: {text}")
    return value
