"""The user's code: fetched, unpacked safely and prepared."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile

from .s3 import download


class ArchiveError(Exception):
    """An archive that is not one, or whose members would leave the target folder."""


def fetch(uri: str, target: str) -> None:
    """Put the code at `uri` (`s3://…tar.gz`, a folder, an archive, one file) into the folder `target`.

    A folder that already holds something is left alone: the platform, or the image, has put the code there.
    """
    os.makedirs(target, exist_ok=True)
    if os.listdir(target) or os.path.abspath(uri) == os.path.abspath(target):
        return
    if uri.startswith("s3://"):
        with tempfile.TemporaryDirectory() as folder:
            archive = os.path.join(folder, "sourcedir.tar.gz")
            download(uri, archive)
            unpack(archive, target)
    elif os.path.isdir(uri):
        shutil.copytree(uri, target, dirs_exist_ok=True)
    elif not os.path.exists(uri):
        raise FileNotFoundError(f"sagemaker_submit_directory {uri} does not exist")
    elif tarfile.is_tarfile(uri):
        unpack(uri, target)
    else:
        shutil.copy2(uri, target)


def unpack(archive: str, target: str) -> None:
    """Extract a tar archive; members that point outside `target`, links that do, and devices are refused."""
    root = os.path.realpath(target)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _check(member, root)
                tar.extract(member, target, set_attrs=True, numeric_owner=False)
    except tarfile.ReadError as error:
        raise ArchiveError(f"{os.path.basename(archive)} is not a tar archive: {error}") from None


def _check(member: tarfile.TarInfo, root: str) -> None:
    place = os.path.realpath(os.path.join(root, member.name))
    if place != root and not place.startswith(root + os.sep):
        raise ArchiveError(f"Archive member {member.name!r} would be written outside of the target folder")
    if member.isdev():
        raise ArchiveError(f"Archive member {member.name!r} is a device")
    if member.islnk() or member.issym():
        base = os.path.dirname(place) if member.issym() else root
        aim = os.path.realpath(os.path.join(base, member.linkname))
        if os.path.isabs(member.linkname) or not (aim == root or aim.startswith(root + os.sep)):
            raise ArchiveError(f"Archive member {member.name!r} links outside of the target folder")
    member.uid = member.gid = 0 if os.geteuid() == 0 else os.geteuid()
    member.mode = (member.mode or 0o644) & 0o755 | 0o600
