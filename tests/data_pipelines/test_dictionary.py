import numpy as np
import pytest

from data_pipelines.dictionary import (
    DictionaryConfig,
    learn,
    learn_words,
    switched,
    translations,
)

THE, HOUSE, BOOK, SMALL = 1, 2, 3, 4
DAS, HAUS, BUCH, KLEIN = 11, 12, 13, 14


def text(*words):
    return np.array(words)


def test_one_round_of_ibm_model_1_by_hand():
    """Brown's example: each word shares its text, then counts are normalised."""
    pairs = [(text(THE, HOUSE), text(DAS, HAUS)), (text(THE, BOOK), text(DAS, BUCH))]
    found = translations(pairs, 1)
    # THE links DAS twice, HAUS and BUCH once, each with 1/2: 1 / (1 + 1/2 + 1/2).
    assert found[THE] == (DAS, pytest.approx(0.5))
    assert found[HOUSE][1] == pytest.approx(0.5)


def test_rounds_separate_what_occurs_together():
    pairs = [
        (text(THE, HOUSE), text(DAS, HAUS)),
        (text(THE, BOOK), text(DAS, BUCH)),
        (text(SMALL, BOOK), text(KLEIN, BUCH)),
    ]
    found = translations(pairs, 30)
    assert {word: found[word][0] for word in found} == {
        THE: DAS,
        HOUSE: HAUS,
        BOOK: BUCH,
        SMALL: KLEIN,
    }
    assert found[HOUSE][1] > 0.9


def random_pairs(num_pairs=2000, num_words=60):
    """Texts of words and their translations (+ 1000) in another order; word 0 is in
    every text, and a tenth of the words is lost."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(num_pairs):
        words = rng.choice(np.arange(1, num_words), 6, replace=False)
        kept = words[rng.random(6) < 0.9]
        pairs.append((np.append(words, 0), rng.permutation(np.append(kept, 0)) + 1000))
    return pairs


def test_words_are_found_as_they_are_written():
    numbered = random_pairs()
    written = [([f"w{n}" for n in a], [f"t{n}" for n in b]) for a, b in numbered]
    config = DictionaryConfig(max_share=0.5)
    expected = {
        f"w{word}": f"t{other}" for word, other in learn(numbered, config).items()
    }
    assert expected and learn_words(written, config) == expected


def test_a_known_dictionary_is_found():
    # A word is in a tenth of the texts, the function word in all.
    found = learn(random_pairs(), DictionaryConfig(max_share=0.5))
    assert found == {word: word + 1000 for word in range(1, 60)}


def test_rare_words_are_left_out():
    pairs = [*random_pairs(), (text(500), text(1500))]
    assert 500 not in learn(pairs, DictionaryConfig(max_share=0.5))


def test_nothing_to_learn_from_is_an_empty_dictionary():
    assert learn([]) == {}
    assert learn([(text(), text(1))]) == {}


def test_content_words_switch_at_the_rate():
    dictionary, rng = {HOUSE: HAUS}, np.random.default_rng(1)
    both = np.tile(np.array([THE, HOUSE], np.int32), 2000)
    mixed = switched(both, dictionary, 0.3, rng)
    assert mixed.dtype == np.int32
    assert np.all(mixed[::2] == THE)
    assert set(mixed[1::2]) == {HOUSE, HAUS}
    assert np.mean(mixed[1::2] == HAUS) == pytest.approx(0.3, abs=0.04)
    assert np.array_equal(switched(both, dictionary, 0.0, rng), both)
    assert np.all(switched(both, dictionary, 1.0, rng)[1::2] == HAUS)
