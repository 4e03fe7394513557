"""From a RunSpec to what a shim executes: plain data, computed once by the caller, with no choice left in it.

`{"group", "launcher": bwrap|ctypes|plain, "argv", "env", "cwd", "mounts", "hostname", "new_proc", "ports": [host ports to relay],
"serve": {"public", "direct", "port"} | None, "network": {"socket", "host"} | None, "memory", "cpus", "disk": {"bytes", "folders"} | None, "pids", "nice", "cgroups", "max_runtime", "grace", "first_lines"}`
"""

from __future__ import annotations

import functools
import hashlib
import os
import socket
from pathlib import Path

from modelyard.runtime import index_config
from modelyard.runtime.base import RunSpec
from modelyard.runtime.process import layer, network, root

ALGORITHMS = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../algorithms"))
"""What runs inside managed images; importable there as `modelyard_algorithms`, wherever an environment is given."""

PIDS = 1024
PORT = 8080
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def make(spec: RunSpec, folder: Path, tier: str, cgroups: dict, bwrap: str | None, network_socket: str | None = None) -> dict:
    """The plan of a run; writes the small files the box needs into `folder`. `network_socket` is that of its private network."""
    for name in ("tmp", "home"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "tmp").chmod(0o1777)
    Path(spec.ml).mkdir(parents=True, exist_ok=True)
    boxed = tier != "degraded"
    serve = _serve(spec, boxed)
    plan = {
        "group": group_name(folder),
        "argv": list(spec.argv),
        "cwd": spec.cwd,
        "mounts": [],
        "hostname": spec.hostname,
        "new_proc": tier in ("full", "ctypes"),
        "ports": [port for port in (spec.platform_port, spec.egress_port) if port] if boxed else [],
        "serve": serve,
        "network": {"socket": network_socket, "host": spec.host} if network_socket else None,
        "memory": spec.memory_bytes,
        "cpus": spec.cpus,
        "pids": PIDS,
        "disk": {"bytes": spec.disk_bytes, "folders": [spec.ml, str(folder / "tmp"), str(folder / "home")]} if spec.disk_bytes else None,
        "nice": 0 if "cpu" in cgroups else 5,
        "cgroups": cgroups,
        "max_runtime": spec.max_runtime_s,
        "grace": spec.grace_s,
        "first_lines": list(spec.first_log_lines),
        "launcher": "plain",
    }
    return _boxed(plan, spec, folder, tier, bwrap) if boxed else _unboxed(plan, spec, folder)


def group_name(folder: Path) -> str:
    """The name of a run's control group: two data folders may both have a run of this id."""
    return f"{folder.name[:100]}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


@functools.cache
def _algorithms() -> str:
    """The folder of `modelyard_algorithms`, compiled: a box sees it read-only and could not keep what it compiles."""
    import compileall

    compileall.compile_dir(ALGORITHMS, quiet=2)
    return ALGORITHMS


