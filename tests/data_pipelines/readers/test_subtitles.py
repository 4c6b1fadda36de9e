import json

import pytest

from data_pipelines.readers import subtitles
from data_pipelines.readers.errors import InputError, Tally
from data_pipelines.readers.subtitles import read_subtitle_file, read_subtitle_lines
from data_pipelines.schema import Subtitle

SRT = """1
00:00:00,500 --> 00:00:01,900
<i>Good</i> morning,
everyone.

2
00:00:02,000 --> 00:00:04,250
{\\an8}早上好。
"""
VTT = """WEBVTT - a title

NOTE nobody
reads this

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.500 align:start
<v Ann>Hello <c.loud>there</c>.

01:00:00.000 --> 01:00:01.000
Late.
"""


def cue(start, end, text="Hi."):
    return f"1\n{clock(start)} --> {clock(end)}\n{text}\n\n"


def clock(seconds):
    return f"00:00:{seconds:06.3f}".replace(".", ",")


def read(path, text, *, duration=60.0, tally=None):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_subtitle_file(path, duration=duration, tally=tally or Tally())


def test_subrip_is_read_without_its_markup(tmp_path):
    assert read(tmp_path / "v.en.srt", SRT) == (
        Subtitle("Good morning, everyone.", 0.5, 1.9),
        Subtitle("早上好。", 2.0, 4.25),
    )


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path, end):
    plain = read(tmp_path / "v.srt", SRT)
    assert read(tmp_path / "v.srt", "\ufeff" + SRT.replace("\n", end)) == plain


def test_webvtt_is_read_without_notes_styles_and_markup(tmp_path):
    assert read(tmp_path / "v.vtt", VTT, duration=4000.0) == (
        Subtitle("Hello there.", 1.0, 2.5),
        Subtitle("Late.", 3600.0, 3601.0),
    )


def test_no_dialogue_and_wordless_cues_are_valid(tmp_path):
    assert read(tmp_path / "v.srt", "") == ()
    assert read(tmp_path / "v.srt", cue(1, 2, "")) == (Subtitle("", 1.0, 2.0),)


ODDITIES = {
    subtitles.OVERLAP: (cue(1, 3) + cue(2, 4), [(1, 3), (2, 4)]),
    subtitles.UNSORTED: (cue(5, 6) + cue(1, 2), [(1, 2), (5, 6)]),
    subtitles.ZERO_LENGTH: (cue(1, 1) + cue(2, 3), [(2, 3)]),
    subtitles.IDENTICAL: (cue(1, 2) + cue(1, 2), [(1, 2), (1, 2)]),
    subtitles.LATE: (cue(1, 2) + cue(10.5, 12), [(1, 2)]),
    subtitles.LONG: (cue(9, 12), [(9, 10)]),
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_what_wanders_is_put_right_and_counted(tmp_path, oddity):
    text, kept = ODDITIES[oddity]
    tally = Tally()
    found = read(tmp_path / "v.srt", text, duration=10.0, tally=tally)
    assert [(line.start, line.end) for line in found] == kept
    assert tally[oddity] == 1
    assert len(tally.lines()) == 1
    assert "v.srt:" in tally.lines()[0]


def test_an_end_just_past_the_video_is_rounding(tmp_path):
    tally = Tally()
    (line,) = read(tmp_path / "v.srt", cue(9, 11.5), duration=10.0, tally=tally)
    assert line.end == 10.0
    assert tally.lines() == []


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (cue(5, 1), ":2: end: ", "ends (1) before it starts (5)"),
        (cue(12, 13), ":2: start: ", "starts at 12, after the video ends (10)"),
        (cue(1, 2) + "2\n00:00:nan --> 00:00:02,000\nHi.\n", ":6: times: ", "found"),
        ("1\n-00:00:01,000 --> 00:00:02,000\nHi.\n", ":2: times: ", "found '-00:00"),
        ("1\n00:00:01 --> 00:00:02\nHi.\n", ":2: times: ", "found '00:00:01 -->"),
        ("1\n00:99:01,0 --> 00:99:02,0\nHi.\n", ":2: times: ", "found '00:99"),
        (cue(1, 2)[:-1] + "00:00:03,0 -> 00:00:04,0\nHi.\n", ":2: text: ", "within"),
        ("1\n", ":1: times: ", "found '1'"),
        ("Just text.\nMore.\n", ":2: times: ", "found 'More.'"),
        ("<html></html>\n", ":1: times: ", "found '<html></html>'"),
        ("1\n900:00:00,0 --> 900:00:01,0\n\n", ":2: start: ", "0 to 86400 seconds"),
        ("1\n00:00:01,0 --> 00:00:02,0\n" + "a" * 2001, ":2: text: ", "at most 2000"),
        ("é".encode("cp1252"), ": ", "not UTF-8 at byte 0 (0xe9)"),
        (SRT.encode("utf-16"), ": ", "not UTF-8 at byte 0 (0xff)"),
    ],
)
def test_a_bad_cue_is_named_with_file_and_line(tmp_path, text, place, message):
    file = tmp_path / "v.srt"
    with pytest.raises(InputError) as error:
        read(file, text, duration=10.0)
    assert str(error.value).startswith(f"{file}{place}")
    assert message in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v.txt", "expected a name that ends in .srt or .vtt, found '.txt'"),
        ("v.vtt", ":1: expected WEBVTT (is it an .srt file?)"),
    ],
)
def test_a_file_of_another_format_is_refused(tmp_path, name, message):
    with pytest.raises(InputError) as error:
        read(tmp_path / name, SRT)
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"v.srt: is missing"):
        read_subtitle_file(tmp_path / "v.srt", duration=1.0, tally=Tally())


