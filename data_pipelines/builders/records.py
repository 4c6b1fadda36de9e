"""Records on disk: what `schema.py` describes, as TFDS features and back.

Times are float64 as raw bytes: a list of TFDS floats would be rounded to float32, and
61.46 s would end in another frame.
"""

import array
import functools
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from data_pipelines.readers.errors import wrong
from data_pipelines.schema import (
    SCHEMA_VERSION,
    Caption,
    CaptionedMoment,
    Query,
    Question,
    Statement,
    Subtitle,
    Tokens,
    Video,
)

Example = Mapping[str, Any]
UNKNOWN = -1
"""Stands for a label that is not published."""


@functools.cache
def features_of(kind: str) -> tfds.features.FeaturesDict:
    """The TFDS features of a kind of text records, such as `videos` or `queries`."""
    text, texts = tfds.features.Text(), tfds.features.Sequence(tfds.features.Text())
    spans = _tensor((None, 2), np.float64)
    number, numbers = tfds.features.Scalar(np.int64), _tensor((None,), np.int64)
    fields = {
        "videos": {
            "video_id": text,
            "duration": _tensor((), np.float64),
            "interval": _tensor((), np.float64),
            "num_frames": number,
            "subtitle_languages": texts,
            "subtitle_counts": numbers,
            "subtitle_texts": texts,
            "subtitle_times": spans,
        },
        "queries": {
            "query_id": text,
            "languages": texts,
            "texts": texts,
            "video_id": text,
            "moments": spans,
            "kind": text,
        },
        "parallel": {"languages": texts, "texts": texts},
        "questions": {
            "question_id": text,
            "languages": texts,
            "texts": texts,
            "video_id": text,
            "answer_counts": numbers,
            "answer_languages": texts,
            "answer_texts": texts,
            "label": number,
            "moments": spans,
        },
        "statements": {
            "statement_id": text,
            "languages": texts,
            "texts": texts,
            "video_id": text,
            "is_true": number,
            "opposite": text,
        },
        "tokens": {
            "kind": text,
            "record_id": text,
            "counts": numbers,
            "ids": _tensor((None,), np.int32),
        },
        "captions": {
            "moment_id": text,
            "video_id": text,
            "moments": spans,
            "caption_ids": texts,
            "kinds": texts,
            "counts": numbers,
            "languages": texts,
            "texts": texts,
        },
    }[kind]
    return tfds.features.FeaturesDict({"schema_version": number, **fields})


@functools.cache
def frame_features(width: int, dtype: str) -> tfds.features.FeaturesDict:
    """The TFDS features of one video's frames."""
    fields = {"features": _tensor((None, width), np.dtype(dtype).type)}
    number = tfds.features.Scalar(np.int64)
    return tfds.features.FeaturesDict({"schema_version": number, **fields})


def _tensor(shape: tuple[int | None, ...], dtype: type) -> tfds.features.Tensor:
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")


def encode_frames(features: np.ndarray) -> bytes:
    layout = frame_features(features.shape[1], features.dtype.name)
    example = {"schema_version": SCHEMA_VERSION, "features": features}
    return _serialized(layout, example)


def encode(kind: str, record: Any) -> bytes:
    """The bytes of a record of this kind."""
    example = _ENCODERS[kind](record) | {"schema_version": SCHEMA_VERSION}
    return _serialized(features_of(kind), example)


def _serialized(layout: tfds.features.FeaturesDict, example: Example) -> bytes:
    """The same bytes for the same record in every process.

    `layout.serialize_example` writes the fields in an order that differs from run to
    run, and a dataset's digest would differ with it.
    """
    serializer = _serializer(layout)
    proto = serializer.get_tf_example(layout.encode_example(example))
    return proto.SerializeToString(deterministic=True)


@functools.cache
def _serializer(layout: tfds.features.FeaturesDict) -> ExampleSerializer:
    return ExampleSerializer(layout.get_serialized_info())


def decode(kind: str, example: Example) -> Any:
    """The record of a TFDS example; a record of another schema is refused."""
    version = example["schema_version"]
    if version != SCHEMA_VERSION:
        problem = f"found {version}, this program reads {SCHEMA_VERSION}"
        raise wrong(kind, "schema_version", problem, "build the dataset again")
    return _DECODERS[kind](example)


def _from_video(video: Video) -> dict[str, Any]:
    lines = [line for lines in video.subtitles.values() for line in lines]
    return {
        "video_id": video.video_id,
        "duration": np.float64(video.duration),
        "interval": np.float64(video.interval),
        "num_frames": video.num_frames,
        "subtitle_languages": list(video.subtitles),
        "subtitle_counts": np.array([len(s) for s in video.subtitles.values()], int),
        "subtitle_texts": [line.text for line in lines],
        "subtitle_times": _pairs([(line.start, line.end) for line in lines]),
    }


def _to_video(example: Example) -> Video:
    lines = [
        Subtitle(text.decode(), float(start), float(end))
        for text, (start, end) in zip(
            example["subtitle_texts"], example["subtitle_times"], strict=True
        )
    ]
    ends = np.cumsum(example["subtitle_counts"], dtype=int)
    starts = ends - example["subtitle_counts"]
    codes = (code.decode() for code in example["subtitle_languages"])
    return Video(
        video_id=example["video_id"].decode(),
        duration=float(example["duration"]),
        interval=float(example["interval"]),
        num_frames=int(example["num_frames"]),
        subtitles={c: tuple(lines[s:e]) for c, s, e in zip(codes, starts, ends)},
    )


