import re

import numpy as np
import pytest

from data_pipelines.bm25 import tokens_of
from data_pipelines.microtv.annotations import GRAMMARS, LANGUAGES, texts_of
from data_pipelines.microtv.chinese import CHINESE
from data_pipelines.microtv.english import ENGLISH
from data_pipelines.microtv.facts import (
    FIELDS,
    SAID,
    SHOWN_IN_VT,
    TOLD_IN_VT,
    VISUAL,
)
from data_pipelines.microtv.korean import KOREAN
from data_pipelines.microtv.plan import LINES, plan_corpus

ASKED = {"v": VISUAL, "t": SAID, "vt": (*SHOWN_IN_VT, *TOLD_IN_VT), "tell": SAID}


@pytest.fixture(scope="module")
def texts():
    """(split, texts) of each video of the default corpus."""
    return [
        (plan.split, texts_of(plan, np.random.default_rng((0, plan.index, 1))))
        for plan in plan_corpus(520, 0)
    ]


def written(of_video, language):
    lines = [text[language] for _, text in of_video.subtitles]
    return lines + [row["descs"][language] for row in of_video.annotations["tvr"]]


def test_an_english_article_fits_its_noun():
    assert ENGLISH.inflect("exam", "a") == "an exam"
    assert ENGLISH.inflect("party", "a") == "a party"
    assert ENGLISH.inflect("lifts|lifting", "ing") == "lifting"


def test_a_chinese_noun_brings_its_classifier():
    assert CHINESE.inflect("台灯|盏", "一") == "一盏台灯"
    assert CHINESE.inflect("台灯|盏", "") == "台灯"


@pytest.mark.parametrize(
    ("word", "wanted", "expected"),
    [
        ("공", "을/를", "공을"),
        ("의자", "을/를", "의자를"),
        ("든다|드는|들고", "고", "들고"),
    ],
)
def test_a_korean_particle_follows_the_final_sound(word, wanted, expected):
    assert KOREAN.inflect(word, wanted) == expected


def test_a_sentence_is_written_from_facts_in_the_order_of_its_language():
    facts = {field: values[0] for field, values in FIELDS.items()}
    facts |= {"object": "lamp", "action": "kick"}
    rng = np.random.default_rng(0)
    says = {
        g.code: {g.say("v", facts, rng, held_out=False) for _ in range(99)}
        for g in GRAMMARS
    }
    assert "Anna kicks a lamp in the kitchen at night." in says["en"]
    assert "夜里，安娜在厨房里踢一盏台灯。" in says["zh"]
    assert "밤에 안나가 부엌에서 전등을 찬다." in says["ko"]


@pytest.mark.parametrize("grammar", GRAMMARS, ids=LANGUAGES)
def test_every_language_says_every_value_in_every_kind_of_sentence(grammar):
    assert grammar.wordings.keys() == ENGLISH.wordings.keys()
    for field, values in FIELDS.items():
        assert tuple(grammar.words[field]) == values


@pytest.mark.parametrize("grammar", GRAMMARS, ids=LANGUAGES)
def test_a_query_names_all_facts_that_identify_it(grammar):
    for kind, fields in ASKED.items():
        ways = grammar.wordings[kind]
        for wording in ways.usual + ways.held_out:
            assert set(re.findall(r"\{(\w+)", wording)) == set(fields)


@pytest.mark.parametrize("grammar", GRAMMARS, ids=LANGUAGES)
def test_the_wordings_of_the_test_split_are_its_own(grammar):
    for ways in grammar.wordings.values():
        assert not set(ways.usual) & set(ways.held_out)
    for kind in ("v", "t", "vt", *LINES):
        assert len(grammar.wordings[kind].usual) >= 3


@pytest.mark.parametrize("grammar", GRAMMARS, ids=LANGUAGES)
def test_no_two_values_are_said_alike(grammar):
    words = [
        synonym.split("|")[0]
        for values in grammar.words.values()
        for synonyms in values.values()
        for synonym in synonyms
    ]
    assert len(set(words)) == len(words)


def test_languages_share_no_token(texts):
    vocabularies = [
        {t for _, of in texts for s in written(of, code) for t in tokens_of(s)}
        for code in LANGUAGES
    ]
    for i, mine in enumerate(vocabularies):
        for other in vocabularies[:i]:
            assert not mine & other


def test_languages_share_no_character_but_punctuation(texts):
    alphabets = [
        {c for _, of in texts for s in written(of, code) for c in s if c.isalnum()}
        for code in LANGUAGES
    ]
    assert not alphabets[0] & alphabets[1]
    assert not alphabets[1] & alphabets[2]
    assert not alphabets[2] & alphabets[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_of_the_test_split_occurs_in_training(texts, language):
    queries = {
        split: {
            row["descs"][language]
            for part, of in texts
            if part == split
            for row in of.annotations["tvr"]
        }
        for split in ("train", "test")
    }
    assert not queries["train"] & queries["test"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_the_test_split_occurs_in_training(texts, language):
    def words(split):
        sentences = [
            s for part, of in texts if part == split for s in written(of, language)
        ]
        tokens = {token for sentence in sentences for token in tokens_of(sentence)}
        # Pairs of Chinese characters are no words; the characters are what is known.
        return {t for t in tokens if language != "zh" or len(t) == 1}

    assert not words("test") - words("train")
