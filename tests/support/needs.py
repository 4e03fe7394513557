"""What some tests need of the machine: `pytestmark = needs("postgresql")` skips with the reason where it is missing.

With MODELYARD_REQUIRE=all (CI) nothing is skipped: a missing thing is a failure.
"""

from __future__ import annotations

import functools
import glob
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from modelyard.config import Settings
from modelyard.runtime.images import ImageStore

INSTALL = {
    "bubblewrap": "apt install bubblewrap",
    "postgresql": "apt install postgresql",
    "nginx": "apt install nginx-light",
    "browser": "apt install chromium",
    "sandbox": "apt install bubblewrap, or allow user namespaces",
}


LARGE = ("pytorch-2.13", "huggingface-4.57", "tensorflow-2.15", "tensorflow-2.19")
"""Images of more than a GiB, whose build takes a minute with packages at hand and many without."""


def only_on_sqlite(why: str) -> pytest.MarkDecorator:
    """Of a test that looks into SQLite itself, where the tests run on PostgreSQL (tests/support/postgres.py)."""
    return pytest.mark.skipif(os.environ.get("MODELYARD_TEST_STORE") == "postgresql", reason=why)


def large_image(env: str) -> Path:
    """The environment of a large image. Skips unless it is built already (`modelyard images build NAME`) or
    MODELYARD_TEST_LARGE_IMAGES is set, which builds it."""
    store = ImageStore(Settings(data=Path("unused")))
    image = store.of_environment(env)
    if store.look(image).state != "ready" and not os.environ.get("MODELYARD_TEST_LARGE_IMAGES"):
        pytest.skip(f"image {env} is not built: modelyard images build {env}, or set MODELYARD_TEST_LARGE_IMAGES=1")
    return store.ensure(image)


def needs(what: str) -> pytest.MarkDecorator:
    """A mark for tests that need bubblewrap, postgresql, nginx or browser."""
    reason = missing(what)
    if reason is None or os.environ.get("MODELYARD_REQUIRE") == "all":
        return pytest.mark.filterwarnings("default")  # a mark that changes nothing
    return pytest.mark.skip(reason=f"needs {what}: {reason} ({INSTALL[what]})")


def require(what: str) -> None:
    """The same inside a test or fixture: skips, or fails where everything is required."""
    reason = missing(what)
    if reason is None:
        return
    if os.environ.get("MODELYARD_REQUIRE") == "all":
        pytest.fail(f"needs {what}: {reason} ({INSTALL[what]})")
    pytest.skip(f"needs {what}: {reason} ({INSTALL[what]})")


@functools.cache
def missing(what: str) -> str | None:
    """Why it cannot be used here; None: it can."""
    return {
        "bubblewrap": _bubblewrap,
        "postgresql": _postgresql,
        "nginx": _nginx,
        "browser": _browser,
        "sandbox": _sandbox,
    }[what]()


def postgresql_bin() -> str | None:
    """The folder of initdb and postgres: Debian keeps them off PATH, and initdb refuses root (use another user)."""
    found = shutil.which("initdb")
    if found:
        return os.path.dirname(found)
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    return os.path.dirname(folders[-1]) if folders else None


def browser() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")


def _bubblewrap() -> str | None:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return "it is not installed"
    tried = subprocess.run([bwrap, "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"it is refused here: {tried.stderr.strip()[:200]}"


def _sandbox() -> str | None:
    from modelyard.runtime.process.probe import probe

    found = probe()
    return f"boxes are refused here: {found.refused}" if found.tier == "degraded" else None


def _postgresql() -> str | None:
    return None if postgresql_bin() else "it is not installed"


def _nginx() -> str | None:
    return None if nginx() else "it is not installed"


def _browser() -> str | None:
    return None if browser() else "it is not installed"
