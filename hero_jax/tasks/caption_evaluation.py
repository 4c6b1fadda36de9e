"""How well a trained model describes moments, for every pair of languages.

for each subtitle language (and none):   encode the corpus once
    for each caption language:           write every moment's caption, compare
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.files import write_whole
from data_pipelines.schema import CaptionedMoment
from hero_jax.metrics.caption_words import words
from hero_jax.metrics.captions import caption_scores, segmented_scores
from hero_jax.metrics.meteor import meteor
from hero_jax.metrics.predictions import caption_rows
from hero_jax.tasks.captioner import Captioner, frames_of
from hero_jax.tasks.encoder import readings
from hero_jax.tasks.source import Examples
from hero_jax.types import Float


@dataclasses.dataclass(frozen=True)
class CaptionMatrix:
    """A model on a split."""

    captioner: Captioner
    examples: Examples
    is_segmented: bool = False
    """Videos are segments of longer ones, and these are scored, too (YC2C)."""

    def results(self, predictions_dir: Path | None = None) -> dict[str, dict[str, Any]]:
        """results[caption language][subtitle language]; a file for each.

        Where captions are not published there are files and no results.
        """
        moments = self.examples.corpus.captions
        results: dict[str, dict[str, Any]] = {}
        for subtitles in readings(self.examples) if moments else ():
            frames = self.frames(subtitles)
            for number, language in enumerate(self.examples.languages):
                known = self.described(language)
                if not known and any(m.captions for m in moments):
                    continue
                written = self.captioner.write(frames, number)
                if predictions_dir is not None:
                    path = predictions_dir / f"captions-{language}-{subtitles}.jsonl"
                    write_whole(path, caption_lines(moments, written))
                if known:
                    cell = self.cell(language, known, written)
                    results.setdefault(language, {})[subtitles] = cell
        return results

    def frames(self, subtitles: str) -> list[Float[np.ndarray, "_ D"]]:
        """The frames of every moment, read with the subtitles of one language."""
        encoded = self.captioner.encoder.encode_corpus(self.examples, subtitles)
        by_name = {example.video.video_id: example for example in self.examples}
        is_official = self.examples.source.is_official
        found = []
        for moment in self.examples.corpus.captions:
            example = by_name[moment.video_id]
            span = frames_of(moment, example, is_official=is_official)
            found.append(np.asarray(encoded[example.index, slice(*span)]))
        return found

    def described(self, language: str) -> list[int]:
        """Numbers of the moments that somebody described in a language."""
        return [
            number
            for number, moment in enumerate(self.examples.corpus.captions)
            if any(language in caption.texts for caption in moment.captions)
        ]

    def cell(
        self, language: str, known: Sequence[int], written: Sequence[str]
    ) -> dict[str, Any]:
        """Scores of what was written; "chance" is what it scores at other moments."""
        moments = [self.examples.corpus.captions[i] for i in known]
        texts = [words(written[i], language) for i in known]
        names = [moment.moment_id for moment in moments]
        references = {
            moment.moment_id: [
                words(caption.texts[language], language)
                for caption in moment.captions
                if language in caption.texts
            ]
            for moment in moments
        }
        cell: dict[str, Any] = caption_scores(dict(zip(names, texts)), references)
        if (score := meteor(texts, list(references.values()))) is not None:
            cell["METEOR"] = score
        if self.is_segmented:
            segments = [moment.video_id for moment in moments]
            cell |= segmented_scores(segments, texts, list(references.values()))
        moved = texts[len(texts) // 2 :] + texts[: len(texts) // 2]
        chance = caption_scores(dict(zip(names, moved)), references)
        return cell | {"num_moments": len(known), "chance": chance}


def caption_lines(moments: Sequence[CaptionedMoment], written: Sequence[str]) -> str:
    """The file that is handed in: one JSON object a line (E.6)."""
    return "".join(
        json.dumps(row, ensure_ascii=False) + "\n"
        for row in caption_rows(
            [
                (moment.video_id, moment.moment_id, moment.moment, text)
                for moment, text in zip(moments, written)
            ]
        )
    )
