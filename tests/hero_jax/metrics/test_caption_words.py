"""Captions as words: the official preparation, and other scripts."""

import pytest

from hero_jax.metrics.caption_words import words


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Ann sits down.", "ann sits down"),
        ("She doesn't know what's wrong!", "she does n't know what 's wrong"),
        ("They cannot see the boys' t-shirt", "they can not see the boys t-shirt"),
        ("Dr. House, (angry) - says: \"no\"", "dr. house angry says no"),
        ("Mr. O'Malley waits...", "mr. o'malley waits"),
        ("It's 10:30 p.m. and 3.5%", "it 's 10:30 p.m. and 3.5 %"),
        ("it costs $10,000", "it costs $ 10,000"),
        ("I'll say we've won; they're out", "i 'll say we 've won they 're out"),
        ("the 20-year-old  arrives\nlate", "the 20-year-old arrives late"),
        ("", ""),
        ("?!", ""),
    ],
)  # fmt: skip
def test_english_is_split_as_the_official_tokenizer_does(caption, expected):
    assert words(caption) == expected


def test_every_character_is_a_word_where_words_have_no_blanks_between():
    assert words("亨利在花园里。") == "亨 利 在 花 园 里"
    assert words("红色 cup，３个") == "红 色 cup 3 个"


def test_letters_of_any_script_stay():
    assert words("정원에 있는 헨리!") == "정원에 있는 헨리"
    assert words("Señor Muñoz’s café") == "señor muñoz 's café"
    assert words("Señor Muñoz has a café.", "en") == "se or mu oz has a caf"


def test_what_is_split_already_stays():
    once = words("She doesn't cross Dr. Smith's lawn.")
    assert words(once) == once
