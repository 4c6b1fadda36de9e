import json

import numpy as np
import pytest

from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.errors import InputError
from data_pipelines.schema import Question, Statement, Subtitle
from tests.data_pipelines import judged_releases, miniature


def built(dataset, release, split, **options):
    out = release.parent / "out"
    build_dataset(dataset, data_dir=release, out=out, **options)
    return open_corpus(out, dataset, split)


@pytest.fixture
def tvqa(tmp_path):
    return judged_releases.write_tvqa(tmp_path / "raw")


def test_questions_come_with_their_videos_and_dialogue(tvqa):
    corpus = built("tvqa", tvqa, "train")
    assert [v.video_id for v in corpus.videos] == ["v0", "v1"]
    assert corpus.languages == ("en",)
    assert corpus.videos[0].subtitles["en"][0] == Subtitle("Good morning.", 1.0, 2.5)
    assert corpus.queries == ()
    assert len(corpus.questions) == 4
    assert corpus.questions[3] == Question(
        question_id="3",
        video_id="v1",
        texts={"en": "Which box does Ann open in v1?"},
        answers=tuple({"en": f"Box {i}."} for i in (2, 3, 4, 0, 1)),
        label=3,
        moment=(1.0, 4.5),
    )


def test_four_answers_and_files_named_as_released(tmp_path):
    release = judged_releases.write_how2qa(tmp_path / "raw")
    corpus = built("how2qa", release, "val")
    assert [len(q.answers) for q in corpus.questions] == [4, 4]


def test_events_have_no_question_and_a_readable_moment(tmp_path):
    """H-51: the official code never reads a list of times."""
    release = judged_releases.write_vlep(tmp_path / "raw")
    first = built("vlep", release, "train").questions[0]
    assert first.texts == {}
    assert [a["en"] for a in first.answers] == ["Ann opens the box.", "Ann leaves."]
    assert first.moment == (1.0, 4.5)


def test_statements_know_their_contraries(tmp_path):
    release = judged_releases.write_violin(tmp_path / "raw")
    corpus = built("violin", release, "train")
    assert corpus.questions == ()
    text = {"en": "Ann opens a box in v0."}
    assert corpus.statements[1] == Statement("1", "v0", text, True, opposite="0")


def test_the_test_split_keeps_its_answers_to_itself(tvqa):
    questions = built("tvqa", tvqa, "test_public").questions
    assert [(q.label, q.moment) for q in questions] == [(None, None)] * 2


def test_dialogue_of_other_videos_is_left_out_and_counted(tvqa):
    report = build_dataset("tvqa", data_dir=tvqa, out=tvqa.parent / "out")
    assert any("1 x subtitles of unknown videos" in w for w in report.warnings)


def test_frames_tell_the_duration_where_nobody_states_it(tvqa):
    next(tvqa.glob("*dur_idx.json")).unlink()
    with pytest.raises(InputError, match="found no .*dur_idx.json, and no --features"):
        built("tvqa", tvqa, "val")
    videos = judged_releases.VIDEOS
    folder = miniature.write_features(tvqa.parent / "features", videos)
    corpus = built("tvqa", tvqa, "val", features=folder)
    assert corpus.videos[0].duration == 7 * 1.5
    np.testing.assert_array_equal(corpus.features[0], miniature.frames_of("v2"))


def test_a_video_without_duration_or_features_is_named_or_dropped(tvqa):
    row = judged_releases.question(90, "v9", 5)
    file = tvqa / "tvqa_val.jsonl"
    file.write_text(file.read_text() + json.dumps(row) + "\n")
    with pytest.raises(InputError, match="tvqa_val.jsonl: vid_name: 'v9' has no dur"):
        built("tvqa", tvqa, "val")
    corpus = built("tvqa", tvqa, "val", allow_missing=True)
    assert [q.question_id for q in corpus.questions] == ["4", "5"]
    folder = miniature.write_features(tvqa.parent / "features", ["v0", "v1", "v2"])
    with pytest.raises(InputError, match=r"v3.npz: is missing"):
        built("tvqa", tvqa, "val", features=folder)


def test_two_files_of_one_split_are_refused(tvqa):
    other = tvqa / "tvqa_val_release.jsonl"
    other.write_text((tvqa / "tvqa_val.jsonl").read_text())
    with pytest.raises(InputError, match="is the split 'val', as tvqa_val.jsonl is"):
        built("tvqa", tvqa, "val")


def test_a_folder_that_is_not_the_release_is_refused(tmp_path):
    with pytest.raises(InputError, match="found no vlep_<split>.jsonl"):
        build_dataset("vlep", data_dir=tmp_path, out=tmp_path / "out")
