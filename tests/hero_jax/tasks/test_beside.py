import dataclasses

import numpy as np
import pytest

from hero_jax.tasks.beside import collate_beside, padding, pieces, read_beside
from hero_jax.tasks.packing import Segment
from hero_jax.tasks.question_answering import QuestionAnswering
from tests.asked_corpora import AskedSource

SOURCE = AskedSource(num_videos=6, num_lines=4)
EOS = SOURCE.load_tokenizer().eos
TASK = QuestionAnswering(source=SOURCE)


def tokens(*numbers):
    return np.array(numbers, np.int32)


def test_every_piece_stands_behind_its_separator():
    both = pieces(SOURCE, [tokens(10, 11), tokens(12)])
    assert both.tolist() == [EOS, 10, 11, EOS, 12]
    assert pieces(SOURCE, [tokens(12)]).tolist() == [EOS, 12]


def test_a_question_too_long_for_a_row_loses_its_end_and_no_answer():
    short = dataclasses.replace(SOURCE, row_length=8)
    both = pieces(short, [np.arange(10, 30), tokens(40, 41)])
    assert both.tolist() == [EOS, 10, 11, 12, 13, EOS, 40, 41]
    only = pieces(short, [np.arange(10, 30), np.arange(40, 60)])
    assert only.tolist() == [EOS, EOS, *range(40, 46)]


def test_the_text_ends_every_segment_after_earlier_lines():
    lines = [
        Segment(tokens(20), tokens(0, 1)),
        Segment(tokens(21, 22), tokens()),  # over no frame: read as context only
        Segment(tokens(23), tokens(2)),
    ]
    text = tokens(EOS, 30)
    copy = read_beside(SOURCE, lines, text, context=1)
    assert [s.tokens.tolist() for s in copy.segments] == [
        [EOS, 20, EOS, 30],
        [EOS, 21, 22, 23, EOS, 30],
    ]
    assert [s.frames.tolist() for s in copy.segments] == [[0, 1], [2]]
    assert copy.text.tolist() == [EOS, 30]
    alone = read_beside(SOURCE, lines, text, context=0)
    assert alone.segments[1].tokens.tolist() == [EOS, 23, EOS, 30]
    assert read_beside(SOURCE, lines, tokens(), context=0).segments == ()


@pytest.mark.parametrize("num_groups", [1, 2])
def test_copies_have_their_own_rows_over_the_frames_of_one_video(num_groups):
    rng = np.random.default_rng(0)
    asked = [TASK.prepare(one, rng, rng.random()) for one in TASK.examples("train")[:3]]
    asked.append(padding(3))
    groups = np.array(asked, object).reshape(num_groups, -1).tolist()
    examples = SOURCE.open("train")
    batch, used = collate_beside(examples, groups, {})
    videos, num_frames = batch.videos, examples.max_frames
    assert videos.features.shape == (4, num_frames, SOURCE.feature_width)
    assert videos.frame_mask.shape == (12, num_frames)
    assert videos.num_groups == batch.texts.num_groups == num_groups
    counts = [one.video.num_frames if one.video else 0 for one in asked]
    assert videos.frame_mask.sum(1).tolist() == np.repeat(counts, 3).tolist()
    assert batch.truth.reshape(4, 3)[3].tolist() == [-1, -1, -1]
    assert batch.texts.mask.tolist() == [True] * 9 + [False] * 3
    # Every slot of a frame lies in its own copy, in the group's own numbering.
    rows = videos.frame.reshape(num_groups, -1)
    for group, frames in enumerate(rows):
        owners, places = divmod(frames[frames >= 0], num_frames)
        copies = owners + group * 12 // num_groups
        assert (places < np.repeat(counts, 3)[copies]).all()
        expected = {c for c in range(12) if asked[c // 3].copies[c % 3].segments}
        lo, hi = group * 12 // num_groups, (group + 1) * 12 // num_groups
        assert set(copies.tolist()) == {c for c in expected if lo <= c < hi}
    assert used["text"] == max(len(c.text) for one in asked for c in one.copies)
    texts = [c.text.tolist() for one in asked for c in one.copies]
    for row, segment, text in zip(batch.texts.tokens, batch.texts.segment, texts):
        assert row[segment > 0].tolist() == text
