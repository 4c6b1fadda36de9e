import collections

import pytest

from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.errors import InputError
from tests.data_pipelines import miniature

SPLITS = ("train", "val", "test", "all")


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """Fold -> split -> corpus, of five videos with five queries each."""
    folder = tmp_path_factory.mktemp("loo")
    release = miniature.write_mtvr(folder / "raw")
    return {fold: open_fold(release, folder, fold) for fold in range(5)}


def open_fold(release, out, fold):
    name = build_dataset("mtvr_loo", data_dir=release, out=out, fold=fold).dataset
    assert name == f"mtvr_loo_fold{fold}"
    return {split: open_corpus(out, name, split) for split in SPLITS}


def ids(corpus):
    return {video.video_id for video in corpus.videos}


def test_a_fold_divides_the_videos(folds):
    for corpora in folds.values():
        sizes = [len(corpora[split].videos) for split in SPLITS]
        assert sizes == [3, 1, 1, 5]
        parts = [ids(corpora[split]) for split in ("train", "val", "test")]
        assert set.union(*parts) == ids(corpora["all"])


def test_each_video_is_tested_in_one_fold_and_validates_in_the_one_before(folds):
    tested = [ids(corpora["test"]) for corpora in folds.values()]
    assert set.union(*tested) == ids(folds[0]["all"])
    assert sum(map(len, tested)) == 5
    for fold in range(5):
        assert ids(folds[fold]["val"]) == tested[(fold + 1) % 5]


def test_the_held_out_query_is_not_among_its_videos_subtitles(folds):
    for corpora in folds.values():
        for split in ("val", "test", "all"):
            corpus = corpora[split]
            assert len(corpus.queries) == len(corpus.videos)
            for video, query in zip(corpus.videos, corpus.queries, strict=True):
                assert query.video_id == video.video_id
                for language in ("en", "zh"):
                    lines = video.subtitles[language]
                    assert len(lines) == 4
                    assert query.texts[language] not in [line.text for line in lines]


def test_the_five_folds_hold_out_every_query_once(folds):
    held = [q.query_id for corpora in folds.values() for q in corpora["all"].queries]
    assert sorted(held) == [str(number) for number in range(100, 125)]
    in_one_fold = collections.Counter(int(held[i]) % 5 for i in range(5))
    assert sum(in_one_fold.values()) == 5


def test_a_split_and_the_whole_hold_out_the_same_query(folds):
    for corpora in folds.values():
        everything = {q.video_id: q for q in corpora["all"].queries}
        for split in ("val", "test"):
            for query in corpora[split].queries:
                assert everything[query.video_id] == query


def test_training_videos_keep_all_five_as_subtitles_and_queries(folds):
    corpus = folds[2]["train"]
    assert len(corpus.queries) == 15
    for video in corpus.videos:
        queries = [q for q in corpus.queries if q.video_id == video.video_id]
        for language in ("en", "zh"):
            lines = video.subtitles[language]
            assert {(line.text, line.start, line.end) for line in lines} == {
                (query.texts[language], *query.moments[0]) for query in queries
            }


def test_subtitles_are_in_order_and_translate_one_another(folds):
    for video in folds[0]["all"].videos:
        times = {
            language: [(line.start, line.end) for line in lines]
            for language, lines in video.subtitles.items()
        }
        assert times["en"] == times["zh"] == sorted(times["en"])
        for english, chinese in zip(*video.subtitles.values(), strict=True):
            assert f"第{english.text.split()[-1].rstrip('.')}个" in chinese.text


def test_unlinked_pairs_are_parallel_texts_of_training_alone(folds):
    for corpora in folds.values():
        assert [len(corpora[split].parallel) for split in SPLITS] == [4, 0, 0, 0]
    assert folds[0]["train"].parallel[0] == {
        "en": "Ann opens the box number 200.",
        "zh": "安打开第200个盒子。",
    }


def test_videos_with_one_query_are_dropped_with_a_count(tmp_path):
    release = miniature.write_mtvr(tmp_path / "raw")
    file = release / "tvr_zh_en_val_release.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[4:]))
    report = build_dataset("mtvr_loo", data_dir=release, out=tmp_path)
    assert report.warnings == [
        "1 x videos with fewer than two queries, dropped; first: v0"
    ]
    corpus = open_corpus(tmp_path, report.dataset, "all")
    assert ids(corpus) == {"v1", "v2", "v3", "v4"}


def test_a_release_without_annotated_queries_is_refused(tmp_path):
    release = miniature.write_mtvr(tmp_path / "raw")
    (release / "tvr_zh_en_val_release.jsonl").write_text("")
    with pytest.raises(InputError, match="holds no queries"):
        build_dataset("mtvr_loo", data_dir=release, out=tmp_path)


@pytest.mark.slow
def test_the_published_release_makes_folds_of_436_videos(shared, tmp_path):
    corpora = open_fold(shared / "data" / "mtvr", tmp_path, 0)
    assert [len(corpora[split].videos) for split in SPLITS] == [1307, 436, 436, 2179]
    assert [len(corpora[split].queries) for split in SPLITS] == [6535, 436, 436, 2179]
    assert len(corpora["train"].parallel) == 10_895


@pytest.mark.parametrize(("num_videos", "fold"), [(1, 0), (2, 0), (4, 4)])
def test_too_few_videos_for_a_fold_are_refused_by_split(tmp_path, num_videos, fold):
    release = miniature.write_mtvr(tmp_path / "raw")
    file = release / "tvr_zh_en_val_release.jsonl"
    rows = file.read_text().splitlines(keepends=True)
    file.write_text("".join(rows[: 5 * num_videos]))
    with pytest.raises(InputError) as error:
        build_dataset("mtvr_loo", data_dir=release, out=tmp_path, fold=fold)
    said = str(error.value)
    assert f"{file}: fold {fold}: leaves the split" in said
    assert f"without a video, found {num_videos} videos with two queries" in said
    assert not (tmp_path / f"mtvr_loo_fold{fold}").exists()
