"""The suite's own order, and its count."""

import subprocess
import sys

from tests.conftest import LONGEST_FIRST
from tests.tidy.source import ROOT


def test_files_that_go_first_are_there_and_listed_once():
    assert [name for name in LONGEST_FIRST if not (ROOT / name).is_file()] == []
    assert len(set(LONGEST_FIRST)) == len(LONGEST_FIRST)


def suite(path, **outcomes):
    cases = "".join(f'<testcase classname="tests.t" name="{name}" time="1">{told}</testcase>' for name, told in outcomes.items())
    path.write_text(f'<testsuites><testsuite tests="{len(outcomes)}" time="1.5">{cases}</testsuite></testsuites>')
    return str(path)


def count(*words):
    ran = subprocess.run([sys.executable, ROOT / "tools/count_tests.py", *words], capture_output=True, text=True)
    return ran.returncode, ran.stdout


def test_what_passes_the_second_time_is_a_flake_and_what_fails_twice_has_failed(tmp_path):
    bad, skip = '<failure message="m">the first text</failure>', '<skipped message="no reason"/>'
    quick = suite(tmp_path / "quick.xml", good="", skips=skip)
    slow = suite(tmp_path / "slow.xml", once=bad, late='<error message="e">clean-up</error>', always=bad, gone=bad, fine="")
    again = suite(tmp_path / "again.xml", once="", late="", always=bad, gone=skip)
    assert count("--failed", slow) == (0, "4\n")
    code, said = count(quick, slow, "--again", again)
    assert code == 1 and said.endswith("2 failed, 2 passed, 2 flaky, 1 skipped in 4.50s\n")
    assert "FLAKY: tests.t::once passed alone the second time. The first time:\n  the first text\n" in said
    assert said.splitlines()[-3:-1] == [f"FLAKY: tests.t::{name}: passed alone the second time" for name in ("once", "late")]
    assert count(quick, suite(tmp_path / "slow.xml", once=bad), "--again", again)[0] == 0
    assert count(quick, suite(tmp_path / "slow.xml", once=bad))[0] == 1, "no second chance, no flake"
    assert count(quick) == (0, "1 passed, 1 skipped in 1.50s\n")
