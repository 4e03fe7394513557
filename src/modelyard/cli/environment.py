"""The variables that bring AWS clients to this platform."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

QUICK_POLLS = "shorten the pauses between looks of the SageMaker SDK and boto3's waiters, in Python programs (see docs/how-to)"


def quick_polls(environment: dict[str, str] | os._Environ[str]) -> dict[str, str]:
    """PYTHONPATH with the folder in front whose sitecustomize shortens the clients' own pauses."""
    folder = str(Path(__file__).resolve().parents[1] / "client")
    others = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part and part != folder]
    return {"PYTHONPATH": os.pathsep.join([folder, *others])}


class NoAccount(LookupError):
    """This platform has no account of that ID."""


def variables(folder: Path, state: dict[str, Any], account: str | None = None, transparent: bool = False) -> dict[str, str]:
    """What `modelyard env` exports: the endpoint, and the default role's session of the platform's first account;
    an account asked for by its ID gets its root keys (so no session token). Raises NoAccount."""
    known = secrets(folder, account or state["account"])
    keys = known["root"] if account else known["session"]
    found = {
        "AWS_ENDPOINT_URL": state["endpoint"],
        "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": state["endpoint"],  # where MLflow's plug-in finds a tracking server by its ARN
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        **({"AWS_SESSION_TOKEN": keys["SessionToken"]} if "SessionToken" in keys else {}),
        "AWS_REGION": state["region"],
        "AWS_DEFAULT_REGION": state["region"],
        # Host-prefixed operations (sync-states, streaming-logs) would leave a bare address.
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        # No client shall look for credentials of a cloud machine that is not there.
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {**found, **(_transparent(folder, state["endpoint"]) if transparent else {})}


def secrets(folder: Path, account: str) -> dict[str, Any]:
    try:
        return json.loads((folder / "secrets" / f"{account}.json").read_text())
    except FileNotFoundError:
        raise NoAccount(account) from None


def _transparent(folder: Path, endpoint: str) -> dict[str, str]:
    """Any https://*.amazonaws.com of the client arrives here; all other hosts pass through the same door untouched."""
    from modelyard.wire.connect import client_environment
    from modelyard.wire.egress import Tokens

    password = Tokens.of_folder(folder / "secrets").of("user")
    proxy = endpoint.replace("http://", f"http://user:{password}@", 1)
    return client_environment(proxy, str(folder / "ca/bundle.pem"), os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "")
