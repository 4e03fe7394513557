"""A training job of a built-in algorithm: configuration → data → model → `model_algo-1`."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
import traceback

from ..layout import Layout
from . import NAMES, hosts
from .algorithm import Algorithm, Job
from .failures import CUSTOMER_ERROR, ClientError
from .fields import parse
from .log import Log


def algorithm(name: str) -> Algorithm:
    """The algorithm of an image's repository."""
    return importlib.import_module(f"{__package__}.{NAMES[name]}").ALGORITHM


def main(name: str) -> int:
    """Run the training job in this container; the exit code is the container's."""
    layout = Layout()
    layout.make()
    print("Docker entrypoint called with argument(s): train", flush=True)
    try:
        train(algorithm(name), layout)
    except ClientError as error:
        layout.fail(f"ClientError: {error}")
        print(f"Customer Error: {error}", file=sys.stderr, flush=True)
        return CUSTOMER_ERROR
    except MemoryError:
        layout.fail("ClientError: The data does not fit into the memory of the instance; use one with more.")
        return CUSTOMER_ERROR
    except Exception as error:
        layout.fail(f"Algorithm failed: {type(error).__name__}: {error}")
        traceback.print_exc()
        return 1
    return 0


def train(wanted: Algorithm, layout: Layout) -> None:
    """Check everything, then train. Raises ClientError."""
    began = time.time()
    resources = layout.read("resourceconfig", {"hosts": ["algo-1"], "current_host": "algo-1"})
    log = Log(wanted.title, resources["current_host"])
    given = layout.read("hyperparameters")
    log.info(f"Reading provided configuration from {layout.config}/hyperparameters.json: {given}")
    values = parse(wanted.table, given)
    log.info(f"Final configuration: {values}")
    names, here = resources["hosts"], resources["current_host"]
    if len(names) > 1 and not wanted.hosts:
        raise ClientError(f"Training {wanted.name} on {len(names)} instances is not supported here; use one instance.")
    channels = wanted.check(layout.read("inputdataconfig"), wanted.channels, wanted.csv)
    log.info("Number of GPUs being used: 0")
    job = Job(wanted, layout, values, channels, log, os.path.join(layout.model, f"model_{here}"))
    if here != names[0]:
        hosts.follow(job, names[0], names.index(here))
        return
    ready = time.time()
    with hosts.lead(job, len(names) - 1) if len(names) > 1 else contextlib.nullcontext():
        wanted.train(job)
    if "test" in wanted.channels and "test" not in channels:
        log.info("Test data is not provided.")
    log.metrics({"setuptime": 1000 * (ready - began), "totaltime": 1000 * (time.time() - began)})
