"""The package-index configuration of this machine, told to pip inside a box and to uv when it builds images.

pip's own reading of its files and variables is the source (`pip config list` merges them); uv reads neither, so
its variables are made from it.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import subprocess
import sys
from urllib.parse import unquote, urlsplit

BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
KEPT = ("index-url", "extra-index-url", "find-links", "trusted-host", "cert", "no-index", "timeout", "default-timeout", "retries", "proxy")


@functools.cache
def settings() -> dict[str, str]:
    """`{"index-url": …}`: pip's effective settings on this machine, later sources over earlier ones."""
    try:
        listed = subprocess.run(
            [_python_with_pip(), "-m", "pip", "config", "list"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        listed = ""
    found: dict[str, str] = {}
    for level in ("global.", "install.", ":env:."):
        for line in listed.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(level) and key[len(level) :] in KEPT:
                found[key[len(level) :]] = str(ast.literal_eval(value))
    for key in KEPT:  # also where there is no pip to ask
        variable = "PIP_" + key.upper().replace("-", "_")
        if os.environ.get(variable):
            found[key] = os.environ[variable]
    return found


def _python_with_pip() -> str:
    """Our own environment has pip as a dependency; where somebody left it out, the Python it was made from may have it."""
    if importlib.util.find_spec("pip") is not None:
        return sys.executable
    base = os.path.join(sys.base_prefix, "bin", "python3")
    return base if os.path.exists(base) else sys.executable


def pip_env() -> dict[str, str]:
    """What pip needs in a box to find packages exactly like on this machine."""
    env = {"PIP_" + key.upper().replace("-", "_"): value for key, value in settings().items() if key != "proxy"}
    env |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "PIP_NO_INPUT": "1"}
    return env | uv_env()


def uv_env() -> dict[str, str]:
    """The same for uv, whose variables have other names and separators."""
    known = settings()
    env = {}
    if "index-url" in known:
        env["UV_DEFAULT_INDEX"] = known["index-url"]
    if "extra-index-url" in known:
        env["UV_INDEX"] = " ".join(known["extra-index-url"].split())
        env["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip's own rule: the best version of all indexes
    if "find-links" in known:
        env["UV_FIND_LINKS"] = ",".join(known["find-links"].split())
    if "trusted-host" in known:
        env["UV_INSECURE_HOST"] = " ".join(known["trusted-host"].split())
    if "cert" in known:
        env["SSL_CERT_FILE"] = known["cert"]
    seconds = known.get("timeout") or known.get("default-timeout")
    return env | ({"UV_HTTP_TIMEOUT": seconds} if seconds else {})


def no_index() -> list[str]:
    """The words that tell uv to ask no index (it has no variable for this), where pip is told so."""
    return ["--no-index"] if settings().get("no-index", "").lower() in ("1", "true", "yes", "on") else []


def paths() -> list[str]:
    """Folders and files of this machine that the configuration names: a box needs them, read-only."""
    known = settings()
    words = [
        *known.get("find-links", "").split(),
        *known.get("extra-index-url", "").split(),
        known.get("index-url", ""),
        known.get("cert", ""),
    ]
    found = []
    for word in words:
        parts = urlsplit(word)
        if parts.scheme == "file":
            word = unquote(parts.path)
        elif parts.scheme:
            continue
        if word and os.path.exists(word):
            found.append(os.path.abspath(word.rstrip("/")))
    # The pages of an index folder called "simple" link to files beside it (../../packages/…).
    found = [os.path.dirname(path) if os.path.basename(path) == "simple" and path.count("/") > 2 else path for path in found]
    found += [os.path.realpath(path) for path in found if os.path.realpath(path) != path]
    return [path for path in dict.fromkeys(found) if not path.startswith(("/usr/", "/etc/ssl"))]


def certificates() -> str | None:
    """This machine's certificate bundle."""
    named = os.environ.get("SSL_CERT_FILE")
    return named if named and os.path.exists(named) else next((path for path in BUNDLES if os.path.exists(path)), None)


def proxy_env(port: int, hosts: list[str]) -> dict[str, str]:
    """The platform's filtered proxy, for everything that is not the box itself."""
    proxy = f"http://127.0.0.1:{port}"
    aside = ",".join(["localhost", "127.0.0.1", "::1", *hosts])
    env = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": aside}
    return env | {key.lower(): value for key, value in env.items()}
