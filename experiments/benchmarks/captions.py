"""How much faster captions are written when the words before are kept (H-41).

    python -m experiments.benchmarks.captions

Writes captions greedily with a decoder of the paper's size and random weights: with the
keys and values of earlier words kept; reading every beginning again; and doing so as
the official code does, with the logits of every word of it, not of the next one alone.
All take every step, and must write the same words. Prints the seconds of each, the best
of several runs, and how many times those of the first they are.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hero_jax import command_line, errors
from hero_jax.model import generation
from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.transformer import TransformerConfig

BOS, NEVER = 0, -1
"""No word ends a caption, so that all steps are taken."""


@dataclasses.dataclass(frozen=True)
class Captions:
    """What is written."""

    num_captions: int = 16
    """Captions written at once."""
    num_frames: int = 12
    """Frames of each moment."""
    num_words: int = 30
    """Words of each caption."""
    width: int = 768
    """Of the decoder."""
    vocab_size: int = 50272
    """Words to choose from."""
    repeats: int = 3
    """Runs of each."""


def main() -> None:
    """The command line."""
    seconds = run(command_line.parse(Captions, description=__doc__))
    for way, spent in seconds.items():
        print(f"{way:<24}{spent:8.3f} s{spent / seconds['cached']:8.2f} x")


def run(config: Captions) -> dict[str, float]:
    """Seconds of each way; raises AssertionError where they write different words."""
    hero, params, frames = prepare(config)
    mask = np.ones(frames.shape[:2], bool)
    language = np.zeros(len(frames), np.int32)
    apply: Any = lambda *args, **kw: hero.apply(*args, **kw)

    @jax.jit
    def cached(params: Any) -> Any:
        seen, past = apply(params, frames, config.num_words, method="begin_captions")
        return generation.greedy(
            lambda words, place, past: apply(
                params, words, place, past, seen, mask, language,
                method="next_word_logits",
            ),
            past,
            num_texts=len(frames), max_words=config.num_words, bos=BOS, eos=NEVER,
        )  # fmt: skip

    def likeliest(words: Any, first: int) -> Callable[[Hero], Any]:
        """The word behind the last, having read them all; logits from `first` on."""

        def last(h: Hero) -> Any:
            states = h.caption_states(words, frames, mask, language)[:, first:]
            logits = h.word_logits(states.reshape(-1, config.width))
            # Of every word that has logits, or they would not be computed.
            told = jnp.argmax(logits, axis=1).reshape(len(words), -1)
            return told[:, -1], told.sum()

        return last

    def reread(params: Any, *, first: int) -> Any:
        words, total = jnp.full((len(frames), 1), BOS), 0
        for _ in range(config.num_words):
            word, sum_of_all = apply(params, method=likeliest(words, first))
            words, total = jnp.append(words, word[:, None], axis=1), total + sum_of_all
        return words[:, 1:], total

    ways: dict[str, Callable[[Any], Any]] = {
        "cached": lambda params: (cached(params), 0),
        "re-encoding": jax.jit(functools.partial(reread, first=-1)),
        "re-encoding, officially": jax.jit(functools.partial(reread, first=0)),
    }
    written = [np.asarray(way(params)[0]) for way in ways.values()]
    for other in written[1:]:
        np.testing.assert_array_equal(written[0], other)
    return {name: best(way, params, config.repeats) for name, way in ways.items()}


def prepare(config: Captions) -> tuple[Hero, Any, np.ndarray]:
    """A model with a decoder, parameters of that decoder, and frames of moments."""
    decoder = TransformerConfig(
        width=config.width,
        num_heads=max(1, config.width // 64),
        num_layers=2,
        mlp_width=4 * config.width,
    )
    hero = Hero(
        HeroConfig(
            vocab_size=config.vocab_size,
            cross_modal=dataclasses.replace(decoder, num_layers=1),
            temporal=dataclasses.replace(decoder, num_layers=1),
            query_heads=decoder.num_heads,
            decoder=decoder,
        )
    )
    rng = np.random.default_rng(0)
    shape = (config.num_captions, config.num_frames, config.width)
    frames = rng.standard_normal(shape).astype(np.float32)
    one = np.zeros((1, 1), np.int32)

    def use(h: Hero) -> Any:
        states = h.caption_states(one, frames[:1], np.ones((1, shape[1]), bool), one[0])
        return h.word_logits(states[0])

    params = jax.jit(lambda key: hero.init(key, method=use))(jax.random.key(0))
    return hero, params, frames


def best(way: Callable[[Any], Any], params: Any, repeats: int) -> float:
    """Seconds of the quickest of several runs."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(way(params))
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


if __name__ == "__main__":
    errors.run_main(main)
