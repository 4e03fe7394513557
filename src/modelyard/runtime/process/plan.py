"""From a RunSpec to what a shim executes: plain data, computed once by the caller, with no choice left in it.

`{"id", "launcher": bwrap|ctypes|plain, "argv", "env", "cwd", "mounts", "hostname", "new_proc", "ports": [host ports to relay],
"serve": {"public", "direct", "port"} | None, "memory", "cpus", "pids", "nice", "cgroups", "max_runtime", "grace", "first_lines"}`
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from modelyard.runtime import index_config
from modelyard.runtime.base import RunSpec
from modelyard.runtime.process import layer, root

ALGORITHMS = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../algorithms"))
"""What runs inside managed images; importable there as `modelyard_algorithms`, wherever an environment is given."""

PIDS = 8192
PORT = 8080
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def make(spec: RunSpec, folder: Path, tier: str, cgroups: dict, bwrap: str | None) -> dict:
    """The plan of a run; writes the small files the box needs into `folder`."""
    for name in ("tmp", "home"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "tmp").chmod(0o1777)
    Path(spec.ml).mkdir(parents=True, exist_ok=True)
    boxed = tier != "degraded"
    serve = _serve(spec, boxed)
    plan = {
        "id": spec.id,
        "argv": list(spec.argv),
        "cwd": spec.cwd,
        "mounts": [],
        "hostname": spec.hostname,
        "new_proc": tier == "full",
        "ports": [port for port in (spec.platform_port, spec.egress_port) if port] if boxed else [],
        "serve": serve,
        "memory": spec.memory_bytes,
        "cpus": spec.cpus,
        "pids": PIDS,
        "nice": 0 if "cpu" in cgroups else 5,
        "cgroups": cgroups,
        "max_runtime": spec.max_runtime_s,
        "grace": spec.grace_s,
        "first_lines": list(spec.first_log_lines),
        "launcher": "plain",
    }
    return _boxed(plan, spec, folder, tier, bwrap) if boxed else _unboxed(plan, spec, folder)


def _boxed(plan: dict, spec: RunSpec, folder: Path, tier: str, bwrap: str | None) -> dict:
    steps = [
        *root.system(),
        *root.own_etc(folder / "etc", spec.hostname, spec.hosts),
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
        steps.append(("ro", ALGORITHMS, f"{root.ALGORITHMS}/modelyard_algorithms"))
        steps += [("ro", spec.env_path, root.IMAGE), ("rw", str(folder / "venv"), root.VENV)]
        env["PATH"] = f"{root.VENV}/bin:{root.IMAGE}/bin:{PATH}"
    if plan["serve"]:
        steps.append(("rw", os.path.dirname(plan["serve"]["direct"]), root.SOCKETS))
        env["MODELYARD_SERVE_SOCKET"] = f"{root.SOCKETS}/serve.sock"
    if spec.egress and spec.egress_port:
        env |= index_config.proxy_env(spec.egress_port, spec.hosts) | index_config.pip_env()
        steps += [("ro", path, path) for path in index_config.paths()]
    steps.append(("rw", spec.ml, "/opt/ml"))
    steps += [("rw" if mount.writable else "ro", mount.source, mount.target) for mount in spec.mounts]
    for step in steps:
        if step[0] in ("ro", "rw") and not os.path.exists(step[1]):
            raise FileNotFoundError(f"{step[1]} (to be mounted at {step[2]}) does not exist")
    plan["env"] = _base_env() | env | spec.env
    if tier == "ctypes":
        return plan | {"launcher": "ctypes", "mounts": steps, "root": str(folder / "root")}
    argv = [
        bwrap, "--unshare-all", "--unshare-user", "--uid", "0", "--gid", "0", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        "--hostname", spec.hostname, *root.bwrap_arguments(steps), "--remount-ro", "/", "--chdir", spec.cwd, "--", *spec.argv,
    ]  # fmt: skip
    return plan | {"launcher": "bwrap", "argv": argv}


def _unboxed(plan: dict, spec: RunSpec, folder: Path) -> dict:
    """No private /opt/ml: paths are given by environment, and words that begin with /opt/ml are replaced."""

    def here(text: str) -> str:
        return spec.ml + text[len("/opt/ml") :] if text == "/opt/ml" or text.startswith("/opt/ml/") else text

    env = {"PATH": PATH, "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "SAGEMAKER_BASE_DIR": spec.ml}
    if spec.env_path:
        (folder / "venv").mkdir(exist_ok=True)
        (folder / "lib").mkdir(exist_ok=True)
        if not (folder / "lib" / "modelyard_algorithms").is_symlink():
            (folder / "lib" / "modelyard_algorithms").symlink_to(ALGORITHMS)
        layer.make(folder / "venv", spec.env_path, Path(spec.env_path), str(folder / "lib"))
        env["PATH"] = f"{folder / 'venv'}/bin:{spec.env_path}/bin:{PATH}"
    if plan["serve"]:
        env["MODELYARD_SERVE_SOCKET"] = plan["serve"]["direct"]
        env["SAGEMAKER_BIND_TO_PORT"] = str(plan["serve"]["port"])
    if spec.egress:
        env |= index_config.pip_env()
    warning = "[modelyard] no sandbox on this machine: /opt/ml is not private, network and files of this machine are visible (see `modelyard doctor`)"
    return plan | {
        "argv": [here(word) for word in spec.argv],
        "cwd": here(spec.cwd),
        "env": _base_env() | env | {key: here(value) for key, value in spec.env.items()},
        "first_lines": [*plan["first_lines"], warning],
    }


def _base_env() -> dict[str, str]:
    env = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "UTF-8"}
    bundle = index_config.certificates()
    return env | ({"SSL_CERT_FILE": bundle} if bundle else {})


def _serve(spec: RunSpec, boxed: bool) -> dict | None:
    if not spec.serve_socket:
        return None
    direct = Path(spec.serve_socket + ".d")
    direct.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {"public": spec.serve_socket, "direct": str(direct / "serve.sock"), "port": PORT if boxed else _free_port()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
