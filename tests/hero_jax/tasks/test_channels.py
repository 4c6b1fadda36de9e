"""Frames alone, subtitles alone, and every subtitle for the sequence model."""

import dataclasses

import numpy as np
import pytest

from hero_jax.tasks.captioning import Captioning
from hero_jax.tasks.encoder import readings
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.question_answering import QuestionAnswering
from tests.asked_corpora import AskedSource
from tests.captioned_corpora import CaptionedSource
from tests.corpora import MemorySource

SMALL = {"num_videos": 4, "num_lines": 6.0, "row_length": 256}
SOURCES = {
    QuestionAnswering: AskedSource(**SMALL),
    Captioning: CaptionedSource(**SMALL),
    MomentRetrieval: MemorySource(**SMALL),
}


def task_of(kind, **changes):
    source = dataclasses.replace(SOURCES[kind], **changes)
    return kind(source=source, batch_size=2)


def batch_of(task, *, num_groups=1, seed=0):
    examples = task.examples("train")
    rng = np.random.default_rng(seed)
    prepared = [task.prepare(examples[i], rng, rng.random()) for i in range(2)]
    groups = [prepared] if num_groups == 1 else [[one] for one in prepared]
    batch, _ = task.collate(groups, {}, split="train", local=slice(None), rng=rng)
    return prepared, batch.videos


@pytest.mark.parametrize("kind", SOURCES)
def test_subtitles_alone_come_without_features_behind_their_own_token(kind):
    task = task_of(kind, channels="subtitles")
    _, videos = batch_of(task)
    assert not videos.sees_frames and not videos.features.any()
    assert videos.frame_mask.any() and (videos.frame >= 0).any()
    is_first = (videos.segment > 0) & (videos.frame < 0) & (videos.position == 0)
    assert set(videos.tokens[is_first]) == {task.source.load_tokenizer().bos}


@pytest.mark.parametrize("kind", SOURCES)
def test_both_channels_come_with_features_behind_the_separator(kind):
    task = task_of(kind)
    _, videos = batch_of(task)
    assert videos.sees_frames and videos.features.any() and videos.subtitle is None
    is_first = (videos.segment > 0) & (videos.frame < 0) & (videos.position == 0)
    assert set(videos.tokens[is_first]) == {task.source.load_tokenizer().eos}


@pytest.mark.parametrize("kind", [QuestionAnswering, Captioning])
def test_frames_alone_are_one_segment_over_all_of_them(kind):
    task = task_of(kind, channels="video")
    prepared, _ = batch_of(task)
    bos = task.source.load_tokenizer().bos
    one = prepared[0]
    segments = one.copies[0].segments if kind is QuestionAnswering else one.segments
    (segment,) = segments
    np.testing.assert_array_equal(segment.frames, np.arange(one.video.num_frames))
    assert segment.tokens[0] == bos
    if kind is QuestionAnswering:
        np.testing.assert_array_equal(segment.tokens[1:], one.copies[0].text)
    else:
        assert len(segment.tokens) == 1


def test_every_channel_has_its_readings():
    source = SOURCES[QuestionAnswering]
    expected = {
        "both": ("en", "zh", "none"),
        "video": ("none",),
        "subtitles": ("en", "zh"),
    }
    for channels, known in expected.items():
        changed = dataclasses.replace(source, channels=channels)
        examples = changed.open("train")
        assert readings(examples) == known
        task = QuestionAnswering(source=changed)
        cells = task.cells(examples, task.asked("train", is_training=False))
        assert {cell.subtitles for cell in cells} == set(known)


@pytest.mark.parametrize("num_groups", [1, 2])
@pytest.mark.parametrize("kind", [QuestionAnswering, Captioning])
def test_every_line_has_its_place_where_lines_are_read_as_a_sequence(kind, num_groups):
    task = task_of(kind, reads_every_line=True)
    prepared, videos = batch_of(task, num_groups=num_groups)
    per_group = len(videos.tokens) // num_groups
    copies = [
        copy.segments
        for one in prepared
        for copy in (one.copies if kind is QuestionAnswering else [one])
    ]
    room = videos.subtitle.shape[1]
    assert room >= task.source.open("train").max_lines
    for b, segments in enumerate(copies):
        group = b // (len(copies) // num_groups)
        rows = videos.tokens[group * per_group :][:per_group].ravel()
        places = videos.subtitle[b]
        assert (places >= 0).sum() == len(segments)
        assert np.all(places[len(segments) :] == -1)
        for place, segment in zip(places, segments):
            found = rows[place : place + len(segment.tokens)]
            np.testing.assert_array_equal(found, segment.tokens)


def test_lines_over_no_frame_are_read_in_the_sequence_alone():
    source = dataclasses.replace(SOURCES[Captioning], max_frames=3)
    every = dataclasses.replace(source, reads_every_line=True)
    count = lambda s: [
        len(Captioning(source=s).prepare(e, np.random.default_rng(0), 0.5).segments)
        for e in Captioning(source=s).examples("train")
    ]
    assert all(few < many for few, many in zip(count(source), count(every)))


def test_the_fingerprint_tells_how_videos_are_read():
    source = SOURCES[Captioning]
    plain = source.fingerprint("train")
    assert not {"channels", "reads_every_line"} & set(plain)
    changed = dataclasses.replace(source, channels="subtitles", reads_every_line=True)
    more = {"channels": "subtitles", "reads_every_line": True}
    assert changed.fingerprint("train") == plain | more
