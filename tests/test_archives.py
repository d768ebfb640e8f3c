"""Archives: unpacked whole or not at all, nothing outside the folder, and named when they are broken."""

import io
import tarfile
import zipfile

import pytest

from helpers import archives


def tar_of(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):  # a link to there
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def zip_of(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("kind", ["tar.gz", "tar", "zip"])
def test_an_archive_is_unpacked(tmp_path, kind):
    make = zip_of if kind == "zip" else tar_of
    archive = make(tmp_path / f"a.{kind}", {"top/one.txt": b"1", "top/under/two.txt": b"2"})
    assert archives.unpack(archive, tmp_path / "out") == tmp_path / "out"
    assert (tmp_path / "out" / "top" / "under" / "two.txt").read_bytes() == b"2"
    assert sorted(file.name for file in tmp_path.iterdir() if file.name.startswith("out")) == ["out"]
    with pytest.raises(FileExistsError, match="unpacked before"):
        archives.unpack(archive, tmp_path / "out")


@pytest.mark.parametrize(
    "make, members, name",
    [
        (tar_of, {"../evil": b"x"}, "evil"),
        (tar_of, {"link": "/etc", "link/passwd": b"x"}, "link"),
        (tar_of, {"link": "../..", "link/evil": b"x"}, "link"),
        (zip_of, {"fine": b"x", "../evil": b"x"}, "evil"),
        (zip_of, {"/tmp/evil": b"x"}, "evil"),
        (zip_of, {"a/../../evil": b"x"}, "evil"),
    ],
)
def test_a_member_that_escapes_is_named_and_nothing_is_unpacked(tmp_path, make, members, name):
    archive = make(tmp_path / "a.archive", members)
    with pytest.raises(ValueError, match=f"a.archive is not safe to unpack: .*{name}"):
        archives.unpack(archive, tmp_path / "deep" / "out")
    assert list((tmp_path / "deep").iterdir()) == [] and not list(tmp_path.rglob("evil"))


def test_a_zero_byte_in_a_name_is_a_broken_archive(tmp_path):
    """Only a pax header can hold one, such as tarfile writes for a name that is not ASCII."""
    archive = tar_of(tmp_path / "a.tar", {"zwölf": b"x"}, "w")
    archive.write_bytes(archive.read_bytes().replace("path=zwölf".encode(), b"path=zw\0\0lf"))
    with pytest.raises(ValueError, match="a.tar is broken or no archive .*zero byte"):
        archives.unpack(archive, tmp_path / "out")


def test_an_absolute_name_in_a_tar_stays_inside(tmp_path):
    """tarfile's data filter takes the leading slash off."""
    archive = tar_of(tmp_path / "a.tar", {"/inside": b"x"})
    assert (archives.unpack(archive, tmp_path / "out") / "inside").read_bytes() == b"x"


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_a_broken_archive_is_named(tmp_path, kind):
    make = zip_of if kind == "zip" else tar_of
    noise = bytes(i * i * 7919 % 251 for i in range(5000))
    archive = make(tmp_path / f"a.{kind}", {"one": noise, "two": noise[::-1]})
    content = archive.read_bytes()
    for broken in (content[: len(content) // 2], content[:100] + bytes(50) + content[150:], b"", b"<html>sorry</html>"):
        archive.write_bytes(broken)
        with pytest.raises(ValueError, match=f"a.{kind} is broken"):
            archives.unpack(archive, tmp_path / "out")
        assert not (tmp_path / "out").exists()
