"""What jobs and endpoints would have cost on AWS, by a dated price table; budgets; an estimate of a plan before it runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from modelyard.cli import exits, output

NAME = "cost"
HELP = "what it would have cost on AWS; budgets; estimates"
EXAMPLES = """\
examples:
  modelyard cost                                    everything, dearest first
  modelyard cost --by day --since 7d                of the last seven days of platform time
  modelyard cost --by job --json
  modelyard cost estimate plan.yaml --job-hours 0.5 create requests or a CloudFormation template; needs no platform
  modelyard cost budget team --limit 50 --period month --topic arn:aws:sns:… --stop-jobs
  modelyard cost budget team --delete
  modelyard cost budgets                            limits, and what was spent so far
  modelyard cost prices                             the table, its date and sources
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", choices=("estimate", "budget", "budgets", "prices"), help="none: what was used so far")
    parser.add_argument("name", nargs="?", metavar="PLAN|BUDGET", help="file of a plan (estimate), name of a budget (budget)")
    parser.add_argument("--by", choices=("resource", "job", "endpoint", "day"), default="resource", help="groups (default: resource)")
    parser.add_argument("--since", metavar="TIME", help="2026-11-01, or 12h, 7d back from now, platform time (default: all there was)")
    parser.add_argument("--job-hours", type=float, metavar="HOURS", help="estimate: what a job takes (default: as long as it may run)")
    parser.add_argument(
        "--hours", type=float, default=730.0, metavar="HOURS", help="estimate: how long endpoints stand (default: 730, a month)"
    )
    parser.add_argument("--limit", type=float, metavar="USD", help="budget: make it, or change it")
    parser.add_argument(
        "--period", choices=("day", "month", "total"), default="month", help="budget: what the limit is for (default: month)"
    )
    parser.add_argument("--topic", metavar="ARN", help="budget: SNS topic that is told when the limit is passed")
    parser.add_argument("--stop-jobs", action="store_true", help="budget: stop all jobs of the account once it is passed")
    parser.add_argument("--delete", action="store_true", help="budget: forget it")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from modelyard.cli import own

    act = {"estimate": _estimate, "budget": _budget, "budgets": _budgets, "prices": _prices, None: _bill}[args.what]
    return own.attempt("cost", act, args)


def _bill(args: argparse.Namespace) -> int:
    from modelyard.cli import own

    client = own.client(args.data, "modelyard")
    found = client.get_cost(GroupBy=args.by, **_start(args, client))
    found.pop("ResponseMetadata", None)
    if args.json:
        output.as_json(found)
        return exits.OK
    rows = [(g["Key"], g["Kind"], *_line(line)) for g in found["Groups"] for line in g["Lines"]]
    if not rows:
        print("nothing was used")
    else:
        output.table((args.by.upper(), "KIND", "ITEM", "QUANTITY", "PRICE", "USD"), rows)
        print(f"\ntotal {_usd(found['TotalUSD'])} USD" + (f", spared by spot {_usd(found['SavedUSD'])} USD" if found["SavedUSD"] else ""))
    _footer(found["Unpriced"], found["Prices"])
    return exits.OK


def _start(args: argparse.Namespace, client: Any) -> dict[str, Any]:
    """StartTime by the platform's clock."""
    import datetime

    if not args.since:
        return {}
    units = {"h": 3600.0, "d": 86_400.0}
    if args.since[-1] in units:
        back = float(args.since[:-1]) * units[args.since[-1]]
        now = client.get_cost(StartTime=0)["EndTime"].timestamp()
        return {"StartTime": max(0.0, now - back)}
    return {"StartTime": datetime.datetime.fromisoformat(args.since).replace(tzinfo=datetime.UTC)}


