import pytest

from data_pipelines.microtv.generate import generate
from data_pipelines.microtv.oracle import (
    Eye,
    chance_mrr,
    fact_accuracy,
    main,
    oracle_recall,
    read_log,
    word_matching,
)

LANGUAGES = ("en", "zh", "ko")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    generate(folder, num_videos=60, seed=4, workers=2)
    return folder


def check_channels(folder, split="test"):
    eye, videos = Eye.fitted(read_log(folder, "train")), read_log(folder, split)
    assert min(fact_accuracy(eye, videos).values()) >= 0.95
    recall, chance = oracle_recall(eye, videos), 1 / len(videos)
    assert recall["sees"]["v"] >= 0.9
    assert recall["hears"]["t"] >= 0.9
    assert recall["sees"]["t"] == pytest.approx(chance)
    assert recall["hears"]["v"] == pytest.approx(chance)
    assert recall["sees"]["vt"] < 0.5
    assert recall["hears"]["vt"] < 0.5
    assert min(recall["both"].values()) >= 0.9
    return len(videos)


def check_word_matching(folder, num_videos, tolerance):
    """Words find what is said, in the language it was asked in, and nothing else."""
    chance = chance_mrr(num_videos)
    for (kind, query, subtitles), mrr in word_matching(folder, "test").items():
        if query != subtitles or kind == "v":
            assert mrr == pytest.approx(chance, abs=tolerance)
        elif kind == "t":
            assert mrr > 2 * chance


def test_chance_is_the_mean_of_the_reciprocal_ranks():
    assert chance_mrr(2) == pytest.approx((1 + 1 / 2) / 2)


def test_each_channel_answers_its_own_queries_and_vt_needs_both(small):
    check_channels(small)


def test_word_matching_is_at_chance_across_languages(small):
    # 12 to 24 queries a cell: four standard deviations of about .26 / sqrt(12).
    check_word_matching(small, num_videos=12, tolerance=0.3)


def test_the_command_prints_all_three_tables(small, capsys):
    assert main([str(small)]) == 0
    printed = capsys.readouterr().out
    for text in ("character", "hears", *(f"{q} > ko" for q in LANGUAGES)):
        assert text in printed


def test_a_folder_that_is_no_corpus_is_refused_in_one_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_corpus_needs_both_channels(tmp_path, seed):
    generate(tmp_path, num_videos=520, seed=seed, workers=2)
    num_videos = check_channels(tmp_path)
    # 104 to 208 queries a cell: four standard deviations of .12 / sqrt(104).
    check_word_matching(tmp_path, num_videos, tolerance=0.05)
