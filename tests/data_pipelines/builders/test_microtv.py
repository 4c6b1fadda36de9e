import json

import numpy as np
import pytest

from data_pipelines.build import build_dataset
from data_pipelines.builders.frames import frames_in
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.errors import InputError
from tests.data_pipelines import miniature


@pytest.fixture
def release(tmp_path):
    miniature.write_features(tmp_path / "features")
    return miniature.write_microtv(tmp_path / "raw")


def build(release, **options):
    options = {"features": release.parent / "features", **options}
    return build_dataset(
        "microtv", data_dir=release, out=release.parent / "out", **options
    )


@pytest.mark.parametrize(
    ("duration", "interval", "frames"),
    [(4.5, 1.5, 3), (4.6, 1.5, 4), (0.2, 1.5, 1), (0.3, 0.1, 3), (61.46, 1.5, 41)],
)
def test_a_started_interval_is_a_frame(duration, interval, frames):
    assert frames_in(duration, interval) == frames


def test_a_video_without_queries_lasts_as_long_as_its_frames(release):
    (release / "annotations" / "tvr_val.jsonl").write_text("")
    build(release)
    corpus = open_corpus(release.parent / "out", "microtv", "val")
    assert corpus.videos[0].duration == 8 * 1.5
    assert corpus.queries == ()


def test_without_features_the_frames_are_extracted_from_the_videos(
    release, monkeypatch
):
    (release / "videos").mkdir()
    for video_id in miniature.VIDEOS:
        (release / "videos" / f"{video_id}.mp4").write_text(video_id)
    calls = []

    def extract(videos, out, *, extractor, interval, workers):
        calls.append((videos, interval, workers))
        ids = [path.stem for path in videos.iterdir()]
        miniature.write_features(out, set(ids) - {path.stem for path in out.iterdir()})

    monkeypatch.setattr("data_pipelines.builders.microtv.extract_features", extract)
    assert build(release, features=None, workers=3).is_new
    assert calls == [(release / "videos", 1.5, 3)]
    corpus = open_corpus(release.parent / "out", "microtv", "test")
    np.testing.assert_array_equal(corpus.features[1], miniature.frames_of("v5"))
    assert not build(release, features=None).is_new


def test_frames_of_videos_that_changed_are_extracted_again(release, monkeypatch):
    (release / "videos").mkdir()
    for video_id in miniature.VIDEOS:
        (release / "videos" / f"{video_id}.mp4").write_text(video_id)
    stale = []

    def extract(videos, out, **_):
        stale.append(sorted(path.name for path in out.glob("*.npz")))
        if not stale[-1]:
            miniature.write_features(out)

    monkeypatch.setattr("data_pipelines.builders.microtv.extract_features", extract)
    build(release, features=None)
    build(release, features=None)
    (release / "videos" / "v0.mp4").write_text("another")
    build(release, features=None)
    assert [len(names) for names in stale] == [0, 6, 0]


def change_manifest(release, **fields):
    file = release / "manifest.json"
    miniature.write_json(file, json.loads(file.read_text()) | fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 2}, "format: found 2, expected 1"),
        ({"format": True}, "format: expected a whole number, found a boolean True"),
        ({"format": 1.0}, "format: expected a whole number, found a number 1.0"),
        ({"languages": ["en", "zh", "en"]}, "languages: 'en' is listed already"),
        ({"languages": ["pt-BR", "pt-br"]}, "languages: 'pt-br' is listed already"),
        ({"splits": {}}, "splits: holds no split"),
        ({"splits": {"train": ["v0"], "val": []}}, "splits.val: holds no video"),
        ({"languages": []}, "languages: expected a list of language codes, found []"),
        ({"languages": "en"}, "languages: expected a list of language codes, found te"),
        ({"languages": ["en", "Z!"]}, "languages: 'Z!' is no language code"),
        ({"splits": {"test": "v1"}}, "splits.test: expected a list of video ids"),
        ({"splits": {"test": [1]}}, "splits.test: expected video ids, found 1"),
        ({"splits": {"test": ["../v"]}}, "splits.test: '../v' is not a plain name"),
        ({"splits": {"te st": []}}, "splits: 'te st' is no split name"),
        (
            {"splits": {"train": ["v1"], "test": ["v1"]}},
            "splits.test: 'v1' is in train already",
        ),
    ],
)
def test_a_bad_manifest_is_named_by_field(release, fields, message):
    change_manifest(release, **fields)
    with pytest.raises(InputError) as error:
        build(release)
    assert f"manifest.json: {message}" in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("manifest.json", "manifest.json: is missing"),
        ("annotations/tvr_val.jsonl", "tvr_val.jsonl: is missing"),
        ("subtitles/v3.zh.srt", "v3.zh.srt: is missing"),
        ("../features/v3.npz", "v3.npz: is missing"),
    ],
)
def test_a_missing_file_is_named(release, name, message):
    (release / name).unlink()
    with pytest.raises(InputError) as error:
        build(release)
    assert message in str(error.value)


