import pytest

from data_pipelines import files


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    files.write_whole(path, "ü")
    files.write_whole(path, "ö")
    assert path.read_text("utf-8") == "ö"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_a_crash_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    files.write_whole(path, "old")

    def crash(path):
        raise OSError("no space left on device")

    monkeypatch.setattr(files, "make_durable", crash)
    with pytest.raises(OSError, match="no space"):
        files.write_whole(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