# JSON lines.

GOOD = {"vid_name": "v1", "sub": [{"text": "Hi.", "start": 1, "end": 2.5}]}


def read_lines(path, rows, **options):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"language": "en", "durations": {"v1": 10.0, "v2": 20.0}, **options}
    return read_subtitle_lines(path, **{"tally": Tally(), **options})


def test_json_lines_are_read_by_video(tmp_path):
    rows = [GOOD, {"vid_name": "v2", "sub": []}]
    assert read_lines(tmp_path / "s.jsonl", rows) == {
        "v1": {"en": (Subtitle("Hi.", 1.0, 2.5),)},
        "v2": {"en": ()},
    }


def test_json_lines_may_hold_several_languages(tmp_path):
    sub = [{"text": {"en": "Hi.", "zh": "嗨。"}, "start": 1, "end": 2}]
    found = read_lines(tmp_path / "s.jsonl", [{"vid_name": "v1", "sub": sub}])
    assert found["v1"] == {
        "en": (Subtitle("Hi.", 1.0, 2.0),),
        "zh": (Subtitle("嗨。", 1.0, 2.0),),
    }


def line(**fields):
    return {"text": "Hi.", "start": 1, "end": 2, **fields}


@pytest.mark.parametrize(
    ("sub", "message"),
    [
        (None, "sub: expected a list of objects, found null"),
        ([line(), 3], "sub[1]: expected an object, found a number 3"),
        ([line(), line(), line(start="1")], "sub[2].start: expected seconds"),
        ([line(start=3)], "sub[0].end: ends (2) before it starts (3)"),
        ([line(start=-1)], "sub[0].start: expected 0 to 86400 seconds, found -1"),
        ([line(end=float("nan"))], "sub[0].end: expected seconds, found nan"),
        ([line(end=True)], "sub[0].end: expected seconds, found a boolean True"),
        ([line(start=12, end=13)], "sub[0].start: starts at 12, after the video"),
        ([line(text=None)], "sub[0].text: expected text, found null"),
        ([line(text={"en": 3})], "sub[0].text.en: expected text, found a number 3"),
        ([line(text={"x!": "a"})], "sub[0].text: 'x!' is no language code"),
        ([{"text": "Hi.", "end": 2}], "sub[0].start: is missing"),
    ],
)
def test_a_bad_line_is_named_with_its_index(tmp_path, sub, message):
    rows = [{"vid_name": "v2", "sub": []}, {"vid_name": "v1", "sub": sub}]
    with pytest.raises(InputError) as error:
        read_lines(tmp_path / "s.jsonl", rows)
    assert f"s.jsonl:2: {message}" in str(error.value)


def test_unknown_and_repeated_videos_are_refused_or_dropped(tmp_path):
    file, tally = tmp_path / "s.jsonl", Tally()
    with pytest.raises(InputError, match="'v1' was already used"):
        read_lines(file, [GOOD, GOOD])
    unknown = {"vid_name": "v9", "sub": []}
    with pytest.raises(InputError, match="'v9' is not among the 2 videos"):
        read_lines(file, [unknown])
    assert read_lines(file, [unknown], allow_missing=True, tally=tally) == {}
    assert tally["subtitles of unknown videos, dropped"] == 1


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"ends in .jsonl, found '.srt'"):
        read_lines(tmp_path / "s.srt", [GOOD])
