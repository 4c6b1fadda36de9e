"""mTVR for a study: training videos, and validation videos in two disjoint halves."""

import pytest

from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.errors import InputError
from tests.data_pipelines import miniature


@pytest.fixture
def release(tmp_path):
    return miniature.write_mtvr(tmp_path / "raw")


def annotate_training(release):
    """A query of v5 and one of v6, which the release itself has none of."""
    keys = tuple(miniature.SEEN)
    rows = [miniature.annotation(900 + i, f"v{5 + i}", keys, 0) for i in range(2)]
    miniature.write_lines(release / "tvr_zh_en_train_release.jsonl", rows)


def built(release, **options):
    out = release.parent / "out"
    build_dataset("mtvr_split", data_dir=release, out=out, **options)
    return {k: open_corpus(out, "mtvr_split", k) for k in ("train", "val", "test")}


def test_halves_are_disjoint_and_hold_all_that_is_judged(release):
    annotate_training(release)
    videos = [f"v{i}" for i in range(9)]
    features = miniature.write_features(release.parent / "features", videos)
    splits = built(release, features=features)
    ids = {name: [v.video_id for v in c.videos] for name, c in splits.items()}
    assert ids["train"] == ["v5", "v6"]
    assert sorted(ids["val"] + ids["test"]) == ["v0", "v1", "v2", "v3", "v4"]
    assert abs(len(ids["val"]) - len(ids["test"])) == 1
    for name in ("val", "test"):
        corpus = splits[name]
        assert {q.video_id for q in corpus.queries} == set(ids[name])
        assert len(corpus.queries) == 5 * len(ids[name])
        for video, frames in zip(corpus.videos, corpus.features):
            assert len(frames) == video.num_frames


def test_the_texts_of_the_test_splits_are_parallel_texts_of_training(release):
    annotate_training(release)
    whole = built(release)
    texts = [dict(pair) for pair in whole["train"].parallel]
    assert texts and all(set(pair) == {"en", "zh"} for pair in texts)
    assert not whole["val"].parallel and not whole["test"].parallel
    asked = {q.texts["en"] for name in ("val", "test") for q in whole[name].queries}
    assert not asked & {pair["en"] for pair in texts}


def test_a_release_without_training_annotations_is_refused(release):
    with pytest.raises(InputError, match="train_release.jsonl: found no queries"):
        built(release)