def _boxed(plan: dict, spec: RunSpec, folder: Path, tier: str, bwrap: str | None) -> dict:
    steps = [
        *root.system(),
        *root.own_etc(str(folder / "etc"), spec.hostname, spec.hosts, _addresses(spec)),
        *root.kernel_files(plan["new_proc"]),
        ("rw", str(folder / "tmp"), "/tmp"),
        ("rw", str(folder / "home"), "/root"),
        ("tmpfs", "/run"),
    ]
    env = {"PATH": PATH, "HOME": "/root"}
    if spec.env_path:
        home = root.python_home(spec.env_path)
        (folder / "venv").mkdir(exist_ok=True)
        layer.make(folder / "venv", spec.env_path, Path(root.IMAGE), root.ALGORITHMS)
        steps += [("ro", home, home)] if home else []
        steps.append(("ro", _algorithms(), f"{root.ALGORITHMS}/modelyard_algorithms"))
        steps += [("ro", spec.env_path, root.IMAGE), ("rw", str(folder / "venv"), root.VENV)]
        env["PATH"] = f"{root.VENV}/bin:{root.IMAGE}/bin:{PATH}"
        env["MODELYARD_PACKAGES"] = root.VENV
    if plan["serve"]:
        steps.append(("rw", os.path.dirname(plan["serve"]["direct"]), root.SOCKETS))
        env["MODELYARD_SERVE_SOCKET"] = f"{root.SOCKETS}/http"
    if spec.egress and spec.egress_port:
        env |= index_config.proxy_env(spec.egress_port, spec.hosts) | index_config.pip_env()
        steps += [("ro", path, path) for path in index_config.paths()]
    steps.append(("rw", spec.ml, "/opt/ml"))
    steps += [("rw" if mount.writable else "ro", mount.source, mount.target) for mount in spec.mounts]
    for step in steps:
        if step[0] in ("ro", "rw") and not os.path.exists(step[1]):
            raise FileNotFoundError(f"{step[1]} (to be mounted at {step[2]}) does not exist")
    plan["env"] = _base_env(spec) | env | spec.env
    if tier == "ctypes":
        return plan | {"launcher": "ctypes", "mounts": steps, "root": str(folder / "root")}
    return plan | {"launcher": "bwrap", "argv": root.bwrap_argv(bwrap, steps, spec.hostname, spec.cwd, spec.argv, not spec.network)}


def _unboxed(plan: dict, spec: RunSpec, folder: Path) -> dict:
    """No private /opt/ml: paths are given by environment, and words that begin with /opt/ml are replaced."""

    def here(text: str) -> str:
        return spec.ml + text[len("/opt/ml") :] if text == "/opt/ml" or text.startswith("/opt/ml/") else text

    env = {"PATH": PATH, "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "SAGEMAKER_BASE_DIR": spec.ml}
    if spec.env_path:
        (folder / "venv").mkdir(exist_ok=True)
        (folder / "lib").mkdir(exist_ok=True)
        if not (folder / "lib" / "modelyard_algorithms").is_symlink():
            (folder / "lib" / "modelyard_algorithms").symlink_to(_algorithms())
        layer.make(folder / "venv", spec.env_path, Path(spec.env_path), str(folder / "lib"))
        env["PATH"] = f"{folder / 'venv'}/bin:{spec.env_path}/bin:{PATH}"
        env["MODELYARD_PACKAGES"] = str(folder / "venv")
    if plan["serve"]:
        env["MODELYARD_SERVE_SOCKET"] = plan["serve"]["direct"]
        env["SAGEMAKER_BIND_TO_PORT"] = str(plan["serve"]["port"])
    if spec.egress:
        env |= index_config.pip_env()
    warning = "[modelyard] no sandbox on this machine: /opt/ml is not private, network and files of this machine are visible (see `modelyard doctor`)"
    return plan | {
        "argv": [here(word) for word in spec.argv],
        "cwd": here(spec.cwd),
        "env": _base_env(spec) | env | {key: here(value) for key, value in spec.env.items()},
        "first_lines": [*plan["first_lines"], warning],
    }


def _addresses(spec: RunSpec) -> list[str] | None:
    return [network.address(number) for number in range(1, len(spec.hosts) + 1)] if spec.network else None


def _base_env(spec: RunSpec) -> dict[str, str]:
    env = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "UTF-8"}
    if spec.cpus:
        env["MODELYARD_CPUS"] = f"{spec.cpus:g}"
    bundle = index_config.certificates()
    return env | ({"SSL_CERT_FILE": bundle} if bundle else {})


def _serve(spec: RunSpec, boxed: bool) -> dict | None:
    if not spec.serve_socket:
        return None
    direct = direct_folder(spec.serve_socket)
    direct.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {"public": spec.serve_socket, "direct": str(direct / "http"), "port": PORT if boxed else _free_port()}


def direct_folder(serve_socket: str) -> Path:
    """The folder, beside a run's public socket, that the box may write: a server may listen there. Short, because unix
    sockets' paths may have 107 bytes."""
    return Path(serve_socket).parent / (hashlib.sha256(serve_socket.encode()).hexdigest()[:12] + ".d")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
