"""Writes texts word by word with any function that says what comes next."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hero_jax.types import Array, Bool, Float, Int, PyTree

Step = Callable[
    [Int[Array, "N"], Int[Array, ""], PyTree], tuple[Float[Array, "N V"], PyTree]
]
"""(words, place, past) -> logits of the words behind them, and the past with them.

Every leaf of a past has the texts on its second axis (the first is that of layers)."""

NEVER = -1e30
"""The score of what cannot be."""


class Progress(NamedTuple):
    """Texts under way."""

    place: Int[Array, ""]
    last: Int[Array, "N"]
    words: Int[Array, "N T"]
    is_done: Bool[Array, "N"]
    past: PyTree


def greedy(
    step: Step, past: PyTree, *, num_texts: int, max_words: int, bos: int, eos: int
) -> Int[Array, "N T"]:
    """The likeliest next word again and again; `eos` fills the places behind the end.

    Ends when every text has, and with `max_words` words at the latest (H-41).
    """

    def write(p: Progress) -> Progress:
        logits, past = step(p.last, p.place, p.past)
        word = jnp.where(p.is_done, eos, jnp.argmax(logits, axis=1).astype(jnp.int32))
        words = jnp.asarray(p.words).at[:, p.place].set(word)
        return Progress(p.place + 1, word, words, p.is_done | (word == eos), past)

    start = Progress(
        jnp.zeros((), jnp.int32),
        jnp.full(num_texts, bos, jnp.int32),
        jnp.full((num_texts, max_words), eos, jnp.int32),
        jnp.zeros(num_texts, bool),
        past,
    )
    goes_on = lambda p: (p.place < max_words) & ~p.is_done.all()
    return jax.lax.while_loop(goes_on, write, start).words


class Beams(NamedTuple):
    """The best unfinished beginnings of every text, and the best finished one."""

    place: Int[Array, ""]
    words: Int[Array, "N K T"]
    scores: Float[Array, "N K"]
    """Sums of log probabilities."""
    past: PyTree
    """Of N * K texts."""
    finished: Int[Array, "N T"]
    finished_score: Float[Array, "N"]
    """Divided by length**length_penalty."""


def beam_search(
    step: Step,
    past: PyTree,
    *,
    num_texts: int,
    num_beams: int,
    max_words: int,
    bos: int,
    eos: int,
    length_penalty: float = 1.0,
) -> tuple[Int[Array, "N T"], Float[Array, "N"]]:
    """The best of `num_beams` texts kept side by side, and its score.

    The score is the log probability over length**length_penalty, `eos` counted; a text
    that reaches `max_words` words is finished as it is. `past` has `num_beams` copies
    of each text, one after the other.
    """
    shape = (num_texts, num_beams)
    over_length = lambda scores, length: scores / (length * 1.0) ** length_penalty

    def extend(b: Beams) -> Beams:
        last = jnp.where(b.place == 0, bos, b.words[:, :, b.place - 1])
        logits, past = step(last.reshape(-1), b.place, b.past)
        log_p = jax.nn.log_softmax(logits).reshape(*shape, -1)
        scores, beam, words = _extensions(b, log_p)
        is_end = (words[:, :, b.place] == eos) | (b.place + 1 == max_words)
        ended = over_length(jnp.where(is_end, scores, NEVER), b.place + 1)
        finished, finished_score = _better(b, words, ended)
        scores, kept = jax.lax.top_k(jnp.where(is_end, NEVER, scores), num_beams)
        words = jnp.take_along_axis(words, kept[:, :, None], axis=1)
        past = _of_beams(past, jnp.take_along_axis(beam, kept, axis=1))
        return Beams(b.place + 1, words, scores, past, finished, finished_score)

    def can_improve(b: Beams) -> Bool[Array, ""]:
        """At best a beginning goes on to the longest text without losing anything."""
        bound = over_length(b.scores.max(axis=1), max_words)
        return (b.place < max_words) & (bound > b.finished_score).any()

    start = Beams(
        jnp.zeros((), jnp.int32),
        jnp.full((*shape, max_words), eos, jnp.int32),
        # All beams begin alike: only the first one counts.
        jnp.full(shape, NEVER).at[:, 0].set(0.0),
        past,
        jnp.full((num_texts, max_words), eos, jnp.int32),
        jnp.full(num_texts, NEVER),
    )
    found = jax.lax.while_loop(can_improve, extend, start)
    return found.finished, found.finished_score


def _extensions(
    b: Beams, log_p: Float[Array, "N K V"]
) -> tuple[Float[Array, "N K2"], Int[Array, "N K2"], Int[Array, "N K2 T"]]:
    """The 2K best beginnings with one word more: score, old beam, words.

    Each beam ends in at most one of them, so K that go on are always among them.
    """
    _, num_beams, num_words = log_p.shape
    candidates = (b.scores[:, :, None] + log_p).reshape(len(log_p), -1)
    scores, flat = jax.lax.top_k(candidates, 2 * num_beams)
    beam, word = flat // num_words, (flat % num_words).astype(jnp.int32)
    words = jnp.take_along_axis(b.words, beam[:, :, None], axis=1)
    return scores, beam, words.at[:, :, b.place].set(word)


def _better(
    b: Beams, words: Int[Array, "N K2 T"], ended: Float[Array, "N K2"]
) -> tuple[Int[Array, "N T"], Float[Array, "N"]]:
    """The best finished text so far and its score."""
    best = jnp.argmax(ended, axis=1)[:, None]
    score = jnp.take_along_axis(ended, best, axis=1)[:, 0]
    text = jnp.take_along_axis(words, best[:, :, None], axis=1)[:, 0]
    is_better = score > b.finished_score
    return (
        jnp.where(is_better[:, None], text, b.finished),
        jnp.where(is_better, score, b.finished_score),
    )


def _of_beams(past: PyTree, beam: Int[Array, "N K"]) -> PyTree:
    """The past of the beams that go on."""
    first = jnp.arange(len(beam))[:, None] * beam.shape[1]
    place = (first + beam).reshape(-1)
    return jax.tree.map(lambda leaf: jnp.take(leaf, place, axis=1), past)
