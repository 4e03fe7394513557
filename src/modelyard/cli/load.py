"""Send an even stream of calls to an endpoint and show how long they took, counted from when each was due (open loop)."""

from __future__ import annotations

import argparse
import sys

from modelyard.cli import exits, output

NAME = "load"
HELP = "send calls to an endpoint at a given rate"
EXAMPLES = """\
examples:
  modelyard load my-endpoint --rps 200 --duration 30s --body 5.1,3.5,1.4,0.2
  modelyard load my-endpoint --rps 50 --body @rows.csv --lines         each line of the file in turn
  modelyard load my-endpoint --rps 500 --arrivals poisson --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("endpoint", metavar="ENDPOINT", help="name of the endpoint")
    parser.add_argument("--rps", type=float, default=10.0, metavar="N", help="calls per second, real time (default: 10)")
    parser.add_argument("--duration", default="10s", metavar="TIME", help="how long: 30, 30s, 5m (default: 10s)")
    parser.add_argument("--body", default="", metavar="TEXT|@FILE", help="what to send, or @ and a file that holds it")
    parser.add_argument("--lines", action="store_true", help="every line of the body is a call of its own, in turn")
    parser.add_argument("--content-type", default="text/csv", metavar="TYPE", help="of the body (default: text/csv)")
    parser.add_argument("--accept", default="", metavar="TYPE", help="wish for the answer")
    parser.add_argument("--variant", default="", metavar="NAME", help="only this production variant (TargetVariant)")
    parser.add_argument("--arrivals", choices=["even", "poisson"], default="even", help="spacing of the calls (default: even)")
    parser.add_argument("--connections", type=int, default=128, metavar="N", help="at most so many at once (default: 128)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    import uvloop

    from modelyard.cli import live, openloop, own

    try:
        plan = _plan(args)
    except (ValueError, OSError) as problem:
        output.problem(f"cannot plan this load: {problem}", "See  modelyard load --help")
        return exits.USAGE
    try:
        aws = own.settings(args.data)
    except own.NotRunning:
        return live.not_running(args.data)
    try:
        result = uvloop.run(openloop.run(plan, aws, _progress(plan)))
    finally:
        if sys.stderr.isatty():
            output.note("")
    if args.json:
        output.as_json({"endpoint": plan.endpoint, "planned_rate": plan.rate, **result.as_dict()})
    else:
        _show(plan, result)
    return exits.FAILED if result.failed and result.failed == sum(result.statuses.values()) else exits.OK


def _plan(args: argparse.Namespace):
    from modelyard.cli import openloop, own

    seconds = own.seconds(args.duration)
    if not 0 < args.rps <= 100_000 or not seconds > 0 or args.connections < 1:
        raise ValueError("the rate, the duration and the connections must be above 0")
    body = args.body.encode()
    if args.body.startswith("@"):
        with open(args.body[1:], "rb") as file:
            body = file.read()
    bodies = [line for line in body.splitlines() if line.strip()] if args.lines else [body]
    if not bodies:
        raise ValueError("the body has no lines")
    return openloop.Plan(
        args.endpoint, args.rps, seconds, bodies, args.content_type, args.accept, args.variant, args.arrivals, args.connections
    )


def _progress(plan):
    if not sys.stderr.isatty():
        return lambda result, at: None

    def tell(result, at: float) -> None:
        done, latency = sum(result.statuses.values()), result.latency
        text = f"{at:5.0f} s  {done} calls  p50 {latency.percentile(50) * 1000:.1f} ms  p99 {latency.percentile(99) * 1000:.1f} ms"
        failed = output.paint(f"  {result.failed} failed", "red", sys.stderr) if result.failed else ""
        print(f"\r{text}{failed}\x1b[K", end="", file=sys.stderr, flush=True)

    return tell


def _show(plan, result) -> None:
    said = result.as_dict()
    print(f"{output.paint(str(said['calls']), 'bold')} calls in {said['seconds']:.1f} s: {said['rate']:g} a second (planned {plan.rate:g})")
    failed = f"{result.failed} failed" + ("" if not result.failed else f" ({100 * result.failed / max(said['calls'], 1):.2f} %)")
    print(output.paint(failed, "red" if result.failed else "green"))
    if said["variants"]:
        answered = sum(said["variants"].values())
        print("variants  " + ", ".join(f"{name} {count} ({100 * count / answered:.1f} %)" for name, count in said["variants"].items()))
    print("latency   " + "  ".join(f"{name} {value:g}" for name, value in said["latency_ms"].items()) + "  (ms, from when a call was due)")
    for line in result.latency.bars():
        print(line)
    for text, count in said["problems"].items():
        print(output.paint(f"{count} x {text}", "yellow"))
