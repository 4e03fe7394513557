"""The writable environment over a read-only image."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

MINOR = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def test_python_in_a_run_sees_the_image(bench, tiny_image):
    _, output = bench.run("a", ["python3", "-c", "import tinylib, sys; print(tinylib.WHO, sys.version_info[:2])"], env_path=tiny_image)
    assert output == f"the image {sys.version_info[:2]}\n"


def test_scripts_of_the_image_run_in_the_runs_own_environment(bench, tiny_image, tier):
    _, output = bench.run("a", ["tinytool"], env_path=tiny_image)
    prefix = str(bench.runtime.folder("a") / "venv") if tier == "degraded" else "/opt/venv"
    assert output == f"the image {prefix}\n"


def test_what_the_run_installs_wins_and_the_image_stays_as_it_is(bench, tiny_image):
    code = (
        "import sysconfig, pathlib, subprocess, sys\n"
        "pathlib.Path(sysconfig.get_paths()['purelib'], 'tinylib.py').write_text('WHO = \"the run\"')\n"
        "subprocess.run(['python', '-c', 'import tinylib; print(tinylib.WHO)'], check=True)"
    )
    assert bench.run("a", ["python", "-c", code], env_path=tiny_image)[1] == "the run\n"
    assert bench.run("b", ["python", "-c", "import tinylib; print(tinylib.WHO)"], env_path=tiny_image)[1] == "the image\n"


def test_the_image_cannot_be_written(bench, tiny_image, tier):
    if tier == "degraded":
        pytest.skip("without mounts only file modes protect an image")
    run, output = bench.run("a", ["sh", "-c", f"touch /opt/image/x /opt/image/lib/{MINOR}/site-packages/tinylib.py"], env_path=tiny_image)
    assert run.exit_code == 1 and output.count("Read-only file system") == 2


def test_the_platforms_algorithms_are_importable(bench, tiny_image):
    _, output = bench.run("a", ["python", "-c", "import modelyard_algorithms as m; print(m.__file__)"], env_path=tiny_image)
    assert output.strip().endswith("modelyard_algorithms/__init__.py")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package folder with one wheel, as the host's pip is configured to use: offline, by find-links."""
    from modelyard.runtime import index_config

    wheel = tmp_path / "links" / "extra-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("extra.py", "WHO = 'extra'\n")
        archive.writestr("extra-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: extra\nVersion: 1.0\nRequires-Dist: pip\n")
        archive.writestr("extra-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("extra-1.0.dist-info/entry_points.txt", "[console_scripts]\nextratool = extra:main\n")
        archive.writestr("extra-1.0.dist-info/RECORD", "")
    monkeypatch.setattr(index_config, "settings", lambda: {"find-links": str(wheel.parent), "no-index": "1"})
    return wheel.parent


@pytest.fixture(scope="session")
def image_with_pip(tiny_image):
    """The tiny image with the pip that the project sets itself up with unpacked into it."""
    packages = next(Path(tiny_image).glob("lib/python3.*/site-packages"))
    bundled = next((Path(__file__).resolve().parents[2] / "tools" / "bootstrap").glob("pip-*.whl"))
    if not (packages / "pip").exists():
        zipfile.ZipFile(bundled).extractall(packages)
        for name in ("pip", "pip3"):
            script = os.path.join(tiny_image, "bin", name)
            with open(script, "w") as file:
                file.write("#!/usr/bin/env python3\nimport sys; from pip._internal.cli.main import main; sys.exit(main())\n")
            os.chmod(script, 0o755)
    return tiny_image


def test_pip_install_works_and_takes_what_the_image_has(bench, image_with_pip, index, tier):
    script = "pip3 install extra && python -c 'import extra; print(extra.WHO)' && command -v extratool && python -m pip list --format json"
    run, output = bench.run("a", ["sh", "-c", script], env_path=image_with_pip, egress=True, egress_port=9)
    assert run.exit_code == 0, output
    assert "Requirement already satisfied: pip in" in output, "the image's pip counts as installed"
    lines = output.splitlines()
    assert "extra" in lines and any(line.endswith("/bin/extratool") for line in lines)
    assert {"extra", "pip"} <= {row["name"] for row in json.loads(lines[-1])}


def test_no_index_configuration_under_network_isolation(bench, tiny_image, index):
    _, output = bench.run("a", ["env"], env_path=tiny_image)
    assert "PIP_" not in output and "UV_" not in output and "PROXY" not in output.upper()
