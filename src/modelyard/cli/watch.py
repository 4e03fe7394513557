"""Watch an endpoint live: variants, weights, replicas, calls, latencies, errors, alarms, and the stage of a rollout with the time left."""

from __future__ import annotations

import argparse
import sys
import time

from modelyard.cli import exits, output

NAME = "watch"
HELP = "watch an endpoint live"
EXAMPLES = """\
examples:
  modelyard watch my-endpoint
  modelyard watch my-endpoint --once
  modelyard watch my-endpoint --json | jq .Variants      a JSON object per look
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("endpoint", metavar="ENDPOINT", help="name of the endpoint")
    parser.add_argument("--every", default="500ms", metavar="TIME", help="pause between looks (default: 500ms)")
    parser.add_argument("--window", type=int, default=5, metavar="SECONDS", help="rates and latencies of the last seconds (default: 5)")
    parser.add_argument("--for", dest="duration", metavar="TIME", help="end by itself after this time")
    parser.add_argument("--once", action="store_true", help="one look, then end")
    parser.add_argument("--json", action="store_true", help="print a JSON object per look, on one line each")


def run(args: argparse.Namespace) -> int:
    from botocore.exceptions import BotoCoreError, ClientError

    from modelyard.cli import live, own

    try:
        every = max(own.seconds(args.every), 0.1)
        ends = time.monotonic() + own.seconds(args.duration) if args.duration else float("inf")
        client = own.client(args.data, "modelyard")
    except ValueError as problem:
        output.problem(f"not a time: {problem}")
        return exits.USAGE
    except own.NotRunning:
        return live.not_running(args.data)

    def looks():
        while True:
            yield client.describe_endpoint_traffic(EndpointName=args.endpoint, WindowInSeconds=args.window)
            if args.once or time.monotonic() + every > ends:
                return
            time.sleep(every)

    try:
        _json(looks()) if args.json else _screen(looks(), args.once or not sys.stdout.isatty())
    except ClientError as problem:
        output.problem(problem.response["Error"]["Message"], "See  aws sagemaker list-endpoints")
        return exits.FAILED
    except BotoCoreError as problem:
        output.problem(f"the platform does not answer any more: {problem}")
        return exits.FAILED
    return exits.OK


def _json(looks) -> None:
    import json

    for look in looks:
        look.pop("ResponseMetadata", None)
        print(json.dumps(look, default=lambda at: at.timestamp()), flush=True)


def _screen(looks, plain: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from modelyard.cli.watch_picture import History, picture

    history = History()
    if plain:
        console = Console()
        for look in looks:
            history.add(look)
            console.print(picture(look, history))
        return
    with Live(auto_refresh=False, screen=False) as screen:
        for look in looks:
            history.add(look)
            screen.update(picture(look, history), refresh=True)
