"""Archives: unpacked whole or not at all, nothing outside the folder, and named when they are broken."""

import io
import tarfile

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from helpers.data import archives


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


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_an_archive_is_unpacked(tmp_path, mode):
    archive = tar_of(tmp_path / "a.tar", {"top/one.txt": b"1", "top/under/two.txt": b"2"}, mode)
    archives.unpack(archive, tmp_path / "out")
    assert (tmp_path / "out" / "top" / "under" / "two.txt").read_bytes() == b"2"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tar", "out"]


@pytest.mark.parametrize(
    "members, name",
    [
        ({"fine": b"x", "../evil": b"x"}, "evil"),
        ({"a/../../evil": b"x"}, "evil"),
        ({"link": "/etc", "link/passwd": b"x"}, "link"),
        ({"link": "../..", "link/evil": b"x"}, "link"),
    ],
)
def test_a_member_that_escapes_is_named_and_lands_nowhere(tmp_path, members, name):
    archive = tar_of(tmp_path / "a.archive", members)
    with pytest.raises(ValueError, match=f"a.archive is not safe to unpack: .*{name}"):
        archives.unpack(archive, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("evil"))


def test_a_zero_byte_in_a_name_is_a_broken_archive(tmp_path):
    """Only a pax header can hold one, such as tarfile writes for a name that is not ASCII."""
    archive = tar_of(tmp_path / "a.tar", {"zwölf": b"x"}, "w")
    archive.write_bytes(archive.read_bytes().replace("path=zwölf".encode(), b"path=zw\0\0lf"))
    with pytest.raises(ValueError, match="a.tar is broken or no archive .*zero byte"):
        archives.unpack(archive, tmp_path / "out")


def test_an_absolute_name_in_a_tar_stays_inside(tmp_path):
    """tarfile's data filter takes the leading slash off."""
    archive = tar_of(tmp_path / "a.tar", {"/inside": b"x"})
    archives.unpack(archive, tmp_path / "out")
    assert (tmp_path / "out" / "inside").read_bytes() == b"x"


def test_a_broken_archive_is_named(tmp_path):
    noise = bytes(i * i * 7919 % 251 for i in range(5000))
    archive = tar_of(tmp_path / "a.tar.gz", {"one": noise, "two": noise[::-1]})
    content = archive.read_bytes()
    for broken in (content[: len(content) // 2], content[:100] + bytes(50) + content[150:], b"", b"<html>sorry</html>"):
        archive.write_bytes(broken)
        with pytest.raises(ValueError, match="a.tar.gz is broken"):
            archives.unpack(archive, tmp_path / "out")


# --- Pictures

LEVELS = np.arange(0, 256, 17, dtype=np.uint8).reshape(2, 8)  # exact in 8 and in 16 bits


def file_of(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def wide(kind, format):
    return file_of(Image.fromarray((LEVELS.astype(kind)) * 257), format)


def grey(mode, format, **options):
    return file_of(Image.fromarray(LEVELS).convert(mode), format, **options)


@pytest.mark.parametrize(
    "content",
    [
        grey("L", "PNG"),
        grey("LA", "PNG"),
        grey("P", "PNG"),
        grey("RGB", "PNG"),
        grey("RGBA", "WEBP", lossless=True),
        grey("CMYK", "TIFF"),
        grey("L", "BMP"),
        grey("I", "TIFF"),
        grey("F", "TIFF"),
        wide("<u2", "PNG"),
        wide("<u2", "TIFF"),
        wide(">u2", "TIFF"),
        wide("i4", "TIFF"),
        wide("<u2", "PPM"),
        file_of(Image.fromarray(LEVELS / np.float32(255)), "TIFF"),
        file_of(Image.fromarray(LEVELS * np.float32(1000) - 5000), "TIFF"),
    ],
)
def test_a_picture_of_every_mode_and_depth_is_read_as_it_looks(content):
    np.testing.assert_array_equal(archives.picture(content, "x"), np.repeat(LEVELS[..., None], 3, axis=2))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value, seen", [(-5, 0), (np.nan, 0), (np.inf, 0), (0, 0), (1, 255), (200, 200)])
def test_a_picture_of_one_float_has_a_level(value, seen):
    assert (archives.picture(file_of(Image.new("F", (3, 2), value), "TIFF"), "x") == seen).all()


def test_a_picture_of_two_colours_in_lab_and_ycbcr():
    colours = Image.new("RGB", (32, 16), (200, 30, 30))
    colours.paste((20, 60, 180), (16, 0, 32, 16))
    lab = ImageCms.profileToProfile(
        colours, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    for content in (file_of(lab, "TIFF"), file_of(colours.convert("YCbCr"), "TIFF"), file_of(colours, "JPEG")):
        np.testing.assert_allclose(archives.picture(content, "x")[8, [4, 28]], [(200, 30, 30), (20, 60, 180)], atol=8)


def test_what_is_transparent_lies_on_white():
    black = Image.new("L", (4, 2))
    half = Image.merge("RGBA", [black] * 3 + [Image.new("L", (4, 2), 51)])  # a fifth of it is opaque
    palette = black.convert("P")
    for content, seen in (
        (file_of(half, "PNG"), 204),
        (file_of(half.convert("LA"), "PNG"), 204),
        (file_of(palette, "PNG", transparency=0), 255),
        (file_of(palette, "GIF", transparency=0), 255),
        (file_of(black, "PNG", transparency=0), 255),
        (file_of(black.convert("RGB"), "PNG", transparency=(0, 0, 0)), 255),
    ):
        assert (archives.picture(content, "x") == seen).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format, dtype", [("PNG", np.uint8), ("TIFF", np.uint8), ("WEBP", np.uint8), ("PNG", "<u2")])
def test_a_picture_stands_upright(format, dtype, orientation):
    """Its EXIF says how it lies. The transpositions are those of the standard (EXIF 2.3, tag 274)."""
    upright = LEVELS if dtype == np.uint8 else LEVELS.astype(dtype) * 257
    lying = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    lossless = {"lossless": True} if format == "WEBP" else {}
    content = file_of(Image.fromarray(np.ascontiguousarray(lying)), format, exif=exif, **lossless)
    np.testing.assert_array_equal(archives.picture(content, "x")[..., 0], LEVELS)
