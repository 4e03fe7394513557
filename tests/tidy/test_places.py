"""What is committed must make sense anywhere: no place of one machine, no package index, nothing private."""

import re
import subprocess
import tomllib

from tests.tidy.source import ROOT

TEXT = (".py", ".md", ".toml", ".txt", ".lock", ".sh", ".json", ".cfg", ".yml", ".yaml", ".svg", ".html", "Makefile", ".ci/run", "NOTICE")
PLACES = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/[\w.-]+|/(?:usr/)?opt/(?:pypi|wheels)\b|\.pyenv/")
IGNORED = ("/root/.cache", "/root/.aws", "/root/x")


def committed() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name.endswith(TEXT) and (ROOT / name).is_file()]


def test_no_place_of_one_machine_is_named():
    wrong = []
    for name in committed():
        if name == "tests/tidy/test_places.py":
            continue
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1):
            found = PLACES.search(line)
            if found and not found.group().startswith(IGNORED):
                wrong.append(f"{name}:{number}: {line.strip()[:120]}")
    assert wrong == []


def test_locks_name_no_index_and_pin_by_hash():
    for lock in ROOT.glob("requirements*.lock"):
        text = lock.read_text()
        assert not re.search(r"https?://|file:|--(?:extra-)?index-url|--find-links|@ ", text), lock.name
        pins = re.findall(r"(?m)^[a-z0-9][\w.-]*==", text)
        assert len(pins) > 5
        assert len(re.findall(r"(?m)^[a-z0-9][^\n]* \\$", text)) == len(pins), f"{lock.name}: a pin without a hash"


def test_locks_hold_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for lock, wanted in {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-dev.lock": [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]],
    }.items():
        pinned = set(re.findall(r"(?m)^([a-z0-9][\w.-]*)==", (ROOT / lock).read_text()))
        names = {re.match(r"[\w.-]+", line).group().lower().replace("_", "-") for line in wanted}
        assert names <= pinned, f"make lock: {names - pinned} are not in {lock}"
