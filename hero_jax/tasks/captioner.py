"""A trained model that writes: frames of moments in, captions out."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import align
from data_pipelines.schema import CaptionedMoment
from hero_jax.model import generation
from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.tasks.encoder import Encoder
from hero_jax.tasks.source import VideoExample
from hero_jax.types import Array, Float, Int, PyTree


@dataclasses.dataclass(frozen=True)
class Writing:
    """How captions are written."""

    max_words: int = 30
    """Longest caption, in tokens (official max_gen_step)."""
    num_beams: int = 1
    """Captions kept side by side; 1 writes greedily, as officially."""
    length_penalty: float = 1.0
    """Power of its length by which the score of a beam is divided; at least 0."""
    batch_size: int = 64
    """Captions written at once."""

    def __post_init__(self) -> None:
        for name in ("max_words", "num_beams", "batch_size"):
            if (found := getattr(self, name)) < 1:
                raise ValueError(f"Writing: {name}: found {found}, expected 1 or more")
        if self.length_penalty < 0:
            found = self.length_penalty
            raise ValueError(
                f"Writing: length_penalty: found {found}, expected 0 or more"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Captioner:
    """Writes in fixed shapes, so that one program serves all captions."""

    encoder: Encoder
    writing: Writing = Writing()

    def write(
        self, moments: Sequence[Float[np.ndarray, "_ D"]], language: int
    ) -> list[str]:
        """One caption for the frames of each moment, in the language of that number."""
        return write_together([self], [moments], language)


def write_together(
    captioners: Sequence[Captioner],
    readings: Sequence[Sequence[Float[np.ndarray, "_ _"]]],
    language: int,
) -> list[str]:
    """One caption a moment by all models: their logits are averaged word by word (F.8).

    `readings[i]` are the moments as model i has read them.
    """
    writing, source = captioners[0].writing, captioners[0].encoder.source
    tokenizer, num_moments = source.load_tokenizer(), len(readings[0])
    size = min(writing.batch_size, num_moments)
    longest = max((len(frames) for frames in readings[0]), default=0)
    texts: list[str] = []
    for start in range(0, num_moments, max(size, 1)):
        chosen = [moments[start : start + size] for moments in readings]
        words = _write(
            tuple(one.encoder.config for one in captioners),
            writing,
            (tokenizer.bos, tokenizer.eos),
            tuple(one.encoder.params for one in captioners),
            tuple(_padded(moments, size, longest) for moments in chosen),
            np.full(size, language, np.int32),
        )
        texts += [_text(tokenizer, row) for row in np.asarray(words).tolist()]
    return texts[:num_moments]


def frames_of(
    moment: CaptionedMoment, example: VideoExample, *, is_official: bool
) -> tuple[int, int]:
    """First frame of a moment and the one after its last; a whole video without times.

    There is always a frame, the last one for a moment behind the end or behind the
    limit of frames; officially there is none (H-39).
    """
    num_frames = example.num_frames
    if moment.moment is None:
        return 0, num_frames
    interval = example.video.interval
    span = align.span_of_caption(
        *moment.moment, num_frames=num_frames, interval=interval
    )
    return span if is_official else (min(span[0], max(num_frames - 1, 0)), span[1])


def _padded(
    moments: Sequence[np.ndarray], size: int, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """`size` moments, frames and mask, the missing ones empty."""
    frames = np.zeros((size, longest, moments[0].shape[1]), moments[0].dtype)
    mask = np.zeros((size, longest), bool)
    for n, moment in enumerate(moments):
        frames[n, : len(moment)] = moment
        mask[n, : len(moment)] = True
    return frames, mask


def _text(tokenizer, words: list[int]) -> str:
    """What stands before the first `</s>`."""
    return tokenizer.decode(words[: [*words, tokenizer.eos].index(tokenizer.eos)])


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _write(
    configs: tuple[HeroConfig, ...],
    writing: Writing,
    ends: tuple[int, int],
    params: tuple[PyTree, ...],
    moments: tuple[tuple[Array, Array], ...],
    language: Int[Array, "N"],
) -> Int[Array, "N T"]:
    """Tokens of every caption; `</s>` behind its end."""
    copies, (bos, eos) = writing.num_beams, ends
    repeat = lambda x: jnp.repeat(x, copies, axis=0)
    moments, language = jax.tree.map(repeat, moments), repeat(language)
    models = [
        functools.partial(Hero(config).apply, {"params": values})
        for config, values in zip(configs, params)
    ]
    begun = [
        apply(frames, writing.max_words, method="begin_captions")
        for apply, (frames, _) in zip(models, moments)
    ]

    def step(words, place, pasts):
        given = [
            apply(words, place, past, seen, mask, language, method="next_word_logits")
            for apply, past, (seen, _), (_, mask) in zip(models, pasts, begun, moments)
        ]
        logits = sum(found for found, _ in given) / len(given)
        return logits, tuple(past for _, past in given)

    past = tuple(past for _, past in begun)
    size = {"num_texts": len(language) // copies, "max_words": writing.max_words}
    if copies == 1:
        return generation.greedy(step, past, **size, bos=bos, eos=eos)
    return generation.beam_search(
        step,
        past,
        **size,
        bos=bos,
        eos=eos,
        num_beams=copies,
        length_penalty=writing.length_penalty,
    )[0]
