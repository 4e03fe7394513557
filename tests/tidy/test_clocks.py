"""Time comes from the clock one was given: no other clock in the product."""

import ast

from tests.tidy.source import ROOT, modules, tree

WALL_CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "gmtime"),
    ("time", "localtime"),
}
REAL_TIME = {
    "modelyard.kernel.clock": "it is the clock",
    "modelyard.runtime": "what real processes do has real times",
    "modelyard.algorithms": "runs in the box of a job, where time is real",
    "modelyard.wire.ca": "certificates are checked against real time by clients",
}
"""Modules (and what is below them) that may ask for the wall clock, and why."""


def test_nobody_asks_another_clock():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} asks {ast.unparse(node.func)}"
        for name, path in modules().items()
        if not any(name == allowed or name.startswith(allowed + ".") for allowed in REAL_TIME)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and _is_wall_clock(node)
    ]
    assert wrong == []


def _is_wall_clock(call: ast.Call) -> bool:
    function = call.func
    if not isinstance(function, ast.Attribute):
        return False
    owner = function.value
    last = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    bare = function.attr in ("gmtime", "localtime") and not call.args
    return (last, function.attr) in WALL_CLOCKS and (function.attr not in ("gmtime", "localtime") or bare)
