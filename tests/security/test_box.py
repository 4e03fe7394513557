"""From inside a box: what its payload, which is nobody's friend, can do to the machine around it."""

from __future__ import annotations

import os
import socket

import pytest

from modelyard.runtime.process import relay
from tests.runtime.conftest import bench, tier  # noqa: F401 (fixtures)


@pytest.fixture
def boxed(bench, tier):  # noqa: F811
    if tier == "degraded":
        pytest.skip("the degraded tier has no box")
    return bench


def said(boxed, code: str, **more) -> str:
    return boxed.run("r", ["python3", "-c", code], **more)[1]


STEERING = """
import os
for folder in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/tty", "/sys"):
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                os.close(os.open(os.path.join(place, name), os.O_WRONLY | os.O_NONBLOCK))
                print("writable", os.path.join(place, name))
            except OSError:
                pass
for path in ("/proc/sysrq-trigger", "/proc/mtrr"):
    try:
        os.close(os.open(path, os.O_WRONLY))
        print("writable", path)
    except OSError:
        pass
"""


def test_no_file_that_steers_the_machine_can_be_written(boxed):
    """Also not where root runs the platform: the box is that user then, and owner of /proc/sys/kernel/core_pattern."""
    assert said(boxed, STEERING) == ""


def test_no_capability_by_a_user_namespace_inside(boxed, tier):  # noqa: F811
    code = (
        "import ctypes, os\nl = ctypes.CDLL(None, use_errno=True)\nprint(l.unshare(0x10000000), l.mount(b'n', b'/tmp', b'tmpfs', 0, None))"
    )
    assert said(boxed, code) == "-1 -1\n"


def test_no_terminal_no_host_process_no_abstract_socket(boxed):
    name = f"modelyard-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        code = f"""
import fcntl, os, socket
def tried(label, function):
    try:
        print(label, function())
    except Exception as error:
        pass
tried("tiocsti", lambda: fcntl.ioctl(0, 0x5412, b"x"))
tried("tty", lambda: os.open("/dev/tty", os.O_RDWR))
tried("kill", lambda: os.kill({os.getpid()}, 0))
tried("environ", lambda: open("/proc/{os.getpid()}/environ").read())
tried("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\\0{name}"))
tried("mknod", lambda: os.mknod("/tmp/d", 0o20666, os.makedev(1, 1)))
"""
        assert said(boxed, code) == ""


def test_no_secret_of_a_run_is_on_disk_or_a_command_line(boxed):
    code = "import time; print('up', flush=True); time.sleep(30)"
    boxed.start("r", ["python3", "-c", code], {"AWS_SECRET_ACCESS_KEY": "hush-hush-hush"})
    state = boxed.wait("r", "running")
    try:
        for place, _, names in os.walk(boxed.runtime.folder("r")):
            for name in names:
                path = os.path.join(place, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    assert b"hush-hush-hush" not in open(path, "rb").read(), path
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                line = open(f"/proc/{pid}/cmdline", "rb").read()
            except OSError:
                continue
            assert b"hush-hush-hush" not in line
        assert state.pid
    finally:
        boxed.runtime.stop("r", 0)


def test_the_relay_does_not_follow_a_link_of_the_box(tmp_path):
    secret = str(tmp_path / "host.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(secret)
        listener.listen()
        os.symlink(secret, tmp_path / "http")
        assert relay.dial_own(str(tmp_path / "http")) is None
        (tmp_path / "file").write_text("")
        assert relay.dial_own(str(tmp_path / "file")) is None and relay.dial_own(str(tmp_path / "nothing")) is None
        relay.dial_own(secret).close()
