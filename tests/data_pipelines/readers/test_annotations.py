import json

import pytest

from data_pipelines.readers.annotations import (
    Annotations,
    read_annotations,
    read_durations,
    read_indices,
)
from data_pipelines.readers.errors import InputError, Tally
from data_pipelines.schema import Query

GOOD = {
    "desc_id": 7,
    "vid_name": "v1",
    "duration": 60,
    "ts": [3.25, 9],
    "type": "vt",
    "descs": {"en": "Ann sits.", "zh": "安坐下。", "google_zh": "Ann坐。"},
}
MISSING = object()


def read(path, lines, **options):
    """Reads lines: bytes as they are, anything else as JSON."""
    encoded = (
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )
    path.write_bytes(b"\n".join(encoded))
    options = {"videos": {"v1": None, "v2": None}, "tally": Tally(), **options}
    return read_annotations(path, **options)


def changed(**fields):
    row = {**GOOD, **fields}
    return {name: value for name, value in row.items() if value is not MISSING}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tvr_val.jsonl"


def test_a_line_becomes_a_query(file):
    found = read(file, [GOOD, changed(desc_id="8", vid_name="v2", duration=61.4)])
    texts = {"en": "Ann sits.", "zh": "安坐下。", "zh-x-google": "Ann坐。"}
    assert found == Annotations(
        (
            Query("7", texts, "v1", ((3.25, 9.0),), "vt"),
            Query("8", texts, "v2", ((3.25, 9.0),), "vt"),
        ),
        {"v1": 60.0, "v2": 61.4},
    )


def test_the_english_only_format_is_read(file):
    row = changed(descs=MISSING, desc="Ann sits.")
    assert read(file, [row]).queries[0].texts == {"en": "Ann sits."}


def test_test_files_hold_texts_alone(file):
    row = {"desc_id": 7, "descs": {"en": "Ann sits."}}
    (query,) = read(file, [row], is_linked=False).queries
    assert query == Query("7", {"en": "Ann sits."})


def test_a_test_file_with_ground_truth_is_read_with_it(file):
    (query,) = read(file, [GOOD], is_linked=False).queries
    assert query.moments == ((3.25, 9.0),)


def test_blank_lines_and_a_byte_order_mark_are_skipped(file):
    lines = [b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), b"", b"  "]
    assert len(read(file, lines).queries) == 1


@pytest.mark.parametrize(("end", "kept"), [(60.0, 60.0), (60.4, 60.0), (61.5, 60.0)])
def test_an_end_just_past_the_video_is_cut_to_it(file, end, kept):
    found = read(file, [changed(ts=[50, end])])
    assert found.queries[0].moments == ((50.0, kept),)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Cafe\u0301", "Caf\u00e9"),
        (" two\nlines\t", "two lines"),
        ("bell\x07 nul\x00 \u200bzero\ufeff", "bell nul zero"),
        ("\u05e9\u05dc\u05d5\u05dd \u202emirror\u202c", "שלום \u202emirror\u202c"),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "👨\u200d👩\u200d👧"),
        ("ह\u093fन\u094dदी 中文 ไทย", "हिन्दी 中文 ไทย"),
    ],
)
def test_unusual_text_is_accepted(file, text, kept):
    found = read(file, [changed(descs={"en": text})])
    assert found.queries[0].texts["en"] == kept


