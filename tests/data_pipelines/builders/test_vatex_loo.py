import shutil

import pytest

from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.errors import InputError
from data_pipelines.schema import Subtitle
from tests.data_pipelines import miniature

SPLITS = ("train", "val", "test", "all")


@pytest.fixture
def release(tmp_path):
    return miniature.write_vatex(tmp_path / "raw")


def build(release, fold=0):
    out = release.parent / "out"
    built = build_dataset("vatex_loo", data_dir=release, out=out, fold=fold)
    return built, {split: open_corpus(out, built.dataset, split) for split in SPLITS}


def test_the_videos_of_both_parts_are_dealt_into_folds(release):
    built, corpora = build(release, fold=1)
    assert built.dataset == "vatex_loo_fold1"
    sizes = [len(corpora[split].videos) for split in SPLITS]
    assert sizes[3] == 12 and sum(sizes[:3]) == 12 and min(sizes) >= 2
    tested = [
        {video.video_id for video in build(release, fold)[1]["test"].videos}
        for fold in range(5)
    ]
    assert len(set.union(*tested)) == sum(map(len, tested)) == 12


def test_translated_captions_are_asked_and_the_others_are_read(release):
    _, corpora = build(release)
    for split in SPLITS:
        queries = corpora[split].queries
        for video in corpora[split].videos:
            name = video.video_id
            assert video.duration == 10
            assert video.subtitles == {
                "en": tuple(lines(f"english {i} of {name}" for i in range(5))),
                "zh": tuple(lines(f"中文{4 - i}：{name}" for i in range(5))),
            }
            own = [query for query in queries if query.video_id == name]
            kept = [5, 6, 8, 9] if "-2_" in name else [5, 6, 7, 8, 9]
            assert [query.query_id for query in own] == [f"{name}_{i}" for i in kept]
            for query, i in zip(own, kept, strict=True):
                assert query.moments == () and query.kind == ""
                assert query.texts == {
                    "en": f"english {i} of {name}",
                    "zh": f"中文{i}：{name}",
                    "zh-x-google": f"译{i}：{name}",
                }


def lines(texts):
    return (Subtitle(text, 0.0, 10.0) for text in texts)


def test_a_caption_without_its_translation_is_left_out_with_a_count(release):
    built, corpora = build(release)
    (warning,) = built.warnings
    assert warning.startswith("1 x captions 5 to 9 without a translation, left out")
    assert warning.endswith("vatexval.caption.txt:28")
    assert len(corpora["all"].queries) == 59


def test_what_a_machine_made_of_the_chinese_is_kept_where_it_is_known(release):
    name = "y_-7_000003_000013"
    file = release / "vatextest_google_zhc2en.caption.txt"
    file.write_text(f"{name}#zhc2en#5 machine's", encoding="utf-8")
    _, corpora = build(release)
    texts = {q.query_id: q.texts.get("en-x-google") for q in corpora["all"].queries}
    assert {key: text for key, text in texts.items() if text} == {
        f"{name}_5": "machine's"
    }
    assert corpora["all"].languages == ("en", "zh")


def test_a_release_without_either_language_is_refused(release):
    (release / "vatexval_zh.caption.txt").unlink()
    with pytest.raises(InputError, match=r"vatexval_zh.caption.txt: is missing"):
        build(release)
    for path in release.glob("*.txt"):
        path.unlink()
    with pytest.raises(InputError, match=r"raw: found no vatex<part>.caption.txt"):
        build(release)


def test_a_video_in_two_parts_is_refused(release):
    for kind in ("", "_zh"):
        old, new = (release / f"vatex{p}{kind}.caption.txt" for p in ("val", "more"))
        shutil.copy(old, new)
    with pytest.raises(InputError, match=r"txt:1: y_-0_000003_000013 is in another"):
        build(release)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("../v_000003_000013#enc#0 a", "is not a plain name"),
        ("v_000000_900000#enc#0 a", "expected 0 to 86400 seconds"),
        ("v_000003_000013#enc#0 \u200b", "en: is empty"),
        ("v_000013_000013#enc#0 a", "expected <video>_<start>_<end>"),
    ],
)
def test_a_mistake_in_a_line_is_refused_in_one(release, line, problem):
    path = release / "vatexval.caption.txt"
    path.write_text(f"{line}\n{path.read_text()}")
    with pytest.raises(InputError, match=rf"vatexval.caption.txt:1: .*{problem}"):
        build(release)


@pytest.mark.slow
def test_the_published_captions_are_3000_videos(shared, tmp_path):
    (tmp_path / "raw").symlink_to(shared / "data" / "vatex_enzh")
    built, corpora = build(tmp_path / "raw")
    assert not built.warnings
    assert [len(corpora[split].videos) for split in SPLITS] == [1800, 600, 600, 3000]
    assert len(corpora["all"].queries) == 15_000
    texts = {
        (q.video_id, q.texts[code])
        for q in corpora["all"].queries
        for code in ("en", "zh")
    }
    given_away = 0
    for video in corpora["all"].videos:
        assert [len(ones) for ones in video.subtitles.values()] == [5, 5]
        told = {line.text for ones in video.subtitles.values() for line in ones}
        given_away += sum((video.video_id, text) in texts for text in told)
    assert given_away == 1
