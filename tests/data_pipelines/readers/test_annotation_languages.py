"""A misspelt language code is refused: it would drop the query without a word."""

import json

import pytest

from data_pipelines.readers.annotations import read_annotations
from data_pipelines.readers.errors import InputError, Tally
from data_pipelines.readers.subtitles import read_subtitle_file


def annotations(tmp_path, descs):
    row = {"desc_id": 1, "vid_name": "a", "duration": 9.0, "ts": [0, 3], "type": "v"}
    path = tmp_path / "tvr_val.jsonl"
    path.write_text(json.dumps(row | {"descs": descs}))
    tally = Tally()
    read_annotations(path, videos={"a": 9.0}, tally=tally, languages=("en", "zh"))
    return tally.lines()


def test_an_undeclared_language_is_refused_by_line_and_name(tmp_path):
    with pytest.raises(
        InputError, match=r"tvr_val.jsonl:1: descs: found language 'cn'"
    ):
        annotations(tmp_path, {"en": "hello", "cn": "你好"})


def test_a_missing_language_is_counted(tmp_path):
    assert "without zh" in " ".join(annotations(tmp_path, {"en": "hello"}))
    assert not annotations(tmp_path, {"en": "hello", "zh": "你好"})


def test_subtitles_without_a_blank_line_between_them_are_refused(tmp_path):
    path = tmp_path / "a.en.srt"
    path.write_text("1\n00:00:05,000 --> 00:00:09,000\nhi\n"
                    "2\n00:00:10,000 --> 00:00:12,000\nyo\n")  # fmt: skip
    with pytest.raises(InputError, match="blank line between two subtitles"):
        read_subtitle_file(path, duration=60.0, tally=Tally())
