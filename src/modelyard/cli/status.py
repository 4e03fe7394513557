"""Show the running platform: endpoint, clock, processes. Exit code 3 when none runs."""

from __future__ import annotations

import argparse

from modelyard.cli import exits, output

NAME = "status"
HELP = "show endpoint, clock and processes"
EXAMPLES = """\
examples:
  modelyard status
  modelyard status --json | jq -r .endpoint
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    from modelyard.cli import live

    found = live.status(args.data)
    if found is None:
        if args.json:
            output.as_json({"running": False, "data": str(args.data), "processes": []})
            return exits.NOT_RUNNING
        return live.not_running(args.data)
    if args.json:
        output.as_json(found)
    else:
        _show(found)
    return exits.OK if found["ready"] else exits.FAILED


def _show(found: dict) -> None:
    import datetime

    clock = found["clock"]
    shown = datetime.datetime.fromtimestamp(clock["now"], datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    ready = output.paint("ready", "green") if found["ready"] else output.paint("does not answer", "red")
    print(f"{ready}  {found['endpoint']}  (Modelyard {found['version']})")
    print(
        f"auth {found['auth']}, account {found['account']}, region {found['region']}, store {found['store']}, sandbox tier {found['tier'] or 'unknown'}"
    )
    print(f"clock {shown}" + (f", {clock['speed']:g} times as fast as real time" if clock["speed"] != 1 else ""))
    print(f"data {found['data']}\n")
    output.table(("ROLE", "PID", ""), [(p["role"], p["pid"], _remark(p)) for p in found["processes"]])


def _remark(process: dict) -> str:
    if not process["alive"]:
        return "gone"
    if process["role"] == "shim":
        return process["run"]
    return f"{process['restarts']} restarts" if process.get("restarts") else ""
