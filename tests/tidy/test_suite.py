"""The suite's own order."""

from tests.conftest import LONGEST_FIRST
from tests.tidy.source import ROOT


def test_files_that_go_first_are_there_and_listed_once():
    assert [name for name in LONGEST_FIRST if not (ROOT / name).is_file()] == []
    assert len(set(LONGEST_FIRST)) == len(LONGEST_FIRST)
