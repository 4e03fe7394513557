"""Permissions that teach: why a call was allowed or denied, the policy that a principal really needs, and what is wrong with a document."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from modelyard.cli import exits, output

NAME = "policy"
HELP = "explain a call's permissions, write the least policy, check a document"
EXAMPLES = """\
examples:
  modelyard policy explain                               the last call that was denied
  modelyard policy explain 6f1c6a6e-…                    the request ID of an error, or of any call in the audit trail
  modelyard policy least-privilege --principal arn:aws:iam::123456789012:role/Trainer --since 2h > least.json
  modelyard policy lint policy.json                      "-" reads standard input; needs no platform
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    explain = actions.add_parser("explain", help="each policy that was considered for a call, and the decision")
    explain.add_argument(
        "request_id",
        metavar="REQUEST-ID",
        nargs="?",
        default="last",
        help="as errors and answers tell it (ResponseMetadata.RequestId); without one, the last denied call",
    )
    least = actions.add_parser("least-privilege", help="the policy that allows what a principal really did, and nothing else")
    least.add_argument("--principal", metavar="ARN", required=True, help="a role, a session of one, or a user")
    least.add_argument(
        "--since", metavar="TIME", help="2h, 30m or 7d back from now, or 2026-11-01T12:00, platform time (default: all there is)"
    )
    lint = actions.add_parser("lint", help="unknown actions, resources and conditions that never match, what is too wide or without effect")
    lint.add_argument("file", metavar="FILE", help="a policy document in JSON")
    for action in (explain, least, lint):
        action.add_argument("--json", action="store_true", help="print it as JSON")
        action.add_argument("--data", metavar="DIR", type=Path, default=argparse.SUPPRESS, help="as above")


def run(args: argparse.Namespace) -> int:
    from modelyard.cli import own

    return own.attempt("policy", {"explain": _explain, "least-privilege": _least, "lint": _lint}[args.what], args)


# --- explain --------------------------------------------------------------------------------------------


def _explain(args: argparse.Namespace) -> int:
    from modelyard.cli import own

    found = own.client(args.data, "modelyard").explain_call(RequestId=args.request_id)
    found.pop("ResponseMetadata", None)
    if args.json:
        output.as_json(found)
    else:
        print("\n".join(explained(found)))
    return exits.OK


def explained(found: dict[str, Any]) -> list[str]:
    lines = [f"{found['EventName']} ({found['EventSource']}) at {found['EventTime']} by {found['PrincipalArn']}"]
    lines.append(f"answered {found['ErrorCode']}: {found['ErrorMessage']}" if "ErrorCode" in found else "answered without an error")
    if "Hint" in found:
        lines += ["", found["Hint"]]
        if not found["Checks"]:
            return lines
    if not found["Checks"]:
        lines += ["", "It needs no permission."]
    for check in found["Checks"]:
        lines += ["", *_check(check)]
    if "ChecksNow" in found:
        lines += ["", "By the policies of now:"]
        for check in found["ChecksNow"]:
            lines += [f"  {check['Decision']}: {check['Action']} on {check['Resource']}", f"    {check['Reason']}"]
    if found["DeniedThen"] == found["AllowedNow"]:
        now = "allow it" if found["AllowedNow"] else "deny it"
        lines += ["", f"It was {'denied' if found['DeniedThen'] else 'allowed'} then; the policies of now {now}."]
    return lines


def _check(check: dict[str, Any]) -> list[str]:
    lines = [f"{check['Decision']}: {check['Action']} on {check['Resource']}", f"  {check['Reason']}"]
    for policy in check["Policies"]:
        lines.append(f"  {policy['Type']}: {policy['Name']}" + ("" if policy["Statements"] else " (does not speak of the action)"))
        for one in policy["Statements"]:
            lines.append(f"    {one['Effect']} {one['Statement']}: " + ("applies" if one["Applies"] else f"does not apply, {one['Why']}"))
    for missing in check.get("Missing", []):
        lines += [f"  To allow it, add to {missing['AddTo']}:", f"    {missing['Statement']}"]
    return lines


# --- least privilege ------------------------------------------------------------------------------------


def _least(args: argparse.Namespace) -> int:
    from modelyard.cli import own

    since = _since(args.since) if args.since else {}
    found = own.client(args.data, "modelyard").generate_least_privilege_policy(PrincipalArn=args.principal, **since)
    documents = [json.loads(text) for text in found.get("PolicyDocuments", [])]
    uses = found.get("Uses", [])
    if args.json:
        more = {"PolicyDocuments": documents} if len(documents) > 1 else {}
        output.as_json({"PrincipalArn": found["PrincipalArn"], "PolicyDocument": documents[0] if documents else None, **more, "Uses": uses})
        return exits.OK
    denied = [use for use in uses if not use["Allowed"]]
    if denied:
        output.note(f"{len(denied)} permissions were asked for and denied; they are not in the policy:")
        for use in denied:
            output.note(f"  {use['Action']} on {use['Resource']}, {use['Count']} times")
    if not documents:
        output.problem(f"the audit trail knows nothing that {found['PrincipalArn']} was allowed to do" + (" since then" if since else ""))
        return exits.FAILED
    if len(documents) > 1:
        output.note(f"{len(documents)} policies, as one would be longer than a managed policy may be: attach each of them")
    for document in documents:
        print(json.dumps(document, indent=2))
    return exits.OK


def _since(text: str) -> dict[str, Any]:
    """`2h` back from the platform's now, or a moment (UTC unless it says otherwise)."""
    import datetime

    from modelyard.cli import own

    if text[-1] == "d" and text[:-1].isdigit():
        return {"LastSeconds": float(text[:-1]) * 86400.0}
    if text[-1] in "smh":
        return {"LastSeconds": own.seconds(text)}
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no moment: write 2h, 30m, 7d or 2026-11-01T12:00") from None
    return {"Since": moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)}


# --- lint -----------------------------------------------------------------------------------------------


def _lint(args: argparse.Namespace) -> int:
    from modelyard.services.iam.lint import ERROR, lint

    try:
        text = sys.stdin.read() if args.file == "-" else Path(args.file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        output.problem(f"{args.file}: {problem}")
        return exits.USAGE
    found = lint(text)
    if args.json:
        output.as_json([one.told() for one in found])
    else:
        for one in found:
            where = f" statement {one.statement}" if one.statement else ""
            print(
                f"{args.file}:{one.line}:{one.column}: {output.paint(one.level, 'red' if one.level == ERROR else 'yellow')}:{where} {one.text} [{one.code}]"
            )
        if not found:
            print(f"{args.file}: nothing to complain about")
    return exits.FAILED if any(one.level == ERROR for one in found) else exits.OK
