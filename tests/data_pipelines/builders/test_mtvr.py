import json

import numpy as np
import pytest

from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.errors import InputError
from data_pipelines.schema import Query, Subtitle
from tests.data_pipelines import miniature


@pytest.fixture
def release(tmp_path):
    return miniature.write_mtvr(tmp_path / "raw")


def built(release, split, **options):
    out = release.parent / "out"
    build_dataset("mtvr", data_dir=release, out=out, **options)
    return open_corpus(out, "mtvr", split)


def test_the_annotated_split_has_queries_with_moments(release):
    corpus = built(release, "val")
    assert [v.video_id for v in corpus.videos] == ["v0", "v1", "v2", "v3", "v4"]
    assert [v.duration for v in corpus.videos] == [7.4, 8.9, 10.4, 11.9, 13.4]
    assert [v.num_frames for v in corpus.videos] == [5, 6, 7, 8, 9]
    assert len(corpus.queries) == 25
    assert corpus.queries[7] == Query(
        query_id="107",
        texts={
            "en": "Ann opens the box number 107.",
            "zh": "安打开第107个盒子。",
            "zh-x-google": "Ann打开盒子号107。",
        },
        video_id="v1",
        moments=((2.0, 3.25),),
        kind="vt",
    )


def test_machine_translations_are_no_language_of_the_corpus(release):
    assert built(release, "val").languages == ("en", "zh")


def test_splits_without_annotations_have_their_videos(release):
    corpus = built(release, "train")
    assert [v.video_id for v in corpus.videos] == ["v5", "v6"]
    assert corpus.queries == ()


def test_queries_of_the_test_splits_name_no_video(release):
    corpus = built(release, "test_public")
    assert [v.video_id for v in corpus.videos] == ["v7"]
    assert [(q.query_id, q.video_id, q.moments) for q in corpus.queries] == [
        ("200", None, ()),
        ("201", None, ()),
    ]
    assert corpus.parallel == (
        {"en": "Ann opens the box number 200.", "zh": "安打开第200个盒子。"},
        {"en": "Ann opens the box number 201.", "zh": "安打开第201个盒子。"},
    )


def test_dialogue_is_read_where_there_is_some(release):
    line = {"text": "Hi.", "start": 1, "end": 2}
    file = release / "tvqa_preprocessed_subtitles.jsonl"
    miniature.write_lines(file, [{"vid_name": "v1", "sub": [line]}])
    line = {"text": "嗨。", "start": 1, "end": 2}
    file = release / "tvqa_preprocessed_subtitles_zh.jsonl"
    miniature.write_lines(file, [{"vid_name": "v1", "sub": [line]}])
    videos = built(release, "val").videos
    assert videos[0].subtitles == {"en": (), "zh": ()}
    assert videos[1].subtitles == {
        "en": (Subtitle("Hi.", 1.0, 2.0),),
        "zh": (Subtitle("嗨。", 1.0, 2.0),),
    }


def test_features_are_taken_from_the_folder(release):
    videos = [f"v{i}" for i in range(9)]
    folder = miniature.write_features(release.parent / "features", videos)
    corpus = built(release, "test_public", features=folder)
    assert corpus.feature_width == miniature.WIDTH
    np.testing.assert_array_equal(corpus.features[0], miniature.frames_of("v7"))


def test_videos_without_features_are_named_or_dropped(release):
    folder = miniature.write_features(release.parent / "features", ["v0", "v3"])
    with pytest.raises(InputError, match=r"v8.npz: is missing"):
        built(release, "val", features=folder)
    out = release.parent / "out"
    options = {"data_dir": release, "out": out, "features": folder}
    report = build_dataset("mtvr", allow_missing=True, **options)
    videos, splits = report.warnings
    assert videos.startswith("7 x videos without features, dropped with their")
    assert splits.startswith("3 x splits without a video, dropped; first: test_chall")
    corpus = open_corpus(out, "mtvr", "val")
    assert [v.video_id for v in corpus.videos] == ["v0", "v3"]
    assert {q.video_id for q in corpus.queries} == {"v0", "v3"}
    np.testing.assert_array_equal(corpus.features[1], miniature.frames_of("v3"))