BAD_FIELDS = {
    "desc_id": [
        (MISSING, "is missing"),
        (None, "expected text or a whole number of up to 18 digits, found null"),
        (True, "expected text or a whole number of up to 18 digits, found a boolean"),
        (1.5, "expected text or a whole number of up to 18 digits, found a number 1.5"),
        (7.0, "expected text or a whole number of up to 18 digits, found a number 7.0"),
        (-1, "expected text or a whole number of up to 18 digits, found a number -1"),
        (10**30, "a whole number of up to 18 digits, found a number 1e+30"),
        ([7], "expected text or a whole number of up to 18 digits, found a list [7]"),
        ({}, "expected text or a whole number of up to 18 digits, found an object"),
        (7, "'7' was already used at"),
        ("7", "'7' was already used at"),
        ("", "'' is not a plain name"),
        ("../7", "'../7' is not a plain name"),
    ],
    "vid_name": [
        (MISSING, "is missing"),
        (None, "expected text, found null"),
        (3, "expected text, found a number 3"),
        ("../v1", "'../v1' is not a plain name"),
        ("a/b", "'a/b' is not a plain name"),
        ("v" * 200, "is not a plain name"),
        ("v9", "'v9' is not among the 2 videos"),
    ],
    "duration": [
        (MISSING, "is missing"),
        (None, "expected seconds, found null"),
        ("60", "expected seconds, found text '60'"),
        (True, "expected seconds, found a boolean True"),
        (float("nan"), "found nan, which is no time"),
        (float("inf"), "found inf, which is no time"),
        (10**30, "expected 0 to 86400 seconds, found 1e+30"),
        (-1, "expected 0 to 86400 seconds, found -1"),
        (0, "is 0, and a video lasts longer"),
    ],
    "ts": [
        (MISSING, "is missing"),
        (None, "expected [start, end] in seconds, found None"),
        ("nan-nan", "expected [start, end] in seconds, found 'nan-nan'"),
        ([1, 2, 3], "expected [start, end] in seconds, found [1, 2, 3]"),
        ([1], "expected [start, end] in seconds, found [1]"),
        (["1", "2"], "expected seconds, found text '1'"),
        ([True, 2], "expected seconds, found a boolean True"),
        ([5, 1], "ends (1) before it starts (5)"),
        ([5, 5], "starts and ends at 5"),
        ([70, 80], "starts at 70, after the video ends (60)"),
        ([60, 61], "starts at 60, after the video ends (60)"),
        ([50, 61.6], "ends at 61.6, after the video ends (60)"),
        ([-1, 5], "expected 0 to 86400 seconds, found -1"),
        ([float("nan"), 5], "found nan, which is no time"),
        ([1, float("inf")], "found inf, which is no time"),
    ],
    "type": [
        (MISSING, "is missing"),
        (None, "expected text, found null"),
        ("x", "expected v, t or vt, found 'x'"),
    ],
    "descs": [
        (MISSING, "is missing"),
        (None, "expected an object, found null"),
        ("Ann sits.", "expected an object, found text 'Ann sits.'"),
        ({}, "holds no text"),
        ({"English language": "a"}, "'English language' is no language code"),
    ],
    "descs.en": [
        (None, "expected text, found null"),
        (5, "expected text, found a number 5"),
        ("", "is empty"),
        ("  \n", "is empty (only spaces or invisible characters)"),
        ("\u200b\u200d\u2060\u3164", "is empty (only spaces or invisible characters)"),
        ("a" * 2001, "has 2001 characters, at most 2000 are allowed"),
        ("a\ud83d", "has half a character (lone surrogate) at position 1"),
    ],
}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [(field, *case) for field, cases in BAD_FIELDS.items() for case in cases],
)
def test_a_bad_field_is_named_with_file_and_line(file, field, value, message):
    fields = {"descs": {"en": value}} if field == "descs.en" else {field: value}
    row = changed(**{"desc_id": 8, **fields})
    assert_refused(file, [GOOD, b"", row], f"{file}:3: {field}: ", message)


def test_a_number_of_six_thousand_digits_is_no_duration(file):
    digits = b"9" * 6000
    line = json.dumps(changed(duration=5)).encode().replace(b": 5,", b": %s," % digits)
    assert_refused(file, [line], "duration: expected seconds, found inf")


def assert_refused(file, lines, *messages, **options):
    with pytest.raises(InputError) as error:
        read(file, lines, **options)
    said = str(error.value)
    for message in messages:
        assert message in said
    assert "\n" not in said
    assert len(said) < 400


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"desc_id": 1', "is not JSON"),
        (b"[1, 2]", "expected a JSON object, found a list [1, 2]"),
        (b"3", "expected a JSON object, found a number 3"),
        (b'{"desc_id": 1, "desc_id": 2}', "key 'desc_id' appears twice"),
        (b'{"descs": {"en": "a", "en": "b"}}', "key 'en' appears twice"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"desc_id": "' + b"\xff" * 3 + b'"}', "not UTF-8 at byte 13 (0xff)"),
        ('{"desc_id": "é"}'.encode("cp1252"), "not UTF-8 at byte 13 (0xe9)"),
        (json.dumps(GOOD).encode("utf-16"), "not UTF-8 at byte 0 (0xff)"),
        (b'{"a": "' + b"x" * (1 << 22) + b'"}', "the line is longer than 4194304"),
        (b"<html>not found</html>", "is not JSON"),
        (b"\x00\x01\x02", "is not JSON"),
    ],
)
def test_a_bad_line_is_named(file, line, message):
    assert_refused(file, [GOOD, line], f"{file}:2: ", message)


def test_an_id_used_twice_is_named_with_both_places(file):
    message = f"desc_id: '7' was already used at {file}:1"
    assert_refused(file, [GOOD, changed(vid_name="v2")], f"{file}:2: ", message)


def test_an_id_used_in_another_file_is_named(file):
    assert_refused(
        file, [GOOD], "was already used at train.jsonl:4", seen={"7": "train.jsonl:4"}
    )


def test_lines_about_one_video_agree_on_its_duration(file):
    assert len(read(file, [GOOD, changed(desc_id=8, duration=61)]).queries) == 2
    message = "duration: found 66, but 'v1' lasts 60 seconds"
    assert_refused(file, [GOOD, changed(desc_id=8, duration=66)], message)
    assert_refused(file, [GOOD], "lasts 30 seconds", videos={"v1": 30.0})


