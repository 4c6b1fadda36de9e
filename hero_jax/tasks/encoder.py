"""A trained model as two functions: videos to frame vectors, texts to query vectors."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.tasks import packing
from hero_jax.tasks.collate import collate_texts, collate_videos, rows_needed
from hero_jax.tasks.packing import Segment
from hero_jax.tasks.source import Examples, Source, VideoExample, video_segments
from hero_jax.types import Array, Bool, Float, PyTree

NO_SUBTITLES = "none"
"""In place of a language: the videos are read without subtitles."""


def readings(examples: Examples) -> tuple[str, ...]:
    """What videos can be read with: subtitles in each language they have, last none.

    A language in which no video has a line would read like none. Where subtitles alone
    are read and nobody says anything, every language reads the same silence.
    """
    if examples.source.channels == "video":
        return (NO_SUBTITLES,)
    spoken = [
        code for code in examples.languages if any(e.lines[code] for e in examples)
    ]
    if examples.source.channels == "subtitles":
        return tuple(spoken or examples.languages)
    return (*spoken, NO_SUBTITLES)


def own_reading(examples: Examples, language: str) -> str:
    """What videos are read with for a text in a language: subtitles in it, or none."""
    return language if language in readings(examples) else NO_SUBTITLES


def lines_of(source: Source, example: VideoExample, reading: str) -> Sequence[Segment]:
    """What is read beside the frames; of frames alone all languages say the same."""
    if source.channels == "video":
        return next(iter(example.lines.values()))
    return () if reading == NO_SUBTITLES else example.lines[reading]


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder:
    """Encodes in fixed shapes, so that each function is compiled once."""

    config: HeroConfig
    params: PyTree
    """The parameters of `Hero` alone."""
    source: Source
    video_batch_size: int = 32
    query_batch_size: int = 128
    context: int = 0
    """Earlier subtitles read with each one (official sub_ctx_len)."""

    def encode_corpus(self, examples: Examples, language: str) -> Float[Array, "N F D"]:
        """Frames of every video, in order, read with the subtitles of one language."""
        rows = _rows(self, examples)
        read = self.read(examples, language)
        frames = [
            _encode_videos(
                self.config,
                self.params,
                collate_videos(examples, [chunk], {"rows": rows})[0],
            )
            for chunk in read
        ]
        return np.concatenate([np.asarray(f) for f in frames])[: len(examples)]

    def encode_queries(
        self, texts: Sequence[np.ndarray], examples: Examples
    ) -> Float[Array, "N D"]:
        """One vector a text; texts are token ids behind `<s>` (`Source.as_query`)."""
        if not texts:
            return np.zeros((0, self.config.width), np.float32)
        size = min(self.query_batch_size, len(texts))
        empty = np.zeros(0, np.int32)
        chunks = [
            [text if text is not None else empty for text in chunk]
            for chunk in _chunks(list(texts), size)
        ]
        # Rounded up: languages that need about as many rows share one program.
        most = max(collate_texts(examples, [chunk], {})[1] for chunk in chunks)
        rows = packing.round_up(most, 8)
        vectors = [
            _encode_queries(
                self.config,
                self.params,
                collate_texts(examples, [chunk], {"query_rows": rows})[0],
            )
            for chunk in chunks
        ]
        return np.concatenate([np.asarray(v) for v in vectors])[: len(texts)]

    def encode_query(self, text: np.ndarray) -> Float[Array, "1 D"]:
        """The vector of one text, without a corpus beside it."""
        plans = packing.plan_groups([[len(text)]], self.source.row_length)
        batch = packing.text_rows(
            [[text]],
            plans,
            num_rows=1,
            row_length=self.source.row_length,
            pad=self.source.load_tokenizer().pad,
        )
        return np.asarray(_encode_queries(self.config, self.params, batch))

    def boundary_probabilities(
        self,
        queries: Float[Array, "Q D"],
        frames: Float[Array, "Q F D"],
        frame_mask: Bool[Array, "Q F"],
    ) -> tuple[Float[Array, "Q F"], Float[Array, "Q F"]]:
        """Probability of every frame to be the first, and the last, of the moment."""
        return _boundaries(self.config, self.params, queries, frames, frame_mask)

    def read(self, examples: Examples, language: str) -> list[list]:
        """Batches of (video, segments), the last filled up with (None, ())."""
        return [
            [(e, self._segments(e, language) if e else ()) for e in chunk]
            for chunk in _chunks(list(examples), self.video_batch_size)
        ]

    def _segments(self, example: VideoExample, language: str):
        lines = lines_of(self.source, example, language)
        return video_segments(self.source, packing.with_context(lines, self.context))


def _chunks(items: list, size: int) -> list[list]:
    """Lists of exactly `size`, the last filled up with None."""
    items = items + [None] * (-len(items) % size)
    return [items[i : i + size] for i in range(0, len(items), size)]


@functools.lru_cache(maxsize=8)
def _rows(encoder: Encoder, examples: Examples) -> int:
    """Rows that any batch of videos fits into: one shape for all languages."""
    return max(
        rows_needed(collate_videos(examples, [chunk], {}, local=slice(0))[1])
        for language in examples.languages
        for chunk in encoder.read(examples, language)
    )


@functools.partial(jax.jit, static_argnums=0)
def _encode_videos(config: HeroConfig, params: PyTree, videos):
    return Hero(config).apply({"params": params}, videos, method="encode_videos")


@functools.partial(jax.jit, static_argnums=0)
def _encode_queries(config: HeroConfig, params: PyTree, texts):
    return Hero(config).apply({"params": params}, texts, method="encode_queries")


@functools.partial(jax.jit, static_argnums=0)
def _boundaries(config: HeroConfig, params: PyTree, queries, frames, frame_mask):
    start, end = Hero(config).apply(
        {"params": params}, queries, frames, frame_mask, method="span_logits"
    )
    softmax = lambda logits: jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    return softmax(start), softmax(end)
