"""YouCook2 leave-one-out in English and Japanese: a step searched for among cooking
videos, with the other steps for subtitles (crosslingual.md, 4.6, item 3).

English steps with times and their professional Japanese translations are joined by
video and number; steps without a translation are left out, and so are their videos.
The files say nothing about durations, so a video ends with its last step.
"""

from collections.abc import Iterator, Sequence

from data_pipelines.builders.base import CorpusBuilder
from data_pipelines.builders.folds import Release
from data_pipelines.builders.leave_one_out import leave_one_out
from data_pipelines.builders.raw import RawCorpus, Request
from data_pipelines.readers.errors import Tally, wrong
from data_pipelines.readers.youcook2 import (
    STEPS,
    TRANSLATIONS,
    TimedStep,
    read_timed_steps,
    read_translations,
)
from data_pipelines.schema import Query

LANGUAGES = ("en", "ja")


class YouCook2Loo(CorpusBuilder):
    """The dataset `youcook2_loo_fold<k>`."""

    @classmethod
    def read(cls, request: Request) -> RawCorpus:
        japanese = read_translations(request.data_dir / TRANSLATIONS)
        steps = list(read_timed_steps(request.data_dir / STEPS, japanese))
        durations: dict[str, float] = {}
        for step in steps:
            durations[step.video] = max(step.end, durations.get(step.video, 0.0))
        release = Release(
            file=request.data_dir / STEPS,
            languages=LANGUAGES,
            durations=durations,
            queries=tuple(_queries(steps, request.tally)),
        )
        return leave_one_out("youcook2_loo", release, request)


def _queries(steps: Sequence[TimedStep], tally: Tally) -> Iterator[Query]:
    seen: set[tuple[str, str]] = set()
    for step in steps:
        if len(step.texts) < len(LANGUAGES):
            tally.add("steps without a translation, dropped", step.place)
            continue
        if (step.video, step.step) in seen:
            problem = f"step {step.step} of {step.video} is there twice"
            raise wrong(step.place, "ID.", problem, "keep one of the two")
        seen.add((step.video, step.step))
        yield Query(
            query_id=f"{step.video}_{step.step}",
            texts=step.texts,
            video_id=step.video,
            moments=((float(step.start), float(step.end)),),
            kind="",
        )
