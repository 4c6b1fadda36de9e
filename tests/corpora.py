"""Made-up corpora in memory, for tests that need sizes rather than sense."""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from data_pipelines import tokenizers
from data_pipelines.schema import Corpus, Query, Subtitle, Video
from hero_jax.tasks.source import Examples, Source

WORDS = {
    "en": [f"{a}{b}" for a in "bdfgklmnprst" for b in ("a", "e", "io", "ul")],
    "zh": [chr(0x4E00 + 37 * i) for i in range(60)],
}


@dataclasses.dataclass(frozen=True)
class MemorySource(Source):
    """A corpus with the lengths of a TV show (performance.md, section 1: `tv`)."""

    directory: Path = Path("/memory")
    dataset: str = "memory"
    tokenizer: Path = Path("/memory")
    num_videos: int = 40
    num_lines: float = 17.1
    line_tokens: float = 13.6
    feature_width: int = 6
    seed: int = 0

    def open(self, split: str) -> Examples:
        return _examples(self, split)

    def read_fingerprint(self, split: str):
        corpus = self.open(split).corpus
        return corpus.fingerprint, corpus.languages

    def load_tokenizer(self) -> tokenizers.Tokenizer:
        return word_tokenizer()


@functools.cache
def word_tokenizer() -> tokenizers.Tokenizer:
    """Knows every made-up word as one token, or nearly so."""
    texts = [" ".join(words) for words in WORDS.values()] * 5
    return tokenizers.train(texts, vocab_size=300)


@functools.lru_cache(maxsize=8)
def _examples(source: MemorySource, split: str) -> Examples:
    return Examples(source, corpus(source, split))


def corpus(source: MemorySource, split: str) -> Corpus:
    rng = np.random.default_rng((source.seed, len(split)))
    videos = [_video(source, f"{split}{i}", rng) for i in range(source.num_videos)]
    queries = [q for v in videos for q in _queries(v, rng)]
    features = [
        rng.standard_normal((v.num_frames, source.feature_width)).astype(np.float32)
        for v in videos
    ]
    name = f"memory-{source.seed}-{source.num_videos}"
    fingerprint = {"dataset": name, "split": split, "num_videos": len(videos)}
    parallel = [_texts(8, rng) for _ in range(source.num_videos)]
    return Corpus(
        name, split, tuple(WORDS), videos, queries, features,
        source.feature_width, fingerprint, parallel,
    )  # fmt: skip


def _video(source: MemorySource, video_id: str, rng) -> Video:
    duration = float(np.clip(rng.normal(76, 13), 20, 150))
    count = int(rng.poisson(source.num_lines))
    starts = np.sort(rng.uniform(0, duration - 1, count))
    lines: dict[str, list[Subtitle]] = {language: [] for language in WORDS}
    for start in starts.tolist():
        end = min(start + rng.gamma(4, 0.8) + 0.5, duration)
        texts = _texts(1 + rng.gamma(2, source.line_tokens / 2), rng)
        for language, text in texts.items():
            lines[language].append(Subtitle(text, start, end))
    subtitles = {language: tuple(line) for language, line in lines.items()}
    return Video(video_id, duration, 1.5, int(np.ceil(duration / 1.5)), subtitles)


def _queries(video: Video, rng) -> list[Query]:
    def query(i):
        start = float(rng.uniform(0, video.duration - 5))
        moment = (start, start + float(rng.uniform(2, 5)))
        texts = _texts(10, rng)
        kind = ("v", "t", "vt")[i % 3]
        return Query(f"{video.video_id}-{i}", texts, video.video_id, (moment,), kind)

    return [query(i) for i in range(3)]


def _texts(num_words: float, rng) -> dict[str, str]:
    return {
        language: (" " if language == "en" else "").join(
            rng.choice(words, max(1, int(num_words)))
        )
        for language, words in WORDS.items()
    }
