"""Rehearse a failure: let the splitter fail or delay the calls of a variant for a while, and see what alarms and rollbacks do."""

from __future__ import annotations

import argparse
import datetime

from modelyard.cli import exits, output

NAME = "fault"
HELP = "inject faults at the splitter, for rehearsals"
EXAMPLES = """\
examples:
  modelyard fault my-endpoint --variant AllTraffic --error-rate 0.3 --for 2m
  modelyard fault my-endpoint --variant AllTraffic --latency 400ms --for 60s
  modelyard fault my-endpoint                                    what is in force
  modelyard fault my-endpoint --clear                            end it now
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("endpoint", metavar="ENDPOINT", help="name of the endpoint")
    parser.add_argument("--variant", metavar="NAME", help="production variant whose calls are hit")
    parser.add_argument("--error-rate", type=float, default=0.0, metavar="SHARE", help="share of the calls that fail, 0 to 1")
    parser.add_argument("--status", type=int, default=500, metavar="CODE", help="status of the model that they fail with (default: 500)")
    parser.add_argument("--latency", default="0", metavar="TIME", help="added to every call: 250ms, 1s")
    parser.add_argument("--for", dest="duration", default="60s", metavar="TIME", help="how long, platform time (default: 60s)")
    parser.add_argument("--clear", action="store_true", help="end all faults of the endpoint (or of --variant)")
    parser.add_argument("--json", action="store_true", help="print the faults in force as JSON")


def run(args: argparse.Namespace) -> int:
    from botocore.exceptions import ClientError, ParamValidationError

    from modelyard.cli import live, own

    try:
        latency, duration = own.seconds(args.latency), own.seconds(args.duration)
        client = own.client(args.data, "modelyard")
        if args.clear:
            for fault in client.list_endpoint_faults(EndpointName=args.endpoint)["Faults"]:
                if args.variant in (None, fault["VariantName"]):
                    client.delete_endpoint_fault(EndpointName=args.endpoint, FaultId=fault["FaultId"])
        elif args.variant:
            client.put_endpoint_fault(
                EndpointName=args.endpoint,
                VariantName=args.variant,
                ErrorRate=args.error_rate,
                StatusCode=args.status,
                LatencyMilliseconds=round(latency * 1000),
                DurationInSeconds=max(round(duration), 1),
            )
        elif args.error_rate or latency:
            raise ValueError("say which --variant")
        faults = client.list_endpoint_faults(EndpointName=args.endpoint)["Faults"]
    except own.NotRunning:
        return live.not_running(args.data)
    except (ValueError, ParamValidationError) as problem:
        output.problem(f"no fault was set: {problem}", "See  modelyard fault --help")
        return exits.USAGE
    except ClientError as problem:
        output.problem(problem.response["Error"]["Message"])
        return exits.FAILED
    if args.json:
        output.as_json(faults)
    elif not faults:
        print("no faults are in force")
    else:
        output.table(("VARIANT", "ERRORS", "STATUS", "LATENCY", "UNTIL (platform time)"), [_row(fault) for fault in faults])
    return exits.OK


def _row(fault: dict) -> tuple:
    until = fault["Until"].astimezone(datetime.UTC).strftime("%H:%M:%S UTC")
    return fault["VariantName"], f"{fault['ErrorRate'] * 100:g} %", fault["StatusCode"], f"{fault['LatencyMilliseconds']} ms", until