def _from_query(query: Query) -> dict[str, Any]:
    return _from_texts(query.texts) | {
        "query_id": query.query_id,
        "video_id": query.video_id or "",
        "moments": _pairs(query.moments),
        "kind": query.kind,
    }


def _to_query(example: Example) -> Query:
    return Query(
        query_id=example["query_id"].decode(),
        texts=_to_texts(example),
        video_id=example["video_id"].decode() or None,
        moments=tuple((float(s), float(e)) for s, e in example["moments"]),
        kind=example["kind"].decode(),
    )


def _from_question(question: Question) -> dict[str, Any]:
    return _from_texts(question.texts) | {
        "question_id": question.question_id,
        "video_id": question.video_id,
        "answer_counts": _counts(question.answers),
        "answer_languages": [code for texts in question.answers for code in texts],
        "answer_texts": [t for texts in question.answers for t in texts.values()],
        "label": UNKNOWN if question.label is None else question.label,
        "moments": _pairs([] if question.moment is None else [question.moment]),
    }


def _to_question(example: Example) -> Question:
    label = int(example["label"])
    return Question(
        question_id=example["question_id"].decode(),
        video_id=example["video_id"].decode(),
        texts=_to_texts(example),
        answers=_to_groups(
            example["answer_counts"],
            example["answer_languages"],
            example["answer_texts"],
        ),
        label=None if label == UNKNOWN else label,
        moment=_to_moment(example),
    )


def _from_statement(statement: Statement) -> dict[str, Any]:
    truth = UNKNOWN if statement.is_true is None else int(statement.is_true)
    return _from_texts(statement.texts) | {
        "statement_id": statement.statement_id,
        "video_id": statement.video_id,
        "is_true": truth,
        "opposite": statement.opposite,
    }


def _to_statement(example: Example) -> Statement:
    truth = int(example["is_true"])
    return Statement(
        statement_id=example["statement_id"].decode(),
        video_id=example["video_id"].decode(),
        texts=_to_texts(example),
        is_true=None if truth == UNKNOWN else bool(truth),
        opposite=example["opposite"].decode(),
    )


def _from_captions(moment: CaptionedMoment) -> dict[str, Any]:
    groups = [caption.texts for caption in moment.captions]
    return {
        "moment_id": moment.moment_id,
        "video_id": moment.video_id,
        "moments": _pairs([] if moment.moment is None else [moment.moment]),
        "caption_ids": [caption.caption_id for caption in moment.captions],
        "kinds": [caption.kind for caption in moment.captions],
        "counts": _counts(groups),
        "languages": [code for texts in groups for code in texts],
        "texts": [text for texts in groups for text in texts.values()],
    }


def _to_captions(example: Example) -> CaptionedMoment:
    groups = _to_groups(example["counts"], example["languages"], example["texts"])
    return CaptionedMoment(
        moment_id=example["moment_id"].decode(),
        video_id=example["video_id"].decode(),
        moment=_to_moment(example),
        captions=tuple(
            Caption(name.decode(), texts, kind.decode())
            for name, texts, kind in zip(
                example["caption_ids"], groups, example["kinds"], strict=True
            )
        ),
    )


def _from_tokens(tokens: Tokens) -> dict[str, Any]:
    return {
        "kind": tokens.kind,
        "record_id": tokens.record_id,
        "counts": _counts(tokens.texts),
        "ids": np.array([i for ids in tokens.texts for i in ids], np.int32),
    }


def _to_tokens(example: Example) -> Tokens:
    counts, ids = example["counts"], example["ids"]
    ends = np.cumsum(counts, dtype=int)
    texts = (ids[end - n : end].tobytes() for n, end in zip(counts, ends))
    return Tokens(
        kind=example["kind"].decode(),
        record_id=example["record_id"].decode(),
        texts=tuple(array.array("i", text) for text in texts),
    )


def _to_moment(example: Example) -> tuple[float, float] | None:
    for start, end in example["moments"]:
        return float(start), float(end)
    return None


def _counts(groups: Sequence[Sized]) -> np.ndarray:
    return np.array([len(group) for group in groups], np.int64)


def _to_groups(
    counts: Sequence[int], languages: Sequence[bytes], texts: Sequence[bytes]
) -> tuple[Mapping[str, str], ...]:
    """Texts by language, `counts[i]` of them in mapping i."""
    pairs = zip(languages, texts, strict=True)
    decoded = [(language.decode(), text.decode()) for language, text in pairs]
    ends = np.cumsum(counts, dtype=int)
    return tuple(dict(decoded[end - n : end]) for n, end in zip(counts, ends))


def _from_texts(texts: Mapping[str, str]) -> dict[str, Any]:
    return {"languages": list(texts), "texts": list(texts.values())}


def _to_texts(example: Example) -> dict[str, str]:
    pairs = zip(example["languages"], example["texts"], strict=True)
    return {language.decode(): text.decode() for language, text in pairs}


def _pairs(times: Any) -> np.ndarray:
    return np.array(times, np.float64).reshape(-1, 2)


_ENCODERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "videos": _from_video,
    "queries": _from_query,
    "parallel": _from_texts,
    "questions": _from_question,
    "statements": _from_statement,
    "captions": _from_captions,
    "tokens": _from_tokens,
}
_DECODERS: dict[str, Callable[[Example], Any]] = {
    "videos": _to_video,
    "queries": _to_query,
    "parallel": _to_texts,
    "questions": _to_question,
    "statements": _to_statement,
    "captions": _to_captions,
    "tokens": _to_tokens,
}
