"""model.tar.gz from strangers, output.tar.gz of strangers' code."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.runtime.archives import BadArchive, extract, files, pack

TYPES = {tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE}


def archive(path, *members) -> None:
    """Members are (name, bytes) for files, (name, type, linkname) for the rest."""
    with tarfile.open(path, "w:gz") as tar:
        for name, *rest in members:
            info = tarfile.TarInfo(name)
            if rest[0] not in TYPES:
                info.size = len(rest[0])
                tar.addfile(info, io.BytesIO(rest[0]))
            else:
                info.type, info.linkname = rest[0], rest[1] if len(rest) > 1 else ""
                tar.addfile(info)


def names(path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_files_folders_and_inner_links_arrive(tmp_path):
    archive(
        tmp_path / "a",
        ("./d", tarfile.DIRTYPE),
        ("./d/f", b"data"),
        ("l", tarfile.SYMTYPE, "d/f"),
        ("h", tarfile.LNKTYPE, "d/f"),
        ("d/up", tarfile.SYMTYPE, "../d/f"),
    )
    extract(tmp_path / "a", tmp_path / "out")
    assert [(tmp_path / "out" / name).read_bytes() for name in ("d/f", "l", "h", "d/up")] == [b"data"] * 4


BAD = {
    "dots": [("../evil", b"x")],
    "inner dots": [("a/../../evil", b"x")],
    "absolute": [("/tmp/evil", b"x")],
    "link out": [("l", tarfile.SYMTYPE, "../..")],
    "absolute link": [("l", tarfile.SYMTYPE, "/etc/passwd")],
    "hard link out": [("l", tarfile.LNKTYPE, "../secret")],
    "hard link to nothing": [("l", tarfile.LNKTYPE, "nothing")],
    "device": [("d", tarfile.CHRTYPE)],
    "pipe": [("p", tarfile.FIFOTYPE)],
    "through a link": [("l", tarfile.SYMTYPE, "sub"), ("l/f", b"x")],
    "two links that bend each other": [("d", tarfile.SYMTYPE, "x1/.."), ("x1", tarfile.SYMTYPE, ".")],
    "link loop out": [("a", tarfile.SYMTYPE, "b/.."), ("b", tarfile.SYMTYPE, "."), ("c", tarfile.SYMTYPE, "a/secret")],
    "file in the place of a folder": [("a/b", b"x"), ("a", b"y")],
    "folder in the place of a file": [("a", b"x"), ("a/b", b"y")],
}


@pytest.mark.parametrize("kind", BAD)
def test_what_leads_out_is_refused_and_nothing_is_written_there(tmp_path, kind):
    (tmp_path / "secret").write_text("hush")
    archive(tmp_path / "a", *BAD[kind])
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(BadArchive, match="member"):
        extract(tmp_path / "a", tmp_path / "out" / "deep")
    assert sorted(set(os.listdir(tmp_path)) - {"out"}) == before and os.listdir(tmp_path / "out") == ["deep"]
    assert not os.path.exists("/tmp/evil")


def test_the_message_names_the_member(tmp_path):
    archive(tmp_path / "a", ("fine", b"x"), ("../../etc/cron.d/job", b"x"))
    with pytest.raises(BadArchive, match=r"'../../etc/cron.d/job' leads out"):
        extract(tmp_path / "a", tmp_path / "out")


@pytest.mark.parametrize(
    "content", [b"", b"no archive at all", gzip.compress(b"not a tar file, but long enough" * 100)], ids=["empty", "text", "gzip"]
)
def test_no_archive(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(BadArchive, match="not a gzip-compressed tar archive"):
        extract(tmp_path / "a", tmp_path / "out")


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_cut_off(tmp_path, keep):
    archive(tmp_path / "a", ("f", os.urandom(100_000)))
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(BadArchive):
        extract(tmp_path / "a", tmp_path / "out")


def test_too_big(tmp_path):
    archive(tmp_path / "a", ("f", bytes(2_000_000)))
    with pytest.raises(BadArchive, match="more than 1000000 bytes"):
        extract(tmp_path / "a", tmp_path / "out", max_bytes=1_000_000)


def test_modes_lose_what_is_dangerous(tmp_path):
    with tarfile.open(tmp_path / "a", "w:gz") as tar:
        info = tarfile.TarInfo("f")
        info.mode = 0o6777
        tar.addfile(info)
    extract(tmp_path / "a", tmp_path / "out")
    assert (tmp_path / "out/f").stat().st_mode & 0o7777 == 0o755


@given(st.binary(max_size=2000))
def test_any_bytes_are_an_archive_or_a_bad_one(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "a").write_bytes(gzip.compress(content))
    with contextlib.suppress(BadArchive):
        extract(folder / "a", folder / "out")


def test_packing_the_same_folder_gives_the_same_bytes_at_the_tars_root(tmp_path):
    source = tmp_path / "model"
    (source / "sub").mkdir(parents=True)
    for name in ("b", "a", "sub/c"):
        (source / name).write_text(name)
    assert pack(source, tmp_path / "1.tar.gz") == pack(source, tmp_path / "2.tar.gz") == []
    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()
    assert names(tmp_path / "1.tar.gz") == ["a", "b", "sub", "sub/c"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.tar.gz", "2.tar.gz", "model"]


def test_packing_never_reads_outside(tmp_path):
    (tmp_path / "secret").write_text("hush")
    source = tmp_path / "model"
    (source / "d").mkdir(parents=True)
    (source / "f").write_text("in")
    (source / "d/inner").symlink_to("../f")
    (source / "box").symlink_to("/opt/ml/model/f")
    (source / "out").symlink_to("../secret")
    (source / "absolute").symlink_to(tmp_path / "secret")
    os.mkfifo(source / "pipe")
    left_out = pack(source, tmp_path / "a.tar.gz", seen_as="/opt/ml/model")
    assert {text.split(" ")[0] for text in left_out} == {"out", "absolute", "pipe"}
    extract(tmp_path / "a.tar.gz", tmp_path / "back")
    assert (tmp_path / "back/box").read_text() == (tmp_path / "back/d/inner").read_text() == "in"
    assert b"hush" not in gzip.decompress((tmp_path / "a.tar.gz").read_bytes())


def test_an_empty_folder_packs_to_an_empty_archive(tmp_path):
    (tmp_path / "model").mkdir()
    pack(tmp_path / "model", tmp_path / "a.tar.gz")
    assert names(tmp_path / "a.tar.gz") == []


def test_files_for_an_upload_one_by_one(tmp_path):
    source = tmp_path / "out"
    (source / "d").mkdir(parents=True)
    (source / "d/f").write_text("x")
    (source / "l").symlink_to("d/f")
    (source / "bad").symlink_to("/etc/passwd")
    left_out: list[str] = []
    assert [name for name, _ in files(source, left_out)] == ["l", "d/f"]
    assert left_out == ["bad is a link that leads out of the folder"]
