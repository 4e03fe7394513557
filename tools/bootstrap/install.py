"""Sets up `.venv` from the lock files, on a machine that has nothing but Python.

Run by `make install`: `python3 tools/bootstrap/install.py [--dev]`. Standard library only. Debian's python3 has
neither pip nor ensurepip, so pip comes from the wheel beside this file; it installs the locked uv, and uv
installs the rest from the lock, checked by hash. A stamp makes the second time quick.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PIP = next((ROOT / "tools/bootstrap").glob("pip-*.whl")) / "pip"
RUNTIME_LOCK, DEV_LOCK = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"


def main() -> int:
    parser = argparse.ArgumentParser(description="Sets up .venv from the lock files.")
    parser.add_argument("--dev", action="store_true", help="also what the tests need")
    lock = DEV_LOCK if parser.parse_args().dev else RUNTIME_LOCK
    try:
        install(lock)
    except subprocess.CalledProcessError as problem:
        print(f"make install: this command failed (exit {problem.returncode}): {' '.join(map(str, problem.cmd))}", file=sys.stderr)
        return 1
    return 0


def install(lock: Path) -> None:
    python = VENV / "bin/python"
    if not works(python):
        say(f"making .venv with Python {sys.version.split()[0]}")
        run(sys.executable, "-m", "venv", "--clear", "--without-pip", VENV)
    stamp = VENV / f"modelyard-{lock.stem}.stamp"
    wanted = fingerprint(lock)
    if not stamp.exists() or stamp.read_text() != wanted:
        fill(python, lock)
        stamp.write_text(wanted)
        run(python, "-m", "compileall", "-q", ROOT / "src")
    link_package(python)


def works(python: Path) -> bool:
    return python.exists() and subprocess.run([python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]).returncode == 0


def fingerprint(lock: Path) -> str:
    """Changes when the lock, this program or the environment's place does."""
    digest = hashlib.sha256(str(VENV).encode())
    for path in (lock, Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def fill(python: Path, lock: Path) -> None:
    uv = VENV / "bin/uv"
    if not uv.exists():
        say("installing uv")
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as part:
            part.write(lock_entry(RUNTIME_LOCK, "uv"))
            part.flush()
            run(python, PIP, "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", part.name)
    say(f"installing {lock.name}")
    settings = pip_settings(python)
    flags = ["--no-index"] if settings.get("no-index", "").lower() in ("1", "true", "yes", "on") else []
    run(
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--require-hashes",
        *flags,
        "-r",
        lock,
        env={**os.environ, **uv_environment(settings)},
    )


def lock_entry(lock: Path, name: str) -> str:
    """The lines of one package in a lock file: the pin and its hashes."""
    lines = lock.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{name}=="))
    end = next((i for i, line in enumerate(lines[start + 1 :], start + 1) if not line.startswith(" ")), len(lines))
    return "\n".join(lines[start:end]) + "\n"


def pip_settings(python: Path) -> dict[str, str]:
    """What pip is configured with (files and PIP_*), by bare name; the environment wins, then `install.*`."""
    listed = subprocess.run([python, PIP, "config", "list"], capture_output=True, text=True, check=True).stdout
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found and value[:1] in "'\"":
            found[section][name] = str(ast.literal_eval(value))
    return {**found["global"], **found["install"], **found[":env:"]}


def uv_environment(pip: dict[str, str], have: dict[str, str] | None = None) -> dict[str, str]:
    """uv reads neither pip.conf nor PIP_*: the same in its own words, where the user set it for pip and
    not for uv. pip takes the best version over all indexes, so uv is told to (hashes keep that safe)."""
    have = dict(os.environ) if have is None else have
    words = {
        "UV_DEFAULT_INDEX": pip.get("index-url", "").strip(),
        "UV_INDEX": " ".join(pip.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(pip.get("find-links", "").split()),
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": pip.get("timeout", pip.get("default-timeout", "")).strip(),
        "SSL_CERT_FILE": pip.get("cert", "").strip(),
        "ALL_PROXY": pip.get("proxy", "").strip(),
        "UV_INDEX_STRATEGY": "unsafe-best-match" if pip.get("extra-index-url") else "",
    }
    return {name: value for name, value in words.items() if value and name not in have}


def link_package(python: Path) -> None:
    """The package runs from `src/`: a path file and the command, no build needed."""
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", query], capture_output=True, text=True, check=True).stdout.strip()
    write(Path(site) / "modelyard.pth", f"{ROOT / 'src'}\n")
    # sh, not python, in the first line: that one may be neither long nor have blanks in it.
    script = f"""#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys

from modelyard.__main__ import main

sys.exit(main())
"""
    write(VENV / "bin/modelyard", script, 0o755)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
        path.chmod(mode)


def run(*argv: object, env: dict[str, str] | None = None) -> None:
    subprocess.run([str(part) for part in argv], check=True, env=env)


def say(text: str) -> None:
    print(f"install: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
