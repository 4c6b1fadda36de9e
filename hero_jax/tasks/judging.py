"""The task of judging texts by videos; what is right, its subclasses say."""

import abc
import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipelines.files import write_whole
from data_pipelines.readers.errors import wrong
from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.tasks import packing, shares
from hero_jax.tasks.base import Task
from hero_jax.tasks.beside import (
    Asked,
    BesideBatch,
    PreparedAsked,
    collate_beside,
    padding,
    read_beside,
)
from hero_jax.tasks.encoder import NO_SUBTITLES, lines_of, readings
from hero_jax.tasks.source import Examples, Source
from hero_jax.types import Array, Float, PyTree

Judge = Callable[[Hero, BesideBatch], Float[Array, "B N"]]
"""Logits of every text of a batch, by example."""


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """What is asked in one language of videos read with the subtitles of another."""

    language: str
    subtitles: str
    asked: Sequence[Asked]


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgingTask(Task):
    """Reads every text beside its video; languages are drawn for each independently."""

    source: Source
    batch_size: int = 4
    """Examples in a batch; each is read as often as it has texts (D.8)."""
    context: int = 0
    """Earlier subtitles read with each one (official sub_ctx_len)."""
    max_text_tokens: int = 120
    """Training leaves out longer texts (B.9); evaluation keeps them."""
    no_subtitles_rate: float = 0.0
    """Share of videos that training reads without any subtitle."""
    is_same_language: bool = False
    """Draw the texts in the language of the subtitles where they have it."""

    @property
    @abc.abstractmethod
    def kind(self) -> str:
        """What is judged, in one word: "questions" or "statements"."""

    @abc.abstractmethod
    def asked(self, split: str, *, is_training: bool) -> Sequence[Asked]:
        """All examples of a split."""

    @abc.abstractmethod
    def judge(self, hero: Hero, batch: BesideBatch) -> Float[Array, "B N"]:
        """Logits of the texts of every example."""

    @abc.abstractmethod
    def metrics(self, logits: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Numbers for logits and truth [number of examples, texts]."""

    @abc.abstractmethod
    def choices(self, logits: np.ndarray) -> list[int]:
        """What is handed in for every example."""

    def examples(self, split: str) -> Sequence[Asked]:
        """The training examples of a split that are short enough."""
        found = self.asked(split, is_training=True)
        if not found:
            problem = f"split {split!r} has no {self.kind}"
            raise wrong(
                self.source.dataset, "", problem, "name a dataset that has some"
            )
        return [one for one in found if one.num_tokens <= self.max_text_tokens]

    def expected_cost(self, example: Asked) -> float:
        """As many copies as texts, each with every line and the text behind it."""
        text = np.mean([len(t) for ts in example.texts.values() for t in ts])
        line = lambda s: len(s.frames) + (1 + self.context) * len(s.tokens) + 1 + text
        lines = example.video.lines.values()
        spoken = np.mean([sum(map(line, ones)) for ones in lines])
        return float(len(example.truth) * spoken)

    def prepare(
        self, example: Asked, rng: np.random.Generator, share: float
    ) -> PreparedAsked:
        is_silent, share = shares.happens(share, self.no_subtitles_rate)
        known = list(example.texts)
        pairs = list(itertools.product(example.video.lines, known))
        subtitles, language = shares.one_of(pairs, share)
        if self.is_same_language and subtitles in known:
            language = subtitles
        if is_silent:
            subtitles = NO_SUBTITLES
        return self.read(example, language, subtitles)

    def read(self, example: Asked, language: str, subtitles: str) -> PreparedAsked:
        """The texts in one language beside the subtitles of one, or of none."""
        lines = lines_of(self.source, example.video, subtitles)
        copies = tuple(
            read_beside(self.source, lines, text, context=self.context)
            for text in example.texts[language]
        )
        return PreparedAsked(example.video, copies, example.truth, example.span)

    def cost(self, prepared: PreparedAsked) -> int:
        return sum(len(s) for copy in prepared.copies for s in copy.segments)

    def collate(
        self,
        groups: Sequence[Sequence[PreparedAsked]],
        capacity: Mapping[str, int],
        *,
        split: str,
        local: slice,
        rng: np.random.Generator,
    ) -> tuple[BesideBatch, dict[str, int]]:
        examples = self.source.open(split)
        return collate_beside(examples, groups, capacity, local=local)

    def fill(self, batch: BesideBatch) -> float:
        return packing.fill(np.asarray(batch.videos.segment))

    def evaluate(
        self,
        model: HeroConfig,
        params: PyTree,
        split: str,
        *,
        predictions_dir: Path | None = None,
    ) -> Mapping[str, Any]:
        """results[text language][subtitle language], "none" last; {} without texts.

        With a directory, the official {id: choice} of every cell, and its logits.
        """
        examples = self.source.open(split)
        cells = self.cells(examples, self.asked(split, is_training=False))
        results: dict[str, dict[str, Any]] = {}
        for spoken in (True, False):  # without subtitles there is less to read
            chosen = [c for c in cells if (c.subtitles != NO_SUBTITLES) == spoken]
            sizes = self.sizes(examples, chosen)
            for cell in chosen:
                found = self.logits(model, params["hero"], examples, cell, sizes)
                truth = np.array([one.truth for one in cell.asked])
                row = results.setdefault(cell.language, {})
                row[cell.subtitles] = self.metrics(found, truth)
                if predictions_dir is not None:
                    self.write(predictions_dir, cell, found)
        return results

    def cells(self, examples: Examples, asked: Sequence[Asked]) -> list[Cell]:
        """Every language that something is asked in, with every one spoken and none."""
        by_language = {
            language: [one for one in asked if language in one.texts]
            for language in examples.languages
        }
        return [
            Cell(language, subtitles, ones)
            for language, ones in by_language.items()
            for subtitles in readings(examples)
            if ones
        ]

    def chunks(self, cell: Cell) -> Iterator[list[PreparedAsked]]:
        """Its examples, read when they are needed, in batches of one size."""
        for start in range(0, len(cell.asked), self.batch_size):
            asked = cell.asked[start : start + self.batch_size]
            read = [self.read(one, cell.language, cell.subtitles) for one in asked]
            missing = self.batch_size - len(read)
            yield read + [padding(len(asked[0].truth))] * missing

    def sizes(self, examples: Examples, cells: Sequence[Cell]) -> dict[str, int]:
        """Static sizes that hold every batch of some cells: one compilation serves."""
        needs = [
            collate_beside(examples, [chunk], {}, local=slice(0))[1]
            for cell in cells
            for chunk in self.chunks(cell)
        ]
        return {part: max(n[part] for n in needs) for part in needs[0]} if needs else {}

    def logits(
        self,
        model: HeroConfig,
        params: PyTree,
        examples: Examples,
        cell: Cell,
        sizes: Mapping[str, int],
    ) -> Float[np.ndarray, "N1 N2"]:
        """Of every text of every example; `params` are Hero's."""
        logits = [
            _logits(model, self.judge, params, collate_beside(examples, [c], sizes)[0])
            for c in self.chunks(cell)
        ]
        return np.concatenate([np.asarray(one) for one in logits])[: len(cell.asked)]

    def write(self, folder: Path, cell: Cell, logits: np.ndarray) -> None:
        """What is handed in (F.9), and the logits, from which models are combined."""
        chosen = {one.name: k for one, k in zip(cell.asked, self.choices(logits))}
        scores = {one.name: row for one, row in zip(cell.asked, logits.tolist())}
        name = f"{self.kind}-{cell.language}-{cell.subtitles}"
        for suffix, content in (("", chosen), ("-logits", scores)):
            write_whole(folder / f"{name}{suffix}.json", json.dumps(content))

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        names = ("context", "max_text_tokens", "no_subtitles_rate", "is_same_language")
        own = {name: getattr(self, name) for name in names}
        return self.source.fingerprint(split) | own


def languages_of(
    examples: Examples, parts: Sequence[Mapping[str, str]], name: str
) -> list[str]:
    """The chosen languages that all parts of a text exist in; at least one.

    A text in none of them would vanish without a word.
    """
    found = [code for code in examples.languages if all(code in p for p in parts)]
    if not found:
        wanted = ", ".join(examples.languages)
        problem = f"{name} exists in none of the languages {wanted}"
        raise wrong(examples.corpus.name, "", problem, "choose others")
    return found


@functools.partial(jax.jit, static_argnums=(0, 1))
def _logits(config: HeroConfig, judge: Judge, params: PyTree, batch: BesideBatch):
    return Hero(config).apply({"params": params}, batch, method=judge)