def _estimate(args: argparse.Namespace) -> int:
    from modelyard.services.sagemaker.cost import bill, estimate, prices

    if not args.name:
        raise ValueError("estimate needs the file of a plan")
    plan = read_plan(Path(args.name))
    table = prices.load(args.data / prices.OWN)
    lines = estimate.lines(plan, table, job_hours=args.job_hours, endpoint_hours=args.hours)
    groups, others = bill.groups(lines, "resource"), estimate.not_counted(plan)
    if args.json:
        told = {"TotalUSD": bill.total(lines), "Groups": groups, "Unpriced": bill.unpriced(lines), "NotCounted": others}
        output.as_json({**told, "Prices": table.told()})
        return exits.OK
    output.table(
        ("RESOURCE", "KIND", "ITEM", "QUANTITY", "PRICE", "USD"), [(g["Key"], g["Kind"], *_line(x)) for g in groups for x in g["Lines"]]
    )
    kind = "as long as they may run" if args.job_hours is None else f"{args.job_hours:g} h each"
    print(f"\ntotal {_usd(bill.total(lines))} USD at most: jobs {kind}, endpoints {args.hours:g} h, but for hours that the plan gives")
    if any(line.item.endswith("(spot)") for line in lines):
        print("spot is counted at the full price: what it will cost is known when it has run")
    if others:
        print(f"not counted: {', '.join(others)}")
    _footer(bill.unpriced(lines), table.told())
    return exits.OK


def read_plan(path: Path) -> Any:
    """JSON or YAML, with CloudFormation's short forms (`!Ref x`). Raises ValueError."""
    import yaml

    class Loader(yaml.SafeLoader):
        """`!Ref x` is {"Ref": x}, `!Sub x` is {"Fn::Sub": x}."""

    def short(loader: Any, suffix: str, node: Any) -> Any:
        kinds = {yaml.ScalarNode: loader.construct_scalar, yaml.SequenceNode: loader.construct_sequence}
        value = kinds.get(type(node), loader.construct_mapping)(node)
        return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}

    Loader.add_multi_constructor("!", short)
    try:
        text = path.read_text()
        return json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader)
    except OSError as problem:
        raise ValueError(f"{path}: {problem.strerror}") from None
    except (ValueError, yaml.YAMLError) as problem:
        raise ValueError(f"{path} is neither JSON nor YAML: {' '.join(str(problem).split())[:300]}") from None


def _budget(args: argparse.Namespace) -> int:
    from modelyard.cli import own

    if not args.name:
        raise ValueError("budget needs a name")
    client = own.client(args.data, "modelyard")
    if args.delete:
        client.delete_cost_budget(BudgetName=args.name)
    elif args.limit is not None:
        more = {"TopicArn": args.topic} if args.topic else {}
        client.put_cost_budget(BudgetName=args.name, LimitUSD=args.limit, Period=args.period.upper(), StopJobs=args.stop_jobs, **more)
    else:
        raise ValueError("say --limit USD to make or change the budget, or --delete")
    return _budgets(args)


def _budgets(args: argparse.Namespace) -> int:
    from modelyard.cli import own

    found = own.client(args.data, "modelyard").list_cost_budgets()["Budgets"]
    if args.json:
        output.as_json(found)
    elif not found:
        print("there are no budgets")
    else:
        rows = [
            (b["BudgetName"], _usd(b["LimitUSD"]), b["Period"], _usd(b["SpentUSD"]), b["Status"], "stops jobs" if b["StopJobs"] else "")
            for b in found
        ]
        output.table(("BUDGET", "LIMIT", "PERIOD", "SPENT", "STATUS", ""), rows)
    return exits.OK


def _prices(args: argparse.Namespace) -> int:
    from modelyard.services.sagemaker.cost import prices

    table = prices.load(args.data / prices.OWN)
    rows = [
        (section, key, usd, table.sources.get(source, source))
        for section in prices.SECTIONS
        for key, (usd, source) in table.sections[section].items()
    ]
    if args.json:
        output.as_json({**table.told(), "Prices": [dict(zip(("Section", "Key", "USD", "Source"), row, strict=True)) for row in rows]})
    else:
        output.table(("SECTION", "KEY", "USD", "SOURCE"), rows)
        _footer([], table.told())
    return exits.OK


def _line(line: dict[str, Any]) -> tuple[str, str, str, str]:
    price = line.get("Price")
    quantity = f"{line['Quantity']:,.4f}".rstrip("0").rstrip(".") + f" {line['Unit']}"
    return line["Item"], quantity, "no price" if price is None else f"{price:g}", "" if price is None else _usd(line["USD"])


def _usd(value: float) -> str:
    return f"{value:,.4f}" if value < 10 else f"{value:,.2f}"


def _footer(unpriced: list[str], prices: dict[str, Any]) -> None:
    if unpriced:
        print(f"without a price, so not in the total: {', '.join(unpriced)} (put yours into prices.json of the data folder)")
    print(output.paint(f"prices of {prices['Region']}, {prices['Dated']}: {'; '.join(prices['Sources'])}", "dim"))
