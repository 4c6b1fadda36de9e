import json

import pytest

from data_pipelines.readers.captions import read_captions
from data_pipelines.readers.errors import InputError, Tally
from data_pipelines.readers.reading import Reading
from data_pipelines.schema import Caption, CaptionedMoment

TVC = {
    "clip_id": 7,
    "vid_name": "v1",
    "duration": 10.0,
    "ts": [3.2, 9.5],
    "descs": [
        {"desc_id": 70, "desc": "Ann sits.", "type": "v", "from_retrieval": True},
        {"desc": {"en": "She rests.", "zh": "她休息。"}},
    ],
}


def read(tmp_path, *rows):
    path = tmp_path / "captions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_captions(path, Reading(durations={"v1": None}, tally=Tally()))


def test_a_moment_has_captions_in_any_language(tmp_path):
    assert read(tmp_path, TVC) == (
        CaptionedMoment(
            moment_id="7",
            video_id="v1",
            moment=(3.2, 9.5),
            captions=(
                Caption("70", {"en": "Ann sits."}, "v"),
                Caption("7-1", {"en": "She rests.", "zh": "她休息。"}),
            ),
        ),
    )


def test_without_times_the_whole_video_is_captioned(tmp_path):
    row = {k: v for k, v in TVC.items() if k not in ("ts", "descs")}
    assert read(tmp_path, row) == (CaptionedMoment("7", "v1"),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ts": [9, 3]}, "ts: ends (3) before it starts (9)"),
        ({"ts": "3-9"}, "ts: expected [start, end] in seconds"),
        ({"descs": ["Ann"]}, "descs[0]: expected an object, found text 'Ann'"),
        ({"descs": [{"desc": "Ann", "type": "x"}]}, "descs[0].type: expected v, t or"),
        ({"clip_id": None}, "clip_id: expected text or a whole number"),
    ],
)
def test_a_mistake_is_named_by_line_and_field(tmp_path, change, message):
    with pytest.raises(InputError) as error:
        read(tmp_path, TVC | change)
    assert f"captions.jsonl:1: {message}" in str(error.value)


@pytest.mark.parametrize("descs", [None, []])
def test_a_moment_to_train_on_needs_a_caption(tmp_path, descs):
    path = tmp_path / "captions.jsonl"
    path.write_text(json.dumps(TVC | {"descs": descs}) + "\n")
    options = {"durations": {"v1": None}, "tally": Tally()}
    assert read_captions(path, Reading(**options))[0].captions == ()
    with pytest.raises(InputError, match=":1: descs: is missing or empty"):
        read_captions(path, Reading(**options, is_labelled=True))


def test_captions_and_durations_agree_with_what_was_read_before(tmp_path):
    again = TVC | {"clip_id": 8}
    with pytest.raises(InputError, match=r":2: descs\[0\].desc_id: '70' was already"):
        read(tmp_path, TVC, again)
    path = tmp_path / "captions.jsonl"
    path.write_text(json.dumps(TVC))
    with pytest.raises(InputError, match=":1: duration: found 10, but 'v1' lasts 60"):
        read_captions(path, Reading(durations={"v1": 60.0}, tally=Tally()))
