import collections
import json
import math
from itertools import chain

import numpy as np
import pytest

from data_pipelines.bm25 import BM25, rank_of, tokens_of


def test_words_are_lower_cased_and_punctuation_is_dropped():
    assert tokens_of("Ann's cup, 2 keys!") == ["ann's", "cup", "2", "keys"]


def test_han_and_kana_become_characters_and_pairs_of_neighbours():
    assert tokens_of("红茶杯，Ann") == ["红", "茶", "杯", "红茶", "茶杯", "ann"]
    assert tokens_of("はい") == ["は", "い", "はい"]


def test_hangul_is_split_at_spaces_like_any_alphabet():
    assert tokens_of("사과를 들었다.") == ["사과를", "들었다"]


def test_the_score_is_the_formula_worked_by_hand():
    bm25 = BM25([["a", "a", "b"], ["c"]])
    # "a": one of two documents has it, twice; its length is 3 where the mean is 2.
    rarity = math.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    expected = rarity * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 3 / 2))
    np.testing.assert_allclose(bm25.scores(["a", "a", "unheard"]), [expected, 0.0])


def test_no_documents_and_empty_documents_are_harmless():
    assert BM25([]).scores(["a"]).shape == (0,)
    assert BM25([[], []]).scores(["a"]).tolist() == [0.0, 0.0]


def test_equal_scores_are_ranked_in_random_order():
    rng = np.random.default_rng(0)
    ranks = {rank_of(np.array([1.0, 0.0, 0.0, 0.0]), 2, rng) for _ in range(99)}
    assert ranks == {2, 3, 4}


@pytest.mark.parametrize(
    ("language", "recall", "mrr"), [("en", 25.08, 0.331), ("zh", 23.62, 0.317)]
)
def test_one_mtvr_query_against_the_other_four_gives_the_reference_numbers(
    shared, language, recall, mrr
):
    """crosslingual.md 4.4; fold k holds out the k-th query of each video by id."""
    queries = collections.defaultdict(dict)
    for line in (shared / "data/mtvr/tvr_zh_en_val_release.jsonl").open():
        row = json.loads(line)
        queries[row["vid_name"]][row["desc_id"]] = tokens_of(row["descs"][language])
    texts = [[text for _, text in sorted(of.items())] for of in queries.values()]
    rng = np.random.default_rng(0)
    ranks = []
    for k in range(5):
        rest = BM25([list(chain(*video[:k], *video[k + 1 :])) for video in texts])
        found = enumerate(rest.scores(video[k]) for video in texts)
        ranks += [rank_of(scores, true, rng) for true, scores in found]
    assert 100 * np.mean(np.array(ranks) == 1) == pytest.approx(recall, abs=0.5)
    assert np.mean(1 / np.array(ranks)) == pytest.approx(mrr, abs=0.005)
