import json

import pytest

from data_pipelines.readers.errors import InputError, Tally
from data_pipelines.readers.questions import NO_MOMENT, read_questions, seconds_of
from data_pipelines.readers.reading import Reading
from data_pipelines.schema import Question

TVQA = {
    "qid": 7,
    "q": "What does Ann open?",
    "a0": "A box.",
    "a1": "A door.",
    "answer_idx": 1,
    "vid_name": "v1",
    "ts": "3.20-9.50",
}
VLEP = {
    "example_id": 8,
    "events": ["She sits.", "She leaves."],
    "answer": 0,
    "vid_name": "v1",
    "ts": [3.2, 9.5],
}


def read(tmp_path, *rows, **options):
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"durations": {"v1": 10.0}, "tally": Tally(), **options}
    return read_questions(path, Reading(**options))


def test_a_question_has_answers_a_label_and_a_moment(tmp_path):
    assert read(tmp_path, TVQA) == (
        Question(
            question_id="7",
            video_id="v1",
            texts={"en": "What does Ann open?"},
            answers=({"en": "A box."}, {"en": "A door."}),
            label=1,
            moment=(3.2, 9.5),
        ),
    )


def test_of_two_events_one_follows_and_nobody_asks(tmp_path):
    (question,) = read(tmp_path, VLEP)
    assert question.texts == {}
    assert question.answers == ({"en": "She sits."}, {"en": "She leaves."})
    assert (question.label, question.moment) == (0, (3.2, 9.5))


def test_a_text_may_be_one_per_language(tmp_path):
    row = TVQA | {"a0": {"en": "A box.", "zh": "盒子。"}}
    (question,) = read(tmp_path, row, languages=("en", "zh"))
    assert question.answers[0] == {"en": "A box.", "zh": "盒子。"}


def test_a_test_file_has_neither_answer_nor_moment(tmp_path):
    row = {k: v for k, v in TVQA.items() if k not in ("answer_idx", "ts")}
    (question,) = read(tmp_path, row)
    assert question.label is None and question.moment is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3.2-9.0", (3.2, 9.0)),
        ([3.2, 9], (3.2, 9.0)),
        ("nan-nan", None),
        ("3.2", None),
        ("1-2-3", None),
        (7, None),
        ([1, None], None),
        ("", None),
    ],
)
def test_times_are_two_numbers_or_nothing(value, seconds):
    assert seconds_of(value) == seconds


@pytest.mark.parametrize("ts", ["nan-nan", "9.0-3.0", "11-12", "-1--0.5"])
def test_times_that_say_nothing_are_counted(tmp_path, ts):
    tally = Tally()
    (question,) = read(tmp_path, TVQA | {"ts": ts}, tally=tally)
    assert question.moment is None and tally[NO_MOMENT] == 1


def test_a_moment_ends_with_its_video(tmp_path):
    assert read(tmp_path, TVQA | {"ts": "3-99"})[0].moment == (3.0, 10.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer_idx": 2}, "answer_idx: expected a whole number from 0 to 1, found 2"),
        ({"answer_idx": "1"}, "answer_idx: expected a whole number from 0 to 1, found"),
        ({"a0": ""}, "a0: is empty"),
        ({"q": 3}, "q: expected text, found a number 3"),
        ({"vid_name": "v2"}, "vid_name: 'v2' is not among the 1 videos"),
        ({"q": {"de": "Was?"}}, "q: found language 'de', expected some of"),
    ],
)
def test_a_mistake_is_named_by_line_and_field(tmp_path, change, message):
    with pytest.raises(InputError) as error:
        read(tmp_path, TVQA | {"qid": 1}, TVQA | change, languages=("en",))
    assert f"questions.jsonl:2: {message}" in str(error.value)


def test_too_few_answers_and_too_few_events_are_refused(tmp_path):
    one = {k: v for k, v in TVQA.items() if k != "a1"}
    with pytest.raises(InputError, match="a1: is missing"):
        read(tmp_path, one)
    with pytest.raises(InputError, match="events: expected 2 to 16 texts, found 1"):
        read(tmp_path, VLEP | {"events": ["She sits."]})


def test_an_id_is_used_once(tmp_path):
    with pytest.raises(InputError, match=r"qid: '7' was already used at .*jsonl:1"):
        read(tmp_path, TVQA, TVQA)


def test_lines_about_unknown_videos_are_dropped_when_asked(tmp_path):
    tally = Tally()
    rows = read(tmp_path, TVQA, TVQA | {"vid_name": "v2"}, tally=tally,
                allow_missing=True)  # fmt: skip
    assert len(rows) == 1
    assert tally["lines about unknown videos, dropped"] == 1


@pytest.mark.parametrize("row", [TVQA, VLEP])
def test_a_line_to_train_on_needs_its_label(tmp_path, row):
    label = "answer" if "events" in row else "answer_idx"
    without = {name: value for name, value in row.items() if name != label}
    assert read(tmp_path, without)[0].label is None
    with pytest.raises(InputError, match=f":1: {label}: is missing"):
        read(tmp_path, without, is_labelled=True)


def test_a_gap_among_the_answers_is_named(tmp_path):
    with pytest.raises(InputError, match="a2: is missing, but there is a3"):
        read(tmp_path, TVQA | {"a3": "A window."})