def test_queries_of_unknown_videos_can_be_dropped(file):
    tally = Tally()
    lines = [GOOD, changed(desc_id=8, vid_name="v9")]
    found = read(file, lines, tally=tally, allow_missing=True)
    assert len(found.queries) == 1
    assert tally.lines() == [f"1 x queries of unknown videos, dropped; first: {file}:2"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing.jsonl: is missing"):
        read_annotations(tmp_path / "nothing.jsonl", videos={}, tally=Tally())


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_annotations(tmp_path, videos={}, tally=Tally())


def test_messages_show_nothing_invisible(file):
    row = changed(vid_name="a\u202e\nb" + "x" * 5000)
    assert_refused(file, [row], r"'a\u202e\nbxxx")


# The table of durations.


def durations(path, table):
    path.write_text(json.dumps(table))
    return read_durations(path)


def test_durations_are_read_by_split_in_the_order_of_their_index(tmp_path):
    table = {"val": {"b": [60.5, 2], "a": [30, 1]}, "train": {"c": [2.5, 0]}}
    found = durations(tmp_path / "d.json", table)
    assert {k: list(v.items()) for k, v in found.items()} == {
        "val": [("a", 30.0), ("b", 60.5)],
        "train": [("c", 2.5)],
    }


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "expected a JSON object, found a list []"),
        ({"val": 3}, "val: expected an object, found a number 3"),
        ({"val": {"a": 3}}, "val.a: expected [seconds, index], found 3"),
        ({"val": {"a": [3]}}, "val.a: expected [seconds, index], found [3]"),
        ({"val": {"a": ["3", 1]}}, "val.a: expected seconds, found text '3'"),
        ({"val": {"a": [0, 1]}}, "val.a: is 0"),
        (
            {"val": {"a": [3, True]}},
            "expected a whole index from 0 on, found True",
        ),
        (
            {"val": {"a": [3, "1"]}},
            "expected a whole index from 0 on, found '1'",
        ),
        ({"val": {"a": [3, -1]}}, "val.a: expected a whole index from 0 on, found -1"),
        (
            {"val": {"a": [3, 1], "b": [3, 1]}},
            "val.b: has the index 1, which is that of a",
        ),
        ({"val": {"../a": [3, 1]}}, "val: '../a' is not a plain name"),
        ({"Val!": {}}, "split: 'Val!' is no split name"),
        ({"a": {"v": [3, 1]}, "b": {"v": [3, 2]}}, "b.v: is in the split 'a' already"),
    ],
)
def test_a_bad_table_of_durations_is_refused(tmp_path, table, message):
    with pytest.raises(InputError) as error:
        durations(tmp_path / "d.json", table)
    assert message in str(error.value)


def test_submissions_number_videos_as_the_table_does(tmp_path):
    path = tmp_path / "d.json"
    table = {"val": {"b": [60.5, 2], "a": [30, 1]}, "train": {"c": [2.5, 0]}}
    path.write_text(json.dumps(table))
    assert read_indices(path, "val") == {"b": 2, "a": 1}
    with pytest.raises(InputError, match="test: is missing"):
        read_indices(path, "test")


# The release itself, where a checkout has it.


def test_the_published_files_of_mtvr_are_read(shared):
    folder = shared / "data" / "mtvr"
    table = read_durations(folder / "tvr_video2dur_idx.json")
    assert {split: len(videos) for split, videos in table.items()} == {
        "train": 17_435,
        "val": 2_179,
        "test_public": 1_089,
        "test_challenge": 1_090,
    }
    file, tally = folder / "tvr_zh_en_val_release.jsonl", Tally()
    found = read_annotations(file, videos=table["val"], tally=tally)
    assert len(found.queries) == 10_895
    kinds = [query.kind for query in found.queries]
    assert [kinds.count(kind) for kind in ("v", "t", "vt")] == [8_097, 964, 1_834]
    assert found.queries[0].moments == ((16.48, 33.87),)
    assert tally.lines() == []


def test_ids_that_look_alike_are_two_and_numbers_in_quotes_are_counted(file):
    tally = Tally()
    rows = [changed(desc_id=7), changed(desc_id="007"), changed(desc_id="8")]
    queries = read(file, rows, tally=tally).queries
    assert [query.query_id for query in queries] == ["7", "007", "8"]
    assert tally.lines() == [
        f"1 x desc_ids with a number in quotes, taken as it; first: {file}:3"
    ]


def test_two_names_of_one_language_are_refused(file):
    row = changed(descs={"google_zh": "a", "zh-x-google": "b"})
    message = "descs: 'google_zh' and 'zh-x-google' are one language (keep one of them)"
    assert_refused(file, [row], f"{file}:1: {message}")
    assert_refused(file, [changed(descs={"pt-BR": "a", "pt-br": "b"})], "one language")


def test_texts_are_unescaped_and_what_is_left_must_be_visible(file):
    (query,) = read(file, [changed(descs={"en": "ANN &amp; BEA"})]).queries
    assert query.texts["en"] == "ann & bea"
    assert_refused(file, [changed(descs={"en": "&nbsp;&#8203;"})], "descs.en: is empty")