def test_a_release_without_videos_and_features_is_refused(release):
    with pytest.raises(InputError, match=r"videos: is missing \(or pass --features"):
        build(release, features=None)


def test_a_video_that_cannot_be_decoded_is_named(release):
    (release / "videos").mkdir()
    for video_id in miniature.VIDEOS:
        (release / "videos" / f"{video_id}.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match=r"v0.mp4: cannot be decoded"):
        build(release, features=None)


def test_a_mistake_leaves_the_old_dataset_as_it_was(release):
    build(release)
    out = release.parent / "out"
    before = open_corpus(out, "microtv", "test")
    file = release / "annotations" / "tvr_test.jsonl"
    file.write_text(file.read_text().replace('"ts": [1,', '"ts": [9,'))
    with pytest.raises(InputError, match=r"tvr_test.jsonl:1: ts: ends \(2.25\) before"):
        build(release)
    assert open_corpus(out, "microtv", "test").queries == before.queries


def test_questions_statements_and_captions_are_read_where_there_are_any(release):
    for dataset, row in OTHERS.items():
        miniature.write_lines(release / f"annotations/{dataset}_val.jsonl", [row])
    build(release)
    corpus = open_corpus(release.parent / "out", "microtv", "val")
    assert corpus.questions[0].answers[1] == {"en": "no", "zh": "不"}
    assert corpus.statements[0].is_true is False
    assert corpus.captions[0].captions[0].texts == {"en": "yes", "zh": "是"}
    assert corpus.fingerprint["num_questions"] == 1
    none = open_corpus(release.parent / "out", "microtv", "test")
    assert not (none.questions or none.statements or none.captions)
    assert "num_questions" not in none.fingerprint


YES, NO = {"en": "yes", "zh": "是"}, {"en": "no", "zh": "不"}
OTHERS = {
    "tvqa": {"qid": 1, "q": YES, "a0": YES, "a1": NO, "answer_idx": 0,
             "vid_name": "v3", "ts": "1.0-2.0"},
    "violin": {"example_id": 1, "statement": YES, "answer": 0, "vid_name": "v3",
               "paired_id": "v3-0-0"},
    "tvc": {"clip_id": 1, "vid_name": "v3", "duration": 11.9, "ts": [1, 2],
            "descs": [{"desc": YES, "desc_id": 1, "type": "v"}]},
}  # fmt: skip


def test_a_mistake_in_a_question_is_named(release):
    row = OTHERS["tvqa"] | {"answer_idx": 5}
    miniature.write_lines(release / "annotations/tvqa_val.jsonl", [row])
    with pytest.raises(InputError, match=r"tvqa_val.jsonl:1: answer_idx: expected a"):
        build(release)


def test_a_listed_video_without_a_file_is_named_or_dropped(release, monkeypatch):
    (release / "videos").mkdir()
    for video_id in miniature.VIDEOS[:-1]:
        (release / "videos" / f"{video_id}.mp4").touch()
    message = r"videos/v5.mp4: is missing, and manifest.json lists it in splits.test"
    with pytest.raises(InputError, match=message):
        build(release, features=None)

    def extract(videos, out, **_):
        miniature.write_features(out, [path.stem for path in videos.iterdir()])

    monkeypatch.setattr("data_pipelines.builders.microtv.extract_features", extract)
    build(release, features=None, allow_missing=True)
    corpus = open_corpus(release.parent / "out", "microtv", "test")
    assert [video.video_id for video in corpus.videos] == ["v4"]


def test_files_that_nobody_asks_for_are_counted(release):
    (release / "subtitles" / "v0.ko.srt").touch()
    (release / "annotations" / "tvr_dev.jsonl").touch()
    (release / "annotations" / ".hidden").touch()
    warnings = build(release).warnings
    assert [warning.split(" that")[0] for warning in warnings] == [
        "1 x files in subtitles/",
        "1 x files in annotations/",
    ]


@pytest.mark.parametrize("split", ["test", "train"])
def test_queries_to_be_answered_may_keep_their_videos_to_themselves(release, split):
    path = release / "annotations" / f"tvr_{split}.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    bare = [{"desc_id": row["desc_id"], "descs": row["descs"]} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in bare))
    if split == "train":
        with pytest.raises(InputError, match=f"{path}:1: .*is missing"):
            build(release)
        return
    build(release)
    corpus = open_corpus(release.parent / "out", "microtv", "test")
    assert len(corpus.queries) == len(rows) > 0
    assert {query.video_id for query in corpus.queries} == {None}
