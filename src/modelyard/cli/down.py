"""Stop the platform: gateways, engines, model servers and jobs of this data folder. Jobs under way start again at the next `up`."""

from __future__ import annotations

import argparse

from modelyard.cli import exits, output

NAME = "down"
HELP = "stop the platform and everything it runs"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print what was stopped as JSON")


def run(args: argparse.Namespace) -> int:
    from modelyard.cli import stopping

    stopped = stopping.stop(args.data)
    if args.json:
        output.as_json(stopped)
    elif any(stopped.values()):
        output.note(f"stopped {stopped['processes']} processes, {stopped['runs']} jobs and model servers")
    else:
        output.note(f"nothing runs on {args.data}")
    return exits.OK if any(stopped.values()) else exits.NOT_RUNNING
