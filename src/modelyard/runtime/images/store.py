"""ImageStore: finds images by URI and builds their environments, once."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelyard.config import Settings
from modelyard.runtime.images import build, recipes
from modelyard.runtime.images.recipes import Image

Log = Callable[[str], None]
SYSTEM = "/usr/local/bin:/usr/bin:/bin"
"""Where a box finds programs of the machine."""


class BuildFailed(Exception):
    """An environment could not be built; the message says why in one or two sentences."""


@dataclass(frozen=True)
class ImageState:
    """`state`: absent, building, ready or failed (with the `reason` of the last try)."""

    state: str
    reason: str = ""


class ImageStore:
    """Environments live in `settings.cache/images/<env>-<key>`; the key is a hash of lock, Python and platform, so
    whatever is there under its final name is whole and right, and nothing of it ever changes."""

    def __init__(self, settings: Settings) -> None:
        self._root = Path(os.path.abspath(settings.cache)) / "images"

    def find(self, image_uri: str) -> Image | None:
        """The managed image of a URI, by repository and tag; None: unknown."""
        return recipes.find(image_uri)

    def edition(self, image_uri: str, name: str) -> str:
        """The URI of another edition of the image (tag `1.0+sdk3`), where there is one; else the URI itself."""
        repository, tag = recipes.parse_uri(image_uri)
        found = recipes.find(f"{repository}:{tag}+{name}")
        return found.uri if found is not None and found.env.endswith(f"-{name}") else image_uri

    def of_environment(self, env: str) -> Image | None:
        """The image of an environment by its name."""
        return recipes.of_environment(env)

    def path(self, image: Image) -> Path:
        """Where the environment is, or will be: what goes into `RunSpec.env_path`."""
        return self._root / f"{image.env}-{hashlib.sha256(_content(image.env).encode()).hexdigest()[:16]}"

    def digest(self, image: Image) -> str:
        """`sha256:…` of what the image is made of: its packages and its entry points. Two tags with one content have one digest."""
        parts = [_content(image.env), image.recipe, repr((image.train, image.serve, image.process, sorted(image.variables.items())))]
        return "sha256:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def look(self, image: Image) -> ImageState:
        target = self.path(image)
        if target.is_dir():
            return ImageState("ready")
        if _is_locked(_beside(target, ".lock")):
            return ImageState("building")
        with contextlib.suppress(FileNotFoundError):
            return ImageState("failed", _beside(target, ".failed").read_text())
        return ImageState("absent")

    def ensure(self, image: Image, log: Log = lambda line: None) -> Path:
        """The environment, built first if need be (seconds to minutes; another builder is waited for). `log` is told
        the progress, line by line. Raises BuildFailed; the next `ensure` tries again."""
        if missing := [f"`{name}` ({how})" for name, how in image.needs.items() if not shutil.which(name, path=SYSTEM)]:
            raise BuildFailed(f"image {image.env} needs on this machine: {', '.join(missing)}")
        target = self.path(image)
        if target.is_dir():
            return target
        self._root.mkdir(parents=True, exist_ok=True)
        with _locked(_beside(target, ".lock"), lambda: log(f"Waiting for another build of image {image.env}")) as lock:
            if target.is_dir():
                return target
            for left in self._root.glob(f"{target.name}.building-*"):  # of a build that was killed
                _remove_tree(left)
            _beside(target, ".failed").unlink(missing_ok=True)
            self._build(image, target, lock, log)
        return target

    def _build(self, image: Image, target: Path, lock: int, log: Log) -> None:
        began = time.monotonic()
        log(f"Building image {image.env} (first use on this machine)")
        temporary = self._root / f"{target.name}.building-{os.getpid()}-{time.monotonic_ns()}"
        source, hashed = requirements(image.env)
        if not hashed:
            log(f"No lock for Python {sys.version_info.major}.{sys.version_info.minor}: resolving {source.name}")
        try:
            build.build(temporary, source, hashed, lock, log, apart(image.env))
            os.rename(temporary, target)
        except build.Failed as error:
            _remove_tree(temporary)
            _beside(target, ".failed").write_text(str(error))
            raise BuildFailed(f"image {image.env} could not be built: {error}") from None
        except BaseException:
            _remove_tree(temporary)
            raise
        log(f"Built image {image.env} in {time.monotonic() - began:.1f} s")

    def list(self) -> list[dict]:
        """One row per environment: `{"env", "state", "reason", "path", "bytes", "images": [repository:tag, …], "large"}`."""
        rows = []
        for env in recipes.environments():
            image = recipes.of_environment(env)
            state, path = self.look(image), self.path(image)
            using = [(recipe, row) for recipe in recipes.load() for row in recipe.tags if row["env"] == env]
            rows.append(
                {
                    "env": env,
                    "state": state.state,
                    "reason": state.reason,
                    "path": str(path),
                    "bytes": _tree_bytes(path) if state.state == "ready" else None,
                    "images": [
                        f"{name}:{row.get('shown') or _readable(row['pattern'])}" for recipe, row in using for name in recipe.repositories
                    ],
                    "large": any(recipe.large for recipe, _ in using),
                }
            )
        return rows

    def remove(self, env: str) -> int:
        """Delete every build of an environment (of older locks too); answers how many there were. Runs that use one
        must have ended."""
        if env not in recipes.environments():
            raise KeyError(env)
        gone = 0
        for path in self._root.glob(f"{env}-*"):
            if len(path.name) == len(env) + 17 and path.is_dir():
                leaving = path.with_name(f"{path.name}.building-removed-{time.monotonic_ns()}")
                os.rename(path, leaving)
                _remove_tree(leaving)
                gone += 1
            elif path.name.endswith(".failed"):
                path.unlink()
        return gone


def _readable(pattern: str) -> str:
    """A tag pattern as one would write the tag: the optional suffix is left out."""
    return pattern.replace("(-cpu-py3)?", "").replace("\\.", ".").replace(".*", "*")


def requirements(env: str) -> tuple[Path, bool]:
    """The file to install from, and whether it is a lock with hashes for this Python."""
    minor = f"py{sys.version_info.major}{sys.version_info.minor}"
    lock = recipes.FOLDER / f"{env}.{minor}.lock"
    return (lock, True) if lock.is_file() else (recipes.FOLDER / f"{env}.in", False)


def _content(env: str) -> str:
    lock, _ = requirements(env)
    aside = apart(env)
    seed = "\n".join([build.FORMAT, sys.version, os.path.realpath(sys.executable), sysconfig.get_platform(), lock.read_text()])
    return seed + (aside.read_text() if aside else "")


def apart(env: str) -> Path | None:
    """What is installed on top of the lock and without one, as its builds differ between indexes: PyTorch."""
    path = recipes.FOLDER / f"{env}.apart"
    return path if path.is_file() else None


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)


def _is_locked(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


@contextlib.contextmanager
def _locked(path: Path, waiting: Callable[[], None]):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _tree_bytes(root: Path) -> int:
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(root) for name in names)


def _remove_tree(root: Path) -> None:
    for folder, _, _ in os.walk(root):
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
    shutil.rmtree(root, ignore_errors=True)