def test_features_of_another_length_are_counted(release):
    videos = [f"v{i}" for i in range(9)]
    folder = miniature.write_features(release.parent / "features", videos)
    np.savez(folder / "v2.npz", features=np.zeros((20, miniature.WIDTH), np.float32))
    out = release.parent / "out"
    report = build_dataset("mtvr", data_dir=release, out=out, features=folder)
    (warning,) = report.warnings
    assert warning.startswith("1 x feature files not as long as their video, kept")
    assert open_corpus(out, "mtvr", "val").features[2].shape == (20, 3)


def test_features_of_another_width_type_or_value_are_named(release, monkeypatch):
    monkeypatch.setattr("data_pipelines.builders.shards.FILES_PER_WORKER", 1)
    videos = [f"v{i}" for i in range(9)]
    folder = miniature.write_features(release.parent / "features", videos)
    for values, message in [
        (np.zeros((7, 4), np.float32), "v2.npz: features: is 4 wide, expected 3"),
        (np.zeros((7, 3), np.float16), "v2.npz: features: is float16, expected float"),
        (np.full((7, 3), np.nan, np.float32), "v2.npz: features: nan at frame 0"),
    ]:
        np.savez(folder / "v2.npz", features=values)
        with pytest.raises(InputError, match=message):
            built(release, "val", features=folder, workers=2)


def test_a_folder_that_is_not_the_release_is_refused(tmp_path, release):
    with pytest.raises(InputError, match=r"tvr_video2dur_idx.json: is missing"):
        build_dataset("mtvr", data_dir=tmp_path, out=tmp_path / "out")
    for file in release.glob("*.jsonl"):
        file.unlink()
    with pytest.raises(InputError, match="found no tvr_zh_en_<split>_release.jsonl"):
        build_dataset("mtvr", data_dir=release, out=tmp_path / "out")


def test_a_query_id_in_two_files_is_refused(release):
    file = release / "tvr_zh_en_test_public_release.jsonl"
    row = json.loads(file.read_text().splitlines()[0]) | {"desc_id": 101}
    miniature.write_lines(file, [row])
    with pytest.raises(InputError, match="'101' was already used at .*:"):
        built(release, "val")


@pytest.mark.slow
def test_the_published_release_is_built(shared, tmp_path):
    build_dataset("mtvr", data_dir=shared / "data" / "mtvr", out=tmp_path)
    counts = {}
    for split in ("train", "val", "test_public", "test_challenge"):
        corpus = open_corpus(tmp_path, "mtvr", split)
        counts[split] = len(corpus.videos), len(corpus.queries), len(corpus.parallel)
    assert counts == {
        "train": (17_435, 0, 0),
        "val": (2_179, 10_895, 0),
        "test_public": (1_089, 5_445, 5_445),
        "test_challenge": (1_090, 5_450, 5_450),
    }


def test_a_split_without_a_video_is_refused(release):
    file = release / "tvr_video2dur_idx.json"
    miniature.write_json(file, json.loads(file.read_text()) | {"train": {}})
    with pytest.raises(InputError, match="split train: holds no video, expected at"):
        built(release, "val")


def say(release, name, text):
    line = {"text": text, "start": 1, "end": 2}
    rows = [{"vid_name": "v1", "sub": [line]}]
    miniature.write_lines(release / f"tvqa_preprocessed_subtitles{name}.jsonl", rows)


def test_dialogue_told_twice_in_one_language_is_refused(release):
    say(release, "", "Hi.")
    say(release, "_en", "Hello.")
    with pytest.raises(InputError, match=r"_en.jsonl: sub: v1 has en subtitles in an"):
        built(release, "val")


def test_dialogue_in_another_language_is_refused(release):
    say(release, "", {"en": "Hi.", "fr": "Salut."})
    with pytest.raises(InputError, match=r"jsonl:1: sub: found language 'fr', expec"):
        built(release, "val")


def test_annotations_of_a_split_without_durations_are_counted(release):
    (release / "tvr_zh_en_dev_release.jsonl").touch()
    report = build_dataset("mtvr", data_dir=release, out=release.parent / "out")
    (warning,) = report.warnings
    assert warning.startswith("1 x annotation files of splits without durations, ign")
