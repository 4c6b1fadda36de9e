"""The rule that answers with the span of the subtitle most like the query.

In a leave-one-out corpus the subtitles are other moments of the same video, and many
overlap: a model that copies their spans finds moments without having understood any.
This rule says how many (crosslingual.md 4.6), and `overlaps` tells the queries that it
may answer from those that it cannot.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from data_pipelines.bm25 import BM25, tokens_of
from data_pipelines.schema import Corpus, Query, Subtitle, Video
from experiments.crosslingual.records import written
from hero_jax.metrics.recall import THRESHOLDS, moment_ranks, temporal_iou

Spans = Mapping[str, list[int | None]]
"""IoU threshold -> each query's rank of the first correct span; None is none."""


def copied(
    test: Corpus, read: str, words: Callable[[Query], Sequence[str] | None]
) -> Spans | None:
    """Ranks of the spans of each true video's lines, by BM25 of a query's words.

    Lines of equal score stand in the order of time. None where a query cannot be said.
    """
    queries, videos = list(linked(test)), places(test)
    said = [words(query) for query in queries]
    lines = [video.subtitles[read] for video in test.videos]
    index = BM25([tokens_of(line.text) for of_video in lines for line in of_video])
    first = np.cumsum([0, *map(len, lines)])
    rows = []
    for video, one in zip(videos, said):
        if one is None:
            return None
        scores = index.scores(one)[first[video] : first[video + 1]]
        rows.append(answers(video, lines[video], scores))
    moments = [query.moments for query in queries]
    return {
        str(threshold): written(moment_ranks(rows, videos, moments, threshold))
        for threshold in THRESHOLDS
    }


def answers(video: int, lines: Sequence[Subtitle], scores: np.ndarray) -> np.ndarray:
    """The lines of a video as answers [N, 4], best first: video, start, end, score."""
    order = np.argsort(-scores, kind="stable")
    rows = [(video, lines[i].start, lines[i].end, scores[i]) for i in order]
    return np.array(rows, float).reshape(-1, 4)


def overlaps(test: Corpus) -> list[float]:
    """Of each query, the best IoU of its moments with a subtitle of its video."""
    videos = {video.video_id: video for video in test.videos}
    return [
        max(map(float, _ious(query, videos[str(query.video_id)])), default=0.0)
        for query in linked(test)
    ]


def _ious(query: Query, video: Video) -> Iterator[float]:
    spans = [(s.start, s.end) for lines in video.subtitles.values() for s in lines]
    true, said = np.array(query.moments, float), np.array(spans, float)
    if true.size and said.size:
        yield from temporal_iou(said[:, None], true[None]).ravel().tolist()


def linked(test: Corpus) -> Iterator[Query]:
    """The queries whose video is known, in the order of every record."""
    return (query for query in test.queries if query.video_id is not None)


def places(test: Corpus) -> list[int]:
    """The place of each query's true video, as cells write them."""
    known = {video.video_id: place for place, video in enumerate(test.videos)}
    return [known[str(query.video_id)] for query in linked(test)]
