"""VATEX in English and Chinese: captions that translate each other are searched for,
the others tell what the video shows (crosslingual.md, 4.6, item 4).

    vatex<part>.caption.txt, vatex<part>_zh.caption.txt   ten captions a video in each

    caption      0 1 2 3 4   5 6 7 8 9
    en and zh    subtitles   queries: 5 in one language translates 5 in the other
                 of the whole video, and no translation of one another

Queries carry their machine translations, where the release has them, under the
private-use codes `zh-x-google` (of the English) and `en-x-google` (of the Chinese).

So no gallery text is the translation of a query, which would give the answer away
(crosslingual.md, 3.5). A query is about its whole video and has no moment. The videos
of all parts, 3,000 in the published val and test files, are dealt into folds; one of
their English queries is, word for word, among its own video's subtitles.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from data_pipelines.builders.base import CorpusBuilder
from data_pipelines.builders.folds import Dialogue, Release, with_dialogue
from data_pipelines.builders.raw import RawCorpus, Request
from data_pipelines.readers.errors import Tally, wrong
from data_pipelines.readers.fields import Row
from data_pipelines.readers.vatex import (
    Described,
    beside,
    read_described,
    read_translations,
)
from data_pipelines.schema import Query, Subtitle

LANGUAGES = ("en", "zh")
MACHINES = {"zh-x-google": "enc2zh", "en-x-google": "zhc2en"}
FILES = "vatex*.caption.txt"
MARKED = "_"
"""In the name of a file that is not the English one: `_zh`, and those of machines."""


class VatexLoo(CorpusBuilder):
    """The dataset `vatex_loo_fold<k>`."""

    @classmethod
    def read(cls, request: Request) -> RawCorpus:
        files = _files(request.data_dir)
        described = _described(files)
        release = Release(
            file=files[0],
            languages=LANGUAGES,
            durations={one.video: float(one.duration) for one in described},
            queries=tuple(_queries(described, _machine(files), request.tally)),
        )
        return with_dialogue("vatex_loo", release, request, _dialogues(described))


def _files(folder: Path) -> list[Path]:
    """The English captions of every part, each with the Chinese ones beside it."""
    files = [path for path in sorted(folder.glob(FILES)) if MARKED not in path.name]
    if not files:
        problem = "found no vatex<part>.caption.txt"
        raise wrong(folder, "", problem, "is --data_dir the release?")
    for path in map(beside, files):
        if not path.exists():
            raise wrong(path, "", "is missing", "every query needs en and zh")
    return files


def _described(files: Sequence[Path]) -> list[Described]:
    """All captions, of videos that are each in one part."""
    found: list[Described] = []
    for file in files:
        earlier = {one.video for one in found}
        part = list(read_described(file))
        for one in part:
            if one.video in earlier:
                problem = f"{one.video} is in another part, too"
                raise wrong(one.place, "", problem, "keep one of the two")
        found += part
    return found


def _machine(files: Sequence[Path]) -> Mapping[str, Mapping[tuple[str, int], str]]:
    """Language code -> (video, number) -> what a machine made of the other language."""
    return {
        code: {
            key: text
            for file in files
            for key, text in read_translations(file, kind).items()
        }
        for code, kind in MACHINES.items()
    }


def _queries(
    described: Iterable[Described],
    machine: Mapping[str, Mapping[tuple[str, int], str]],
    tally: Tally,
) -> Iterator[Query]:
    """The captions of the translated numbers that exist in both languages."""
    for one in described:
        if one.is_translated and len(one.texts) < len(LANGUAGES):
            tally.add("captions 5 to 9 without a translation, left out", one.place)
        elif one.is_translated:
            key = one.video, one.number
            more = {code: texts[key] for code, texts in machine.items() if key in texts}
            texts = {**_checked(one), **more}
            yield Query(f"{one.video}_{one.number}", texts, one.video)


def _dialogues(described: Iterable[Described]) -> Mapping[str, Dialogue]:
    """Video -> the other captions, each as long as the video."""
    told: dict[str, dict[str, tuple[Subtitle, ...]]] = {}
    for one in described:
        if not one.is_translated:
            lines = told.setdefault(one.video, {})
            ((code, text),) = _checked(one).items()
            line = Subtitle(text, 0.0, float(one.duration))
            lines[code] = (*lines.get(code, ()), line)
    return told


def _checked(one: Described) -> Mapping[str, str]:
    row = Row(one.place, one.texts)
    return {code: row.visible_text(code) for code in one.texts}
