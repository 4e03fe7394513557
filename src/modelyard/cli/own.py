"""Clients for the commands: boto3 with the platform's endpoint and credentials, and with our own API beside AWS's."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelyard.cli import environment, exits, live, output


class NotRunning(LookupError):
    """No platform runs on this data folder."""


def settings(folder: Path) -> dict[str, str]:
    """Endpoint, region and keys: those of the shell where it points at this very platform (`eval "$(modelyard env)"`, perhaps
    with a user's own keys), else the default role's session. Raises NotRunning."""
    state = live.state(folder)
    if state is None:
        raise NotRunning(str(folder))
    found = environment.variables(folder, state)
    if os.environ.get("AWS_ENDPOINT_URL", "").rstrip("/") == state["endpoint"] and os.environ.get("AWS_ACCESS_KEY_ID"):
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")
        found = {k: v for k, v in found.items() if k not in names[:3]} | {k: os.environ[k] for k in names if os.environ.get(k)}
    return found


def client(folder: Path, service: str) -> Any:
    """A boto3 client; `service` may be "modelyard"."""
    import boto3
    from botocore.config import Config

    from modelyard.kernel.models import OWN

    found = settings(folder)
    session = boto3.Session(
        found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"], found.get("AWS_SESSION_TOKEN"), region_name=found["AWS_REGION"]
    )
    session._loader.search_paths.append(str(OWN))
    config = Config(retries={"max_attempts": 4, "mode": "standard"}, proxies={})
    return session.client(service, endpoint_url=found["AWS_ENDPOINT_URL"], config=config)


def attempt(command: str, act: Callable[[Namespace], int], args: Namespace) -> int:
    """The exit code of what a command does with the platform; what it answers where none runs, the words are wrong or it is refused."""
    from botocore.exceptions import ClientError, ParamValidationError

    try:
        return act(args)
    except NotRunning:
        return live.not_running(args.data)
    except (ValueError, ParamValidationError) as problem:
        output.problem(str(problem), f"See  modelyard {command} --help")
        return exits.USAGE
    except ClientError as problem:
        output.problem(problem.response["Error"]["Message"])
        return exits.FAILED


def seconds(text: str) -> float:
    """`90`, `90s`, `250ms`, `5m`, `1h` as seconds. Raises ValueError, which says what is wrong."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    unit = next((unit for unit in units if text.endswith(unit)), "s")
    try:
        value = float(text.removesuffix(unit))
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e7:
        raise ValueError(f"{text!r} is not a length of time: write 90, 90s, 250ms, 5m or 1h")
    return value * units[unit]
