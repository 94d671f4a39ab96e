"""Tar headers: what Python's own tarfile writes is found again, what is hostile is refused."""

import io
import tarfile
from pathlib import Path

import pytest

from clipsearch.errors import UsageError
from clipsearch.pairs.tar_members import tar_members
from tests.pairs.layouts import write_tar

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def contents(path: Path) -> dict[str, bytes]:
    data = path.read_bytes()
    return {m.name: data[m.offset : m.offset + m.size] for m in tar_members(str(path))}


@pytest.mark.parametrize("format", FORMATS)
def test_members_are_where_tarfile_put_them(tmp_path: Path, format: int) -> None:
    members = {
        "a.jpg": b"x" * 511,
        "b.jpg": b"y" * 512,
        "c.jpg": b"",
        "train/" * 3 + "d" * 90 + ".jpg": b"z" * 513,
        "e.txt": b"end",
    }
    assert contents(write_tar(tmp_path / "t.tar", members.items(), format)) == members


@pytest.mark.parametrize("format", FORMATS[1:])
def test_long_names_and_names_in_other_scripts(tmp_path: Path, format: int) -> None:
    members = {"dir/" * 60 + "f.jpg": b"1", "狗/ä.jpg": b"2", "last.jpg": b"3"}
    assert contents(write_tar(tmp_path / "t.tar", members.items(), format)) == members


def test_a_size_that_only_the_pax_header_knows(tmp_path: Path) -> None:
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a.jpg")
        member.pax_headers = {"size": "5"}
        archive.addfile(member, io.BytesIO(b""))  # the header itself says 0
    data = path.read_bytes().rstrip(b"\0")
    data += b"\0" * (-len(data) % 512) + b"12345".ljust(512, b"\0")
    path.write_bytes(data)
    assert contents(path) == {"a.jpg": b"12345"}


def test_links_devices_and_folders_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo("evil.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        folder = tarfile.TarInfo("folder.jpg")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        good = tarfile.TarInfo("good.jpg")
        good.size = 3
        archive.addfile(good, io.BytesIO(b"abc"))
    assert contents(path) == {"good.jpg": b"abc"}


def test_a_link_that_claims_a_size_has_no_data(tmp_path: Path) -> None:
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("evil.jpg")
        link.type, link.linkname, link.size = tarfile.SYMTYPE, "x", 100_000
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("good.jpg"))
    assert list(contents(path)) == ["good.jpg"]


def test_names_that_climb_are_only_names(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar", [("../../etc/x.jpg", b"1"), ("/abs.jpg", b"2")])
    assert contents(path) == {"../../etc/x.jpg": b"1", "/abs.jpg": b"2"}


def header(**changed: bytes) -> bytes:
    """A ustar header of an empty `a.jpg`, with fields replaced and the checksum put right."""
    block = bytearray(tarfile.TarInfo("a.jpg").tobuf(tarfile.USTAR_FORMAT))
    places = {"size": slice(124, 136), "type": slice(156, 157)}
    for field, value in changed.items():
        block[places[field]] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a tar archive"),
        (b"x" * 2048, "is not a tar archive"),
        (b"\x1f\x8b" + b"\0" * 1022, "Compressed archives have to be uncompressed"),
        (header(size=b"00000002000\0") + b"x" * 1000, "ends inside of a file, at byte 1,512"),
        (header(size=b"\x80" + b"\xff" * 11), "ends inside of a file"),
        (header(size=b"\xff" * 12), "is not a tar archive"),  # a negative size
        (header(size=b"-0000000100\0"), "is not a tar archive"),
        (header() + b"x" * 512, "is damaged at byte 512"),
        (header().replace(b"a.jpg", b"b.jpg"), "is not a tar archive"),  # not its checksum
        (header(type=b"x", size=b"00000000012\0") + b"99 path=a\n".ljust(512), "is damaged at"),
        (header(type=b"x", size=b"00000000012\0") + b"0 path=ab\n".ljust(512), "is damaged at"),
        (header(type=b"x", size=b"00000000011\0") + b"9 size=x\n".ljust(512), "is damaged at"),
        (header(type=b"L", size=b"00010000000\0") + bytes(2**21), "is damaged at"),
    ],
)
def test_hostile_archives_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "t.tar"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=message):
        list(tar_members(str(path)))


def test_every_single_byte_of_damage_ends_in_an_answer(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar", [("a.jpg", b"1"), ("b.jpg", b"22")], tarfile.PAX_FORMAT)
    good = path.read_bytes()[:2048]
    for place in range(0, len(good), 3):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x81]) + good[place + 1 :])
        try:
            found = list(tar_members(str(path)))
        except UsageError:
            continue
        assert all(member.offset + member.size <= len(good) for member in found)


def test_an_archive_cut_anywhere_is_refused_or_a_beginning(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar", [("a.jpg", b"1" * 600), ("b.jpg", b"22")])
    good = path.read_bytes()
    whole = list(tar_members(str(path)))
    for end in range(512, 2600, 100):
        path.write_bytes(good[:end])
        try:
            found = list(tar_members(str(path)))
        except UsageError:
            continue
        assert found == whole[: len(found)]
