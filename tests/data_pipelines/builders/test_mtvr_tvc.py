import json

import pytest

from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.errors import InputError
from data_pipelines.schema import Subtitle
from tests.data_pipelines import miniature

SPLITS = ("train", "val", "test", "all")
CAPTIONS = "sample_val_predictions.jsonl"


@pytest.fixture
def release(tmp_path):
    return miniature.write_captions(miniature.write_mtvr(tmp_path / "raw"))


def build(release, fold=0, **options):
    out = release.parent / "out"
    built = build_dataset("mtvr_tvc", data_dir=release, out=out, fold=fold, **options)
    return built, {split: open_corpus(out, built.dataset, split) for split in SPLITS}


def rewrite(release, change):
    """The captions with one of their lines changed."""
    path = release / CAPTIONS
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[7] |= change
    miniature.write_lines(path, rows)


def ids(corpus):
    return {video.video_id for video in corpus.videos}


def test_every_query_is_asked_of_english_captions(release):
    built, corpora = build(release, fold=3)
    assert built.dataset == "mtvr_tvc_fold3" and not built.warnings
    assert [len(corpora[split].videos) for split in SPLITS] == [3, 1, 1, 5]
    assert [len(corpora[split].queries) for split in SPLITS] == [15, 5, 5, 25]
    assert corpora["all"].languages == ("en", "zh")
    for video in corpora["all"].videos:
        number = video.video_id[1]
        lines = [f"ann touches box {number} at {j} ." for j in range(5)]
        times = [(float(j), j + 1.25) for j in range(5)]
        assert video.subtitles == {
            "en": tuple(Subtitle(one, *time) for one, time in zip(lines, times)),
            "zh": (),
        }


def test_queries_keep_their_moments_and_types_in_all_splits(release):
    _, corpora = build(release)
    assert [q.moments for q in corpora["test"].queries] == [
        ((float(j), j + 1.25),) for j in range(5)
    ]
    assert {q.kind for q in corpora["train"].queries} == {"v", "t", "vt"}
    assert {"en", "zh"} <= set(corpora["test"].queries[0].texts)


def test_videos_are_dealt_as_in_leave_one_out(release):
    out = release.parent / "out"
    for fold in (0, 4):
        _, corpora = build(release, fold)
        name = build_dataset("mtvr_loo", data_dir=release, out=out, fold=fold).dataset
        for split in SPLITS:
            assert ids(corpora[split]) == ids(open_corpus(out, name, split))
        assert len(corpora["train"].parallel) == 4
        assert not corpora["all"].parallel


def test_captions_are_sorted_by_time(release):
    path = release / CAPTIONS
    path.write_text("\n".join(reversed(path.read_text().splitlines())))
    _, corpora = build(release)
    starts = [line.start for line in corpora["test"].videos[0].subtitles["en"]]
    assert starts == [0, 1, 2, 3, 4]


def test_a_caption_of_a_strange_video_is_refused_or_counted(release):
    rewrite(release, {"vid_name": "v9"})
    with pytest.raises(InputError, match=rf"{CAPTIONS}:8: vid_name: 'v9' is not among"):
        build(release)
    built, corpora = build(release, allow_missing=True)
    assert "1 x lines about unknown videos, dropped" in built.warnings[0]
    assert sum(len(v.subtitles["en"]) for v in corpora["all"].videos) == 24


def test_what_does_not_join_is_counted(release):
    rewrite(release, {"ts": [0.5, 1.25]})
    built, _ = build(release)
    oddity = "1 x captions of a moment that no query asks for, kept; first: 907"
    assert built.warnings == [oddity]
    path = release / CAPTIONS
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))
    built, corpora = build(release)
    assert built.warnings[1] == "1 x videos without captions; first: v4"
    silent = [v for v in corpora["all"].videos if v.video_id == "v4"]
    assert silent[0].subtitles == {"en": (), "zh": ()}


def test_a_caption_of_no_moment_is_of_the_whole_video(release):
    rewrite(release, {"ts": None})
    _, corpora = build(release)
    lines = {v.video_id: v.subtitles["en"] for v in corpora["all"].videos}["v1"]
    assert Subtitle("ann touches box 1 at 2 .", 0.0, 8.9) in lines


def test_a_caption_in_another_language_is_refused(release):
    rewrite(release, {"descs": [{"desc": {"zh": "安"}}]})
    with pytest.raises(InputError, match=r"found language 'zh', expected some of"):
        build(release)


def test_without_the_captions_is_said_where_they_belong(tmp_path):
    release = miniature.write_mtvr(tmp_path / "raw")
    with pytest.raises(InputError, match=rf"{CAPTIONS}: is missing \(put or link"):
        build(release)


@pytest.mark.slow
def test_the_published_captions_join_every_query(shared, tmp_path):
    (release := tmp_path / "raw").mkdir()
    for folder in ("mtvr", "tvc"):
        for path in (shared / "data" / folder).iterdir():
            (release / path.name).symlink_to(path)
    built, corpora = build(release)
    assert not built.warnings
    assert [len(corpora[split].videos) for split in SPLITS] == [1307, 436, 436, 2179]
    assert len(corpora["all"].queries) == 10_895
    captions = [len(video.subtitles["en"]) for video in corpora["all"].videos]
    assert sum(captions) == 10_841 and min(captions) == 3
