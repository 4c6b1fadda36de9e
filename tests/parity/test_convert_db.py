"""Converted databases hold what the recorded items and batches are made of.

The cases of `test_data` are rebuilt once more, with every recorded record replaced by
one from the datasets that the databases were converted into.
"""

import dataclasses
import functools
import re
from pathlib import Path

import data_cases
import pytest

from data_pipelines import official
from data_pipelines.convert_db import convert_db
from data_pipelines.corpus import open_corpus

MADE_OF_RECORDS = (
    r"items|collate_(repr|max)|video_(only|feats)|vcmr|didemo|msrvtt|tvqa|violin|tvc"
    r"|seeded|txtdb_tv_sub"
)
SPLIT_OF = {
    "tvr_train": ("tvr", "train"),
    "tvr_val": ("tvr", "val"),
    "didemo_val": ("didemo", "val"),
    "msrvtt_val": ("msrvtt", "val"),
    "tvqa_val": ("tvqa", "val"),
    "violin_val": ("violin", "val"),
    "tvc_val.db_cap": ("tvc", "val"),
    "tvc_val.db_clip": ("tvc", "val"),
}


def golden_root(config):
    return Path(config.getoption("--golden", None) or data_cases.DEFAULT_GOLDEN)


def pytest_generate_tests(metafunc):
    if "converted_case" in metafunc.fixturenames:
        stems = data_cases.names(golden_root(metafunc.config))
        chosen = [stem for stem in stems if re.match(MADE_OF_RECORDS, stem)]
        metafunc.parametrize("converted_case", chosen)


@dataclasses.dataclass(frozen=True)
class Converted(data_cases.Golden):
    """A recorded set whose records and features come from converted datasets."""

    out: Path

    @functools.cached_property
    def whole(self):
        return open_corpus(self.out, "tv", "all")

    @functools.cached_property
    def special(self):
        return official.Special.of(self.whole.special_tokens)

    @functools.cached_property
    def _features(self):
        pairs = zip(self.whole.videos, self.whole.features)
        return {f"{video.video_id}/get_dump": frames for video, frames in pairs}

    @functools.cache  # noqa: B019
    def records(self, name):
        name = name.removesuffix(".db")
        if name == "tv_subtitles":
            return dialogues(self.whole)
        corpus = open_corpus(self.out, *SPLIT_OF[name])
        tokens = {ids.record_id: [*map(list, ids.texts)] for ids in corpus.tokens}
        make = {"cap": captions, "clip": captioned}.get(name.split("_")[-1], asked)
        return make(corpus, tokens)


def dialogues(corpus):
    """What the official preparation makes of the converted subtitles and tokens."""
    tokens = {ids.record_id: ids.texts for ids in corpus.tokens}
    return {
        video.video_id: official.subtitle_record(
            video.subtitles["en"],
            tokens[video.video_id],
            num_frames=video.num_frames,
            interval=video.interval,
        )
        for video in corpus.videos
    }


def asked(corpus, tokens):
    """Queries, questions and statements as official records, as far as read."""
    queries = {
        q.query_id: {"vid": q.video_id, "target": q.moments[0] if q.moments else None}
        for q in corpus.queries
    }
    statements = {
        s.statement_id: {"vid": s.video_id, "target": s.is_true}
        for s in corpus.statements
    }
    for key, record in (queries | statements).items():
        record["input_ids"] = tokens[key][0]
    questions = {
        q.question_id: {
            "vid": q.video_id,
            "qid": q.question_id,
            "target": q.label,
            "ts": "{}-{}".format(*q.moment) if q.moment else None,
            "input_ids": tokens[q.question_id],
        }
        for q in corpus.questions
    }
    return queries | statements | questions


def captions(corpus, tokens):
    return {
        caption.caption_id: {"ts": list(moment.moment), "input_ids": ids}
        for moment in corpus.captions
        for caption, ids in zip(moment.captions, tokens[moment.moment_id])
    }


def captioned(corpus, tokens):
    return {
        moment.moment_id: {
            "ts": list(moment.moment),
            "captions": [{"text": c.texts["en"]} for c in moment.captions],
        }
        for moment in corpus.captions
    }


@pytest.fixture(scope="module")
def converted(request, tmp_path_factory):
    root, out = golden_root(request.config), tmp_path_factory.mktemp("converted")
    for built in convert_db(root / "data/db", out):
        assert not any("alignment" in warning for warning in built.warnings)
    return Converted(root, out)


def test_a_case_is_rebuilt_from_converted_datasets(converted, converted_case):
    arrays, facts = data_cases.rebuild(converted, converted_case)
    recorded = data_cases.Recorded.of(data_cases.Golden(converted.root), converted_case)
    if converted_case.startswith("txtdb"):
        facts = {
            video: recorded.facts[video] | dialogue
            for video, dialogue in converted.subtitles.items()
        }
    data_cases.check(recorded, arrays, facts)


def test_texts_are_those_of_the_annotation_files(converted):
    files = {"tvr_val": "desc", "didemo_val": "desc", "msrvtt_val": "desc",
             "violin_val": "desc", "tvqa_val": "q"}  # fmt: skip
    for name, field in files.items():
        corpus = open_corpus(converted.out, *SPLIT_OF[name])
        rows = converted.lines(f"db/txt/{name}.db/query_data.jsonl")
        records = [*corpus.queries, *corpus.statements, *corpus.questions]
        assert [r.texts["en"] for r in records] == [row[field] for row in rows]


def test_features_are_the_same_however_they_are_stored(converted, tmp_path):
    """Compressed or not, and with another spelling of the interval."""
    folder = converted.root / "data/db/video/tv"
    databases = sorted(path for path in folder.iterdir() if path.is_dir())
    assert databases
    for number, path in enumerate(databases):
        source = tmp_path / str(number)
        (source / "video/tv").mkdir(parents=True)
        name, interval, *rest = re.split(
            r"_(?=[\d.]+(?:_|$))|(?=_compressed)", path.name
        )
        spelt = "".join([f"{name}_{float(interval):.2f}", *rest])
        (source / "video/tv" / spelt).symlink_to(path)
        for name in ("txt", "video/tv/id2nframe.json"):
            (source / name).symlink_to(converted.root / "data/db" / name)
        list(convert_db(source, source / "out", datasets=["tv"]))
        found = open_corpus(source / "out", "tv", "all")
        for one, other in zip(found.features, converted.whole.features, strict=True):
            data_cases.np.testing.assert_array_equal(one, other)
