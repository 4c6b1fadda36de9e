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
from hero_jax.types import Array, Bool, Float, Int, PyTree


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
        tokenizer = self.encoder.source.load_tokenizer()
        size = min(self.writing.batch_size, len(moments))
        longest = max((len(frames) for frames in moments), default=0)
        texts: list[str] = []
        for start in range(0, len(moments), max(size, 1)):
            frames, mask = _padded(moments[start : start + size], size, longest)
            words = _write(
                self.encoder.config,
                self.writing,
                (tokenizer.bos, tokenizer.eos),
                self.encoder.params,
                frames,
                mask,
                np.full(size, language, np.int32),
            )
            texts += [_text(tokenizer, row) for row in np.asarray(words).tolist()]
        return texts[: len(moments)]


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
    config: HeroConfig,
    writing: Writing,
    ends: tuple[int, int],
    params: PyTree,
    frames: Float[Array, "N F D"],
    mask: Bool[Array, "N F"],
    language: Int[Array, "N"],
) -> Int[Array, "N T"]:
    """Tokens of every caption; `</s>` behind its end."""
    hero, copies = Hero(config), writing.num_beams
    bos, eos = ends
    frames, mask, language = (
        jnp.repeat(x, copies, axis=0) for x in (frames, mask, language)
    )
    apply = functools.partial(hero.apply, {"params": params})
    seen, past = apply(frames, writing.max_words, method="begin_captions")

    def step(words, place, past):
        given = (words, place, past, seen, mask, language)
        return apply(*given, method="next_word_logits")

    size = {"num_texts": len(mask) // copies, "max_words": writing.max_words}
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
