"""Leave-one-out: one text of a video is searched for, the others are its dialogue.

Where subtitles are not public, the timed descriptions of a video stand for them
(crosslingual.md, 4.6):

    query     1 2 3 4 5
    val/test      ?          held out: the Query, in all its languages
    subtitles . .   . .      the others, ordered by time, in every language
    train     . . . . .      all are subtitles and queries; training holds out

The five folds hold out each query of a video with five once, in the split `all`.
"""

from collections.abc import Callable, Iterable, Sequence

from data_pipelines.builders.folds import (
    NUM_FOLDS,
    Dialogue,
    Release,
    asked_videos,
    deal,
    in_folds,
)
from data_pipelines.builders.raw import RawCorpus, Request
from data_pipelines.schema import Query, Subtitle

Learnt = Callable[[Query], Query]
"""What training reads of a query."""


def as_it_is(query: Query) -> Query:
    """Training reads what the others read."""
    return query


def leave_one_out(
    name: str, release: Release, request: Request, learnt: Learnt = as_it_is
) -> RawCorpus:
    """The dataset `<name>_fold<k>`: splits train, val, test and all."""
    told = asked_videos(release, request.tally, at_least=2)
    dealt = deal(told, request.fold)

    def tell(video_id: str, split: str) -> tuple[Dialogue, Sequence[Query]]:
        queries = told[video_id]
        if split == "train":
            read = [*map(learnt, queries)]
            return dialogue(read, release.languages), read
        # Another query in each fold, and another position from video to video.
        number = dealt.rank[video_id] // NUM_FOLDS + dealt.fold
        held = queries[number % len(queries)]
        others = [query for query in queries if query is not held]
        return dialogue(others, release.languages), [held]

    needed = "videos with two queries or more"
    return in_folds(name, release, request, dealt, tell, needed)


def dialogue(queries: Iterable[Query], languages: Sequence[str]) -> Dialogue:
    """The queries as subtitles at their moments, by start; line i is one in all."""
    ordered = sorted(queries, key=lambda query: query.moments[0])
    return {
        language: tuple(Subtitle(q.texts[language], *q.moments[0]) for q in ordered)
        for language in languages
    }
