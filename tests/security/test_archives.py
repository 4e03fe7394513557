"""Archives of strangers, with an attacker's eye: nothing outside the folder, no memory, no crash that is not `BadArchive`."""

from __future__ import annotations

import gzip
import io
import os
import resource
import tarfile

import pytest

from modelyard.runtime import archives
from modelyard.runtime.archives import BadArchive, extract


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def raw(name: str, kind: bytes, size: int, body: bytes = b"") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT) + body + b"\0" * (-len(body) % 512)


def test_a_link_does_not_carry_another_link_out(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").symlink_to("somewhere")
    with tarfile.open(tmp_path / "a", "w:gz") as tar:
        for info in (link("a", "../../outside"), link("a/evil", "../in/target/f"), link("a/kept", "x"), link("a/new/evil", "x")):
            tar.addfile(info)
    with pytest.raises(BadArchive, match="leads out"):
        extract(tmp_path / "a", tmp_path / "in/target")
    assert os.listdir(outside) == ["kept"] and os.readlink(outside / "kept") == "somewhere"


def test_headers_cannot_ask_for_memory(tmp_path):
    with gzip.open(tmp_path / "a", "wb", 1) as file:
        file.write(raw("x", tarfile.XHDTYPE, 1 << 29))
        for _ in range(512):
            file.write(b"\0" * (1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadArchive, match="extended header"):
        extract(tmp_path / "a", tmp_path / "out")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_headers_cannot_recurse(tmp_path):
    with gzip.open(tmp_path / "a", "wb") as file:
        file.write(raw("x", tarfile.XHDTYPE, 10, b"10 a=bcde\n") * 5000 + raw("f", b"0", 0))
    with pytest.raises(BadArchive):
        extract(tmp_path / "a", tmp_path / "out")


ODD = [
    {"mtime": "inf"}, {"mtime": "nan"}, {"mtime": "1e300"}, {"path": "a" * 5000}, {"path": "b/" * 3000 + "c"}, {"GNU.sparse.map": "x"},
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "q"}, {"size": "-5"},
    {"GNU.sparse.size": "99999999999999999999", "GNU.sparse.map": "0,1"},
]  # fmt: skip


@pytest.mark.parametrize("headers", ODD, ids=str)
def test_odd_headers_are_unpacked_or_refused(tmp_path, headers):
    info = tarfile.TarInfo("f")
    info.pax_headers = headers
    with tarfile.open(tmp_path / "a", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(b""))
    try:
        extract(tmp_path / "a", tmp_path / "out")
    except BadArchive as refused:
        assert "member" in str(refused) or "archive" in str(refused)


def test_a_bomb_leaves_the_disk_its_room(tmp_path, monkeypatch):
    free = archives.shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(archives, "SPARE_BYTES", free - (4 << 20))
    with tarfile.open(tmp_path / "a", "w:gz") as tar:
        info = tarfile.TarInfo("bomb")
        info.size = 64 << 20
        tar.addfile(info, io.BytesIO(b"\0" * info.size))
    with pytest.raises(BadArchive, match="unpacks to more than"):
        extract(tmp_path / "a", tmp_path / "out")
    assert not (tmp_path / "out/bomb").exists()
