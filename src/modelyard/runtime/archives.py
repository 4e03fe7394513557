"""model.tar.gz and output.tar.gz: unpacking what strangers packed, packing what strangers' code left."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import posixpath
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

CHUNK = 1 << 20
MAX_BYTES = 100 << 30
MAX_MEMBERS = 1_000_000
MAX_EXTENSION_BYTES = 1 << 20
SPARE_BYTES = 512 << 20
"""What an unpacked archive leaves free on its disk: a bomb must not take the room that the platform's own records need."""


class BadArchive(ValueError):
    """The archive cannot be used; the message names the member and says what is wrong with it."""


class _Member(tarfile.TarInfo):
    """tarfile reads a long name and a pax header whole into memory, and one after the other by recursion: a few KiB of gzip
    could ask for any amount of either."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        extends = self.type in (
            tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
        )  # fmt: skip
        if extends and not 0 <= self.size <= MAX_EXTENSION_BYTES:
            raise BadArchive(f"member {self.name!r} has an extended header of {self.size} bytes; {MAX_EXTENSION_BYTES} may be")
        return super()._proc_member(tar)


def extract(archive: Path, target: Path, max_bytes: int = MAX_BYTES) -> None:
    """Unpack a gzip-compressed tar archive into `target` (made if need be).

    Refuses, with BadArchive: what is no such archive or is cut off; absolute names and `..`; links that lead out of
    `target`; devices, pipes; a member where another one of a different kind is; more than `max_bytes`, than the disk has room
    for (it keeps `SPARE_BYTES` free) or a million members; headers that are no sense. What was unpacked until then stays: the caller throws the folder away.

    Links are made after all files, so no file can be written through one.
    """
    target.mkdir(parents=True, exist_ok=True)
    links: list[tuple[str, str]] = []
    room = shutil.disk_usage(target).free - SPARE_BYTES
    left = max_bytes = max(0, min(max_bytes, room))
    try:
        # gzip's own reader checks the sums of what it unpacked; tarfile's for "r|gz" does not.
        with gzip.open(archive) as plain, tarfile.open(fileobj=plain, mode="r|", tarinfo=_Member) as tar:
            for count, member in enumerate(tar):
                if count >= MAX_MEMBERS:
                    raise BadArchive(f"the archive has more than {MAX_MEMBERS} members")
                name = _safe_name(member.name)
                left -= max(0, member.size) if member.isreg() else 0
                if left < 0:
                    raise BadArchive(f"the archive unpacks to more than {max_bytes} bytes (reached at member {member.name!r})")
                _place(tar, member, name, target, links)
            while piece := plain.read(CHUNK):
                left -= len(piece)
                if left < 0:
                    raise BadArchive(f"the archive unpacks to more than {max_bytes} bytes (after its last member)")
    except BadArchive:
        raise
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError, RecursionError) as error:
        raise BadArchive(f"not a gzip-compressed tar archive, or a damaged one: {error}") from None
    _make_links(target, links)


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, name: str, target: Path, links: list[tuple[str, str]]) -> None:
    path = target / name
    try:
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(tar.extractfile(member), path, member)
        elif member.issym():
            links.append((name, member.linkname))
        elif member.islnk():
            path.parent.mkdir(parents=True, exist_ok=True)
            source = target / _safe_name(member.linkname)
            if not stat.S_ISREG(os.lstat(source).st_mode):
                raise BadArchive(f"member {member.name!r} is a hard link to something that is no file")
            path.unlink(missing_ok=True)
            os.link(source, path)
        else:
            raise BadArchive(f"member {member.name!r} is a device or a pipe")
    except (FileExistsError, NotADirectoryError, IsADirectoryError, FileNotFoundError) as error:
        raise BadArchive(f"member {member.name!r} does not fit to the others: {error.strerror}") from None
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP):
            raise  # the disk's trouble, not the archive's
        raise BadArchive(f"member {member.name[:255]!r} has a name that no file can have: {error.strerror}") from None


def _write(source, path: Path, member: tarfile.TarInfo) -> None:
    path.unlink(missing_ok=True)  # a later member of the same name replaces the earlier one, as tar does
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600 | member.mode & 0o755)
    with open(fd, "wb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
    with contextlib.suppress(OverflowError, ValueError, OSError):  # a time that no file can have
        os.utime(path, (member.mtime, member.mtime))


def _safe_name(name: str) -> str:
    if name.startswith("/"):
        raise BadArchive(f"member {name!r} has an absolute path")
    if "\0" in name or ".." in name.split("/"):
        raise BadArchive(f"member {name!r} leads out of the folder")
    return posixpath.normpath(name)


def _make_links(target: Path, links: list[tuple[str, str]]) -> None:
    root = os.path.realpath(target)
    for name, text in links:
        path = target / name
        if os.path.isabs(text):
            raise BadArchive(f"member {name!r} is a link to an absolute path, {text!r}")
        if not _inside(os.path.realpath(path.parent), root):  # through an earlier link, which is judged only below
            raise BadArchive(f"member {name!r} leads out of the folder")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                path.unlink()
            path.symlink_to(text)
        except (OSError, ValueError) as error:
            raise BadArchive(f"member {name[:255]!r} does not fit to the others: {getattr(error, 'strerror', error)}") from None
    for name, text in links:  # judged when all are there: one link can bend another
        if not _inside(os.path.realpath(target / name), root):
            raise BadArchive(f"member {name!r} is a link out of the folder, to {text!r}")


def _inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root + "/")


def pack(folder: Path, archive: Path, seen_as: str = "") -> list[str]:
    """Pack the contents of `folder` (at the tar's root) into `archive`; answers what was left out, with the reason.

    The same folder gives the same bytes: sorted, owned by root, no time of packing. Links that stay inside are kept
    as relative links; `seen_as` is where the folder was in the box (`/opt/ml/model`), so that absolute links made there
    are understood. Links that lead elsewhere, devices, pipes and sockets are left out: nothing outside is ever read.
    The archive appears under its name only when it is whole.
    """
    left_out: list[str] = []
    temporary = archive.with_name(archive.name + ".tmp")
    try:
        with (
            open(temporary, "wb") as raw,
            gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, kind in _contents(folder, left_out, seen_as):
                _add(tar, folder, name, kind)
        os.rename(temporary, archive)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    return left_out


def files(folder: Path, left_out: list[str] | None = None) -> Iterator[tuple[str, Path]]:
    """The regular files below `folder` as (relative name, path), sorted, for an upload one by one; links are followed
    only to files inside. What is left out is added to `left_out`."""
    skipped = left_out if left_out is not None else []
    root = os.path.realpath(folder)
    for name, kind in _contents(folder, skipped, ""):
        path = folder / name
        if kind == "link":
            path = Path(os.path.realpath(path))
            if not path.is_file() or not _inside(str(path), root):
                continue
        if kind != "folder":
            yield name, path


def _contents(folder: Path, left_out: list[str], seen_as: str) -> Iterator[tuple[str, str]]:
    """(relative name, "folder" | "file" | link text as "link" or "link:text"), folders before what is in them."""
    root = os.path.realpath(folder)
    queue = [""]
    while queue:
        below = queue.pop()
        for entry in sorted(os.scandir(os.path.join(root, below)), key=lambda entry: entry.name):
            name = posixpath.join(below, entry.name)
            if entry.is_symlink():
                text = _link_text(root, name, seen_as)
                if text is None:
                    left_out.append(f"{name} is a link that leads out of the folder")
                else:
                    yield name, "link" if text == os.readlink(entry.path) else f"link:{text}"
            elif entry.is_dir(follow_symlinks=False):
                yield name, "folder"
                queue.append(name)
            elif entry.is_file(follow_symlinks=False):
                yield name, "file"
            else:
                left_out.append(f"{name} is a device, pipe or socket")


def _link_text(root: str, name: str, seen_as: str) -> str | None:
    """The text of a link as a relative one, or None when it does not stay inside."""
    path = os.path.join(root, name)
    text = os.readlink(path)
    if os.path.isabs(text):
        if not seen_as or not _inside(posixpath.normpath(text), seen_as):
            return None
        text = posixpath.relpath(root + posixpath.normpath(text)[len(seen_as) :], os.path.dirname(path))
    where = os.path.realpath(os.path.join(os.path.dirname(path), text))
    return text if _inside(where, root) else None


def _add(tar: tarfile.TarFile, folder: Path, name: str, kind: str) -> None:
    path = os.path.join(folder, name)
    seen = os.lstat(path)
    info = tarfile.TarInfo(name)
    info.mtime, info.mode, info.uname, info.gname = int(seen.st_mtime), stat.S_IMODE(seen.st_mode) & 0o755, "root", "root"
    if kind == "folder":
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif kind == "file":
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            info.size = os.fstat(fd).st_size
            tar.addfile(info, file)
    else:
        info.type, info.mode = tarfile.SYMTYPE, 0o777
        info.linkname = kind[5:] if kind.startswith("link:") else os.readlink(path)
        tar.addfile(info)
