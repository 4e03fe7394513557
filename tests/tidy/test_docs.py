"""Docs are a build target: generated pages are current, and every command is told of."""

import importlib.util

import pytest

from modelyard.cli import parser
from tests.tidy.source import ROOT


def make_docs():
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "tools/make_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "coverage.md"])
def test_generated_pages_are_current(name):
    page = {"cli.md": make_docs().cli_page, "coverage.md": make_docs().coverage_page}[name]()
    assert (ROOT / "docs/reference" / name).read_text() == page, "run: python tools/make_docs.py"


@pytest.mark.parametrize("module", parser.COMMANDS, ids=lambda m: m.NAME)
def test_the_readme_names_every_command(module):
    assert f"modelyard {module.NAME}" in (ROOT / "README.md").read_text()


def test_the_readme_has_its_parts():
    text = (ROOT / "README.md").read_text()
    for part in (
        "make demo",
        "make install",
        "boto3",
        "AWS CLI",
        "SageMaker SDK v2",
        "SageMaker SDK v3",
        "moto",
        "LocalStack",
        "ministack",
        "floci",
        "local mode",
        "Not yet",
    ):
        assert part in text, part
