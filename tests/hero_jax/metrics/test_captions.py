"""Caption scores: by hand first; `tests/parity` holds the recorded reference."""

import math

import pytest

from hero_jax.metrics.captions import (
    bleu,
    caption_scores,
    cider_d,
    rouge_l,
    segmented_scores,
)
from hero_jax.metrics.meteor import meteor
from hero_jax.metrics.predictions import caption_rows


def test_bleu_counts_no_word_too_often_and_punishes_short_texts():
    # "a" counts once, of three words one is right twice over: 2 of 3 words, 1 of 2
    # bigrams; the closest reference has 4 words.
    found = bleu({"m": "a b a"}, {"m": ["a b c d", "b x x x x x x"]})
    brevity = math.exp(1 - 4 / 3)
    assert found[0] == pytest.approx(100 * brevity * 2 / 3)
    assert found[1] == pytest.approx(100 * brevity * math.sqrt(2 / 3 * 1 / 2))
    assert found[2] < 0.01


def test_of_two_references_equally_close_the_shorter_one_gives_the_length():
    found = bleu({"m": "a b c"}, {"m": ["a b c x", "a b"]})
    assert found[0] == pytest.approx(100)


def test_rouge_takes_precision_and_recall_from_different_references():
    # 3 of 4 words in order with the first reference, 2 of 2 of the second.
    (found,) = rouge_l({"m": "a b c d"}, {"m": ["a x b y c z", "b d"]})
    precision, recall, weight = 3 / 4, 1.0, 1.2**2
    expected = (1 + weight) * precision * recall / (recall + weight * precision)
    assert found == pytest.approx(100 * expected)
    assert rouge_l({"m": ""}, {"m": ["a"]}) == [0]


def test_cider_is_ten_for_a_copy_that_no_other_moment_shares():
    references = {"1": ["a b c d e"], "2": ["f g h i j"]}
    assert cider_d({"1": "a b c d e", "2": "x"}, references) == pytest.approx([1000, 0])


def test_words_that_every_moment_has_count_nothing():
    references = {"1": ["the a"], "2": ["the b"]}
    # Only "the" is shared, whose weight is log 2 - log 2.
    assert cider_d({"1": "the c", "2": "the d"}, references) == [0, 0]


def test_cider_falls_with_the_difference_of_the_bigrams():
    references = {"1": ["a b"], "2": ["f g"]}
    longer, _ = cider_d({"1": "a b z z z", "2": "f"}, references)
    # Unigrams: cosine 2 / sqrt(2 * (2 + 9)) as "z" is as rare as can be; bigrams:
    # 1 of 4 bigrams, "z z" twice; three bigrams more.
    one = 2 / math.sqrt(2 * (2 + 9))
    two = 1 / math.sqrt(1 * (1 + 1 + 4))
    expected = (one + two) / 4 * math.exp(-(3**2) / 72)
    assert longer == pytest.approx(1000 * expected)


def test_the_order_of_moments_does_not_matter():
    references = {"1": ["a b c", "a c"], "2": ["d e", "e"], "3": ["f a"]}
    texts = {"1": "a c b", "2": "d", "3": "a f"}
    turned = dict(reversed(texts.items())), dict(reversed(references.items()))
    assert caption_scores(*turned) == pytest.approx(caption_scores(texts, references))


def test_a_moment_without_a_caption_is_refused_by_name():
    with pytest.raises(ValueError, match="'2'"):
        caption_scores({"1": "a"}, {"1": ["a"], "2": ["b"]})


def test_segments_are_scored_by_video_and_as_paragraphs():
    segments = ["v_2", "w_1", "v_10", "v_1"]
    texts = ["c d", "x y", "e f", "a b"]
    references = [["c d"], ["x z"], ["e f"], ["a b"]]
    found = segmented_scores(segments, texts, references)
    assert found["macro"]["BLEU-1"] == pytest.approx((100 + 50) / 2)
    # "a b c d e f" in the order of the numbers, and "x y".
    assert found["paragraph"]["BLEU-4"] > 99 * (3 / 4) ** 0.25 * 0.9
    with pytest.raises(ValueError, match="'v'"):
        segmented_scores(["v"], ["a"], [["a"]])


def test_meteor_is_a_percentage_or_absent():
    score = meteor(["a man sits down"], [["a man sits down", "he sits"]])
    assert score is None or score == pytest.approx(100, abs=1)
    assert meteor(["人"], [["人"]]) is None


def test_a_submission_names_video_moment_times_and_text():
    given = [("v1", "7", (1.5, 3.0), "he sits"), ("v2", "x", None, "人")]
    first, second = caption_rows(given)
    assert first == {
        "vid_name": "v1",
        "clip_id": 7,
        "ts": [1.5, 3.0],
        "descs": [{"desc": "he sits"}],
    }
    assert second == {"vid_name": "v2", "clip_id": "x", "descs": [{"desc": "人"}]}
