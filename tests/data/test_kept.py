"""Arrays kept in a file: used where whole, computed again where damaged, and no reason to stop where they cannot be."""

import numpy as np
import pytest

from helpers.data.kept import kept

ARRAY = np.arange(60, dtype=np.float32).reshape(5, 12)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "cache" / "array.npy"
    path.parent.mkdir()
    return path


def test_computed_once_and_mapped(path):
    assert np.array_equal(kept(path, lambda: ARRAY), ARRAY)
    again = kept(path, lambda: pytest.fail("it is there"))
    assert isinstance(again, np.memmap) and np.array_equal(again, ARRAY)
    assert np.array_equal(np.load(path), ARRAY)  # NumPy's own format
    assert [file.name for file in path.parent.iterdir()] == ["array.npy"]


def damages():
    yield "empty", lambda content: b""
    yield "cut short", lambda content: content[:-40]
    yield "a web page", lambda content: b"<html>quota exceeded</html>"
    for place in (0, 9, 70, 130, -1):
        yield (
            f"a bit at {place}",
            lambda content, place=place: bytes(
                byte ^ (index == place % len(content)) for index, byte in enumerate(content)
            ),
        )


@pytest.mark.parametrize("damage", [damage for _, damage in damages()], ids=[name for name, _ in damages()])
def test_a_damaged_file_is_computed_again(path, damage, capsys):
    kept(path, lambda: ARRAY)
    path.write_bytes(damage(path.read_bytes()))
    assert np.array_equal(kept(path, lambda: ARRAY), ARRAY)
    assert f"{path} is damaged" in capsys.readouterr().out
    kept(path, lambda: pytest.fail("it was mended"))


def test_a_full_disk_costs_time_only(path, monkeypatch, capsys):
    def full(file, array):
        file.write_bytes(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    assert np.array_equal(kept(path, lambda: ARRAY), ARRAY)
    assert "No space left on device" in capsys.readouterr().out
    assert not list(path.parent.iterdir())


def test_a_folder_that_is_gone_costs_time_only(tmp_path, capsys):
    assert np.array_equal(kept(tmp_path / "gone" / "array.npy", lambda: ARRAY), ARRAY)
    assert "could not be kept" in capsys.readouterr().out
