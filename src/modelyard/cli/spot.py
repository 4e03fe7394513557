"""The spot market of managed spot training: how often instances are taken back, for how long there are none, and one interruption by hand."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Any

from modelyard.cli import exits, output

NAME = "spot"
HELP = "the spot market of managed spot training"
EXAMPLES = """\
examples:
  modelyard spot                                         how the market behaves
  modelyard spot interrupt my-job                        take the instances of a job back now (two-minute notice)
  modelyard spot market --rate 6 --wait 90s              six interruptions per instance and hour; 90 s until there is a new instance
  modelyard spot market --outage-in 5m --outage-for 10m  no spot capacity for ten minutes, from in five minutes on
  modelyard spot market --rate 0 --no-outages            a calm market again
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the market as JSON")
    actions = parser.add_subparsers(dest="what", metavar="WHAT")
    interrupt = actions.add_parser("interrupt", help="take the instances of a training job back now")
    interrupt.add_argument("job", metavar="JOB", help="name of the training job")
    market = actions.add_parser("market", help="change how the market behaves (all times are platform time)")
    market.add_argument("--rate", type=float, metavar="NUMBER", help="interruptions per instance and hour (0: none)")
    market.add_argument("--wait", metavar="TIME", help="from an interruption to the next instance: 90s, 5m")
    market.add_argument(
        "--discount", type=float, metavar="PERCENT", help="off the on-demand price, for BillableTimeInSeconds (default: 70)"
    )
    market.add_argument("--outage-in", metavar="TIME", default="0", help="when an outage begins, from now (default: at once)")
    market.add_argument(
        "--outage-for", metavar="TIME", help="how long it lasts: running jobs are interrupted at its start, none starts before its end"
    )
    market.add_argument("--no-outages", action="store_true", help="forget all outages")
    for action in (interrupt, market):  # also behind the action, where one writes it
        action.add_argument("--data", metavar="DIR", type=Path, default=argparse.SUPPRESS, help="as above")


def run(args: argparse.Namespace) -> int:
    from botocore.exceptions import ClientError, ParamValidationError

    from modelyard.cli import live, own

    try:
        client = own.client(args.data, "modelyard")
        if args.what == "interrupt":
            client.interrupt_training_job(TrainingJobName=args.job)
            print(f"{args.job}: the two-minute notice is given")
            return exits.OK
        market = client.describe_spot_market()
        if args.what == "market":
            market = client.put_spot_market(**_changes(args, market))
    except own.NotRunning:
        return live.not_running(args.data)
    except (ValueError, ParamValidationError) as problem:
        output.problem(f"the market was not changed: {problem}", "See  modelyard spot market --help")
        return exits.USAGE
    except ClientError as problem:
        output.problem(problem.response["Error"]["Message"])
        return exits.FAILED
    market.pop("ResponseMetadata", None)
    if args.json:
        output.as_json(market)
    else:
        _show(market)
    return exits.OK


def _changes(args: argparse.Namespace, market: dict[str, Any]) -> dict[str, Any]:
    from modelyard.cli import own

    changes: dict[str, Any] = {}
    for member, value in (("InterruptionsPerHour", args.rate), ("DiscountPercent", args.discount)):
        if value is not None:
            changes[member] = value
    if args.wait is not None:
        changes["WaitInSeconds"] = own.seconds(args.wait)
    outages = [] if args.no_outages else market["Outages"]
    if args.outage_for is not None:
        start = market["Now"] + datetime.timedelta(seconds=own.seconds(args.outage_in))
        outages = [*outages, {"Start": start, "End": start + datetime.timedelta(seconds=own.seconds(args.outage_for))}]
    if args.no_outages or args.outage_for is not None:
        changes["Outages"] = outages
    if not changes:
        raise ValueError("say what shall change")
    return changes


def _show(market: dict[str, Any]) -> None:
    print(f"interruptions   {market['InterruptionsPerHour']:g} per instance and hour")
    print(f"new instance    {market['WaitInSeconds']:g} s after an interruption")
    print(f"price           {market['DiscountPercent']:g} % below on-demand")
    print(f"capacity        {'available' if market['CapacityAvailable'] else 'none now'}")
    for outage in market["Outages"]:
        begin, end = (outage[name].astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S") for name in ("Start", "End"))
        print(f"outage          {begin} to {end} UTC (platform time)")
