"""Small pieces: one noun per file, functions that fit on a screen."""

import ast
import statistics

from tests.tidy.source import ROOT, lines, modules, tree

LONGEST_MODULE, MEDIAN_MODULE, LONGEST_FUNCTION = 500, 200, 70


def test_no_module_is_long():
    long = {name: lines(path) for name, path in modules().items() if lines(path) > LONGEST_MODULE}
    assert long == {}


def test_the_median_module_is_short():
    assert statistics.median(lines(path) for path in modules().values()) < MEDIAN_MODULE


def test_no_function_is_long():
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in modules().values()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []


def test_every_module_says_what_it_is_for():
    silent = [name for name, path in modules().items() if path.read_text().strip() and not ast.get_docstring(tree(path))]
    assert silent == []
