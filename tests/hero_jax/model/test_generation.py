"""Greedy and beam search over a made-up model whose every text can be counted."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.model.generation import beam_search, greedy

NUM, VOCAB, LENGTH, BOS, EOS = 4, 5, 4, 0, 2


def model(seed):
    """Each word depends on the last one, on the place and on the text's own history."""
    rng = np.random.default_rng(seed)
    table = 2 * rng.standard_normal((NUM, LENGTH, VOCAB, VOCAB)).astype(np.float32)

    def step(words, place, past):
        """The past counts words: [layer, text]."""
        text = past["text"][0]
        history = past["sum"][0] + words * (place + 1)
        logits = jnp.asarray(table)[text, place, words]
        logits = logits + jnp.sin(history[:, None] * jnp.arange(1, VOCAB + 1))
        return logits, past | {"sum": history[None]}

    return step


def past_of(copies=1):
    texts = jnp.repeat(jnp.arange(NUM), copies)[None]
    return {"text": texts, "sum": jnp.zeros_like(texts)}


def score(step, text, words):
    """Log probability of one text, word by word."""
    past = {"text": jnp.array([[text]]), "sum": jnp.zeros((1, 1), int)}
    total, last = 0.0, BOS
    for place, word in enumerate(words):
        logits, past = step(jnp.array([last]), jnp.array(place), past)
        total += float(jax.nn.log_softmax(logits[0])[word])
        last = word
    return total


def every_text():
    """Words up to the end, the end counted, or as many as there may be."""
    for length in range(1, LENGTH + 1):
        others = [w for w in range(VOCAB) if w != EOS]
        for start in itertools.product(others, repeat=length - 1):
            yield (*start, EOS)
            if length == LENGTH:
                yield from ((*start, last) for last in others)


def cut(row):
    row = list(map(int, row))
    return tuple(row[: row.index(EOS)]) if EOS in row else tuple(row)


def test_greedy_takes_the_likeliest_word_until_every_text_has_ended():
    calls = []

    def step(words, place, past):
        jax.debug.callback(lambda p: calls.append(int(p)), place)
        told = jnp.array([[3, EOS, 4, 4], [1, 4, EOS, 3]])[:, place]
        return 5.0 * jax.nn.one_hot(told, VOCAB), past

    options = {"num_texts": 2, "max_words": 4, "bos": BOS, "eos": EOS}
    words = greedy(step, jnp.zeros((1, 2)), **options)
    assert words.tolist() == [[3, EOS, EOS, EOS], [1, 4, EOS, EOS]]
    jax.effects_barrier()
    assert len(calls) == 3  # the fourth word is asked of nobody (H-41)


@pytest.mark.parametrize("seed", [0, 1])
def test_one_beam_is_greedy(seed):
    step = model(seed)
    options = {"num_texts": NUM, "max_words": LENGTH, "bos": BOS, "eos": EOS}
    plain = greedy(step, past_of(), **options)
    beams, scores = beam_search(step, past_of(), num_beams=1, **options)
    for text in range(NUM):
        words = cut(plain[text])
        assert cut(beams[text]) == words
        whole = words if len(words) == LENGTH else (*words, EOS)
        expected = score(step, text, whole) / len(whole)
        np.testing.assert_allclose(scores[text], expected, rtol=1e-5)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_with_beams_enough_the_best_of_all_texts_is_found(length_penalty):
    step = model(2)
    num_beams = 4 * VOCAB**2
    found, scores = beam_search(
        step,
        past_of(num_beams),
        num_texts=NUM,
        num_beams=num_beams,
        max_words=LENGTH,
        bos=BOS,
        eos=EOS,
        length_penalty=length_penalty,
    )
    texts = list(every_text())
    all_words = jnp.array([(*t, *[EOS] * (LENGTH - len(t))) for t in texts])
    for text in range(NUM):
        past = {
            "text": jnp.full((1, len(texts)), text),
            "sum": jnp.zeros((1, len(texts)), int),
        }
        totals, last = np.zeros(len(texts)), jnp.full(len(texts), BOS)
        for place in range(LENGTH):
            logits, past = step(last, jnp.array(place), past)
            last = all_words[:, place]
            told = jnp.take_along_axis(jax.nn.log_softmax(logits), last[:, None], 1)
            is_there = np.array([place < len(t) for t in texts])
            totals += np.where(is_there, told[:, 0], 0)
        totals /= np.array([len(t) for t in texts]) ** length_penalty
        best = int(np.argmax(totals))
        assert cut(found[text]) == cut(texts[best])
        np.testing.assert_allclose(scores[text], totals[best], rtol=1e-5)


def test_more_beams_find_nothing_worse_than_greedy():
    step = model(3)
    options = {"num_texts": NUM, "max_words": LENGTH, "bos": BOS, "eos": EOS}
    _, one = beam_search(step, past_of(), num_beams=1, **options, length_penalty=0.0)
    _, three = beam_search(step, past_of(3), num_beams=3, **options, length_penalty=0.0)
    assert (np.asarray(three) >= np.asarray(one) - 1e-6).all()
