"""How close written captions come to those that people wrote (F.7): BLEU, ROUGE-L and
CIDEr-D, as the COCO evaluation defines them.

Texts are words between blanks (`caption_words.py`). A hypothesis and its references
share the key of their moment; scores are in percent.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU

Words = tuple[str, ...]
Hypotheses = Mapping[str, str]
References = Mapping[str, Sequence[str]]

MAX_ORDER = 4
"""Longest n-grams, in words."""
ROUGE_BETA = 1.2
"""How much more recall counts than precision."""
CIDER_SIGMA = 6.0
"""Spread of the lengths that count as alike."""


def caption_scores(hypotheses: Hypotheses, references: References) -> dict[str, float]:
    """BLEU-1 to 4, ROUGE-L and CIDEr of one hypothesis per moment."""
    if hypotheses.keys() != references.keys() or not hypotheses:
        odd = sorted(hypotheses.keys() ^ references.keys())
        raise ValueError(
            f"captions: found {len(hypotheses)} written and {len(references)} "
            f"described moments, expected the same ones; in one only: {odd[:3]}"
        )
    return (
        {f"BLEU-{k}": score for k, score in enumerate(bleu(hypotheses, references), 1)}
        | {"ROUGE-L": float(np.mean(rouge_l(hypotheses, references)))}
        | {"CIDEr": float(np.mean(cider_d(hypotheses, references)))}
    )


def segmented_scores(
    segments: Sequence[str], texts: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, dict[str, float]]:
    """YC2C's two other tables (F.7); segment `<video>_<number>` is described by a text.

    "macro" is the mean over videos, each scored as if there were no other; in
    "paragraph" the segments of a video are joined in their order.
    """
    videos: dict[str, list[int]] = {}
    for place in sorted(range(len(segments)), key=lambda i: _number(segments[i])):
        videos.setdefault(segments[place].rpartition("_")[0], []).append(place)
    alone = [
        caption_scores(
            {segments[i]: texts[i] for i in places},
            {segments[i]: references[i] for i in places},
        )
        for places in videos.values()
    ]
    joined = lambda parts: " ".join(" ".join(parts).split())
    paragraphs = caption_scores(
        {video: joined(texts[i] for i in at) for video, at in videos.items()},
        {video: [joined(references[i][0] for i in at)] for video, at in videos.items()},
    )
    macro = {name: float(np.mean([one[name] for one in alone])) for name in alone[0]}
    return {"macro": macro, "paragraph": paragraphs}


def is_segment(name: str) -> bool:
    """Whether a video is named `<video>_<number>`."""
    video, _, number = name.rpartition("_")
    return bool(video) and number.isdecimal()


def _number(segment: str) -> int:
    if not is_segment(segment):
        raise ValueError(
            f"captions: segment {segment!r}: expected a video, an underscore and a "
            "number; score it without is_segmented"
        )
    return int(segment.rpartition("_")[2])


def bleu(hypotheses: Hypotheses, references: References) -> list[float]:
    """BLEU-1 to 4 of the whole corpus; sacrebleu counts, smoothing is official.

    An n-gram counts as often as the reference that has it most often, and of the
    references the length closest to the hypothesis's counts, the shorter of two.
    """
    keys = list(hypotheses)
    most = max(len(references[key]) for key in keys)
    streams: list[Any] = [  # None, against the annotation, where there is none
        [dict(enumerate(references[key])).get(i) for key in keys] for i in range(most)
    ]
    counter = BLEU(tokenize="none", max_ngram_order=MAX_ORDER, force=True)
    found = counter.corpus_score([hypotheses[key] for key in keys], streams)
    precisions = [
        (correct + 1e-15) / (total + 1e-9)
        for correct, total in zip(found.counts, found.totals)
    ]
    ratio = (found.sys_len + 1e-15) / (found.ref_len + 1e-9)
    brevity = min(1.0, math.exp(1 - 1 / ratio))
    products = np.cumprod(precisions).tolist()
    return [100 * brevity * product ** (1 / k) for k, product in enumerate(products, 1)]


def rouge_l(hypotheses: Hypotheses, references: References) -> list[float]:
    """One value a moment, from the longest common subsequence with each reference.

    The best precision and the best recall may come from two references.
    """
    return [
        100 * _rouge(text.split(), [r.split() for r in references[key]])
        for key, text in hypotheses.items()
    ]


def _rouge(hypothesis: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    common = [_longest_common(hypothesis, reference) for reference in references]
    precision = max(common) / max(len(hypothesis), 1)
    recall = max(c / max(len(r), 1) for c, r in zip(common, references))
    if not precision or not recall:
        return 0.0
    weight = ROUGE_BETA**2
    return (1 + weight) * precision * recall / (recall + weight * precision)


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        above_left = 0
        for i, other in enumerate(second, 1):
            above = row[i]
            row[i] = above_left + 1 if word == other else max(above, row[i - 1])
            above_left = above
    return row[-1]


def cider_d(hypotheses: Hypotheses, references: References) -> list[float]:
    """One value a moment: cosine of rare n-grams, less where lengths differ.

    An n-gram counts for less the more moments have it in a reference.
    """
    counted = {k: [_ngrams(text) for text in texts] for k, texts in references.items()}
    num_moments = Counter(
        ngram for texts in counted.values() for ngram in set().union(*texts)
    )
    weigher = _Weigher(num_moments, math.log(len(references)))
    return [
        1000 * weigher.similarity(_ngrams(text), counted[key])
        for key, text in hypotheses.items()
    ]


def _ngrams(text: str) -> Counter[Words]:
    words = text.split()
    return Counter(
        tuple(words[i : i + n])
        for n in range(1, MAX_ORDER + 1)
        for i in range(len(words) - n + 1)
    )


class _Weigher:
    """Weighs n-grams by how few moments have them."""

    def __init__(self, num_moments: Mapping[Words, int], log_total: float):
        self.num_moments, self.log_total = num_moments, log_total

    def similarity(
        self, hypothesis: Counter[Words], references: Sequence[Counter[Words]]
    ) -> float:
        """Mean over the references and the four orders, in 0..1."""
        return float(np.mean([self._pair(hypothesis, r) for r in references]))

    def _pair(self, hypothesis: Counter[Words], reference: Counter[Words]) -> float:
        mine, theirs = self._weights(hypothesis), self._weights(reference)
        dots = np.zeros(MAX_ORDER)
        for ngram in mine.keys() & theirs.keys():
            dots[len(ngram) - 1] += min(mine[ngram], theirs[ngram]) * theirs[ngram]
        norms = _norms(mine) * _norms(theirs)
        cosines = np.divide(dots, norms, out=dots, where=norms > 0)
        # Officially the number of bigrams stands for the length.
        delta = _num_bigrams(hypothesis) - _num_bigrams(reference)
        return float(cosines.mean() * math.exp(-(delta**2) / (2 * CIDER_SIGMA**2)))

    def _weights(self, counts: Counter[Words]) -> dict[Words, float]:
        rarity = lambda ngram: (
            self.log_total - math.log(max(1, self.num_moments.get(ngram, 0)))
        )
        return {ngram: count * rarity(ngram) for ngram, count in counts.items()}


def _norms(weights: Mapping[Words, float]) -> np.ndarray:
    squares = np.zeros(MAX_ORDER)
    for ngram, weight in weights.items():
        squares[len(ngram) - 1] += weight**2
    return np.sqrt(squares)


def _num_bigrams(counts: Counter[Words]) -> int:
    return sum(count for ngram, count in counts.items() if len(ngram) == 2)
