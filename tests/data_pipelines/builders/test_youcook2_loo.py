import json

import pytest

from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.errors import InputError

SPLITS = ("train", "val", "test", "all")


def write_release(folder, *, num_videos=6):
    """Three steps a video in both languages, and a fourth in English alone."""
    steps, database = [], {}
    for v in range(num_videos):
        for n in range(4):
            steps.append({
                "Youtube Video ID": f"-v{v}", "Video URL": "", "ID.": str(n),
                "Time Stamp": f"{10 * n}-{10 * n + 8}", "Sentence": f"cut {v} into {n}",
            })  # fmt: skip
        notes = [{"id": n, "sentence": f"{v}を{n}に切ります"} for n in range(3)]
        database[f"-v{v}"] = {"subset": "training", "annotations": notes}
    folder.mkdir(exist_ok=True)
    (folder / "youcook2_segments.json").write_text(json.dumps(steps))
    path = folder / "youcookii_translations_ja_train.json"
    path.write_text(json.dumps({"database": database}))
    return folder


def opened(folder, out, **options):
    name = build_dataset("youcook2_loo", data_dir=folder, out=out, **options).dataset
    return {split: open_corpus(out, name, split) for split in SPLITS}


def test_a_step_is_held_out_and_the_translated_others_are_subtitles(tmp_path):
    corpora = opened(write_release(tmp_path / "raw"), tmp_path, fold=1)
    assert corpora["all"].name == "youcook2_loo_fold1"
    assert [len(corpora[split].videos) for split in SPLITS] == [4, 1, 1, 6]
    for video, query in zip(corpora["all"].videos, corpora["all"].queries):
        number = int(query.query_id[-1])
        assert query.video_id == video.video_id
        assert query.moments == ((10.0 * number, 10.0 * number + 8),)
        assert video.duration == 38  # the untranslated step is the last of the video
        others = [n for n in range(3) if n != number]
        name = video.video_id[-1]
        assert [s.text for s in video.subtitles["en"]] == [
            f"cut {name} into {n}" for n in others
        ]
        assert [s.text for s in video.subtitles["ja"]] == [
            f"{name}を{n}に切ります" for n in others
        ]


def test_a_step_that_is_there_twice_is_refused(tmp_path):
    folder = write_release(tmp_path / "raw")
    path = folder / "youcook2_segments.json"
    steps = json.loads(path.read_text())
    path.write_text(json.dumps([*steps, steps[1]]))
    with pytest.raises(InputError, match=r"\[24\]: ID.: step 1 of -v0 is there twice"):
        opened(folder, tmp_path)


@pytest.mark.slow
def test_the_published_release_joins_10308_steps_of_1329_videos(shared, tmp_path):
    folder = shared / "data" / "youcook2_enja"
    corpora = opened(folder, tmp_path, interval=3.0)
    assert len(corpora["all"].videos) == 1329
    train = corpora["train"]
    assert len(train.videos) == 797
    assert len(train.queries) == sum(len(v.subtitles["ja"]) for v in train.videos)
