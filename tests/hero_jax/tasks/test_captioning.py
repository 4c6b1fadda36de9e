"""Captioning: batches by hand, layouts that must not matter, a run and its files."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from data_pipelines.readers.errors import InputError
from data_pipelines.schema import CaptionedMoment
from hero_jax.losses.label_smoothing import LabelSmoothing
from hero_jax.model.hero import Hero
from hero_jax.model.multitask import TaskModel
from hero_jax.model.transformer import TransformerConfig
from hero_jax.tasks.captioner import Captioner, Writing, frames_of
from hero_jax.tasks.captioning import (
    CaptionedVideo,
    Captioning,
    PreparedCaption,
    PreparedCaptions,
)
from hero_jax.tasks.encoder import Encoder
from tests import short_runs
from tests.captioned_corpora import CaptionedSource

SOURCE = CaptionedSource(num_videos=6, num_lines=5)
TASK = Captioning(source=SOURCE, batch_size=3)
NO_DRAWS = np.random.default_rng(0)


def tiny_model(source, **changes):
    decoder = TransformerConfig(width=8, num_heads=2, num_layers=2, mlp_width=12)
    return dataclasses.replace(
        short_runs.tiny_model(source),
        decoder=dataclasses.replace(decoder, dropout=0.0),
        max_caption_positions=64,
        num_caption_languages=2,
        **changes,
    )


def prepared(video, captions):
    """Without subtitles, so that everything can be written down."""
    return PreparedCaptions(video, (), tuple(captions))


def batch_of(groups, capacity=None, task=TASK):
    return task.collate(
        groups, capacity or {}, split="train", local=slice(None), rng=NO_DRAWS
    )


def test_a_batch_holds_each_caption_with_the_frames_of_its_moment():
    videos = SOURCE.open("train")
    F = videos.max_frames
    tokenizer = SOURCE.load_tokenizer()
    bos, eos, pad = tokenizer.bos, tokenizer.eos, tokenizer.pad
    first = [PreparedCaption(0, np.array([7, 8]), (2, 4))]
    second = [
        PreparedCaption(1, np.array([9]), (0, 1)),
        PreparedCaption(0, np.array([5, 6]), (3, 6)),
    ]
    batch, used = batch_of([[prepared(videos[0], first), prepared(videos[1], second)]])
    assert used == {"rows": 0, "captions": 3, "words": 3, "labels": 8, "moment": 3}
    assert batch.tokens.tolist() == [[bos, 7, 8], [bos, 9, pad], [bos, 5, 6]]
    assert batch.frame.tolist() == [[2, 3, -1], [F, -1, -1], [F + 3, F + 4, F + 5]]
    assert batch.language.tolist() == [0, 1, 0]
    assert batch.slot.tolist() == [0, 1, 2, 3, 4, 6, 7, 8]
    assert batch.label.tolist() == [7, 8, eos, 9, eos, 5, 6, eos]


def test_groups_count_their_frames_and_words_for_themselves():
    videos = SOURCE.open("train")
    caption = PreparedCaption(0, np.array([7]), (1, 2))
    groups = [[prepared(videos[i], [caption] * (i + 1))] for i in range(2)]
    batch, _ = batch_of(groups)
    assert batch.frame.tolist() == [[1], [-1], [1], [1]]
    assert batch.slot.tolist() == [0, 1, 0, 0, 0, 1, 2, 3]
    assert batch.label[2:4].tolist() == [-1, -1]


def test_long_captions_are_cut_or_left_out():
    task = dataclasses.replace(TASK, max_caption_tokens=3)
    tokens = np.arange(10, 16)
    example = prepared(SOURCE.open("train")[0], [PreparedCaption(0, tokens, (0, 2))])
    batch, _ = batch_of([[example]], task=task)
    bos = SOURCE.load_tokenizer().bos
    assert batch.tokens.tolist() == [[bos, 10, 11]]
    assert batch.label.tolist() == [10, 11, 12]  # so officially: no end
    by_caption = dataclasses.replace(task, is_by_caption=True)
    kept = [c for one in by_caption.examples("train") for c in one.captions]
    assert 0 < len(kept) < 24
    assert all(len(t) <= 3 for c in kept for t in c.tokens.values())


def test_an_example_is_a_video_with_all_captions_or_one_caption():
    assert [len(one.captions) for one in TASK.examples("train")] == [4] * 6
    single = dataclasses.replace(TASK, is_by_caption=True).examples("train")
    assert [len(one.captions) for one in single] == [1] * 24
    assert set(single[0].captions[0].tokens) == {0, 1}


def test_moments_keep_a_frame_where_officially_none_is_left():
    example = SOURCE.open("train")[0]
    n = example.num_frames
    span = lambda times, official: frames_of(
        CaptionedMoment("m", "v", times), example, is_official=official
    )
    beyond = (1.5 * n + 3, 1.5 * n + 6)
    assert span((3.0, 6.2), False) == span((3.0, 6.2), True) == (2, 4)
    assert span((3.0, 3.1), False) == (2, 3)
    assert span(beyond, True) == (n, n)  # H-39
    assert span(beyond, False) == (n - 1, n)
    assert span(None, False) == (0, n)


def test_languages_of_subtitles_and_captions_are_drawn_independently():
    example = TASK.examples("train")[0]
    rng = np.random.default_rng(1)
    drawn = [TASK.prepare(example, rng, rng.random()) for _ in range(40)]
    spoken = lambda p: tuple(p.segments[0].tokens.tolist())
    assert len({spoken(p) for p in drawn}) == 2
    assert len({(spoken(p), p.captions[0].language) for p in drawn}) == 4


def test_context_is_read_before_each_line():
    example = TASK.examples("train")[0]
    language = next(iter(example.video.lines))
    only = dataclasses.replace(
        example.video, lines={language: example.video.lines[language]}
    )
    lines = only.lines[language]
    number = next(i for i, s in enumerate(lines) if i and len(s.frames))
    segments = TASK.prepare(
        CaptionedVideo(only, example.captions), NO_DRAWS, 0.5
    ).segments
    wanted = [
        SOURCE.load_tokenizer().eos,
        *lines[number - 1].tokens,
        *lines[number].tokens,
    ]
    assert wanted in [s.tokens.tolist() for s in segments]


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(3)
    return [
        TASK.prepare(example, rng, rng.random())
        for example in TASK.examples("train")[:4]
    ]


def losses(params, groups, capacity=None):
    batch, _ = batch_of(groups, capacity)
    labels = np.asarray(batch.label)
    each = LabelSmoothing().each(logits_of(params, batch), labels, labels >= 0)
    return np.asarray(each)[labels >= 0]


MODEL = TaskModel(tiny_model(SOURCE), {"task": TASK.head()})


@jax.jit
def logits_of(params, batch):
    return MODEL.apply({"params": params}, "task", batch)


@pytest.fixture(scope="module")
def params(drawn):
    batch, _ = batch_of([drawn])
    drawn = MODEL.init(jax.random.key(0), "task", batch)["params"]
    noise = np.random.default_rng(5)
    return jax.tree.map(
        lambda x: x + 0.4 * noise.standard_normal(x.shape).astype(x.dtype), drawn
    )


def test_groups_room_and_company_do_not_matter(drawn, params):
    together = losses(params, [drawn])
    room = {"rows": 9, "captions": 20, "words": 17, "labels": 200, "moment": 8}
    np.testing.assert_allclose(losses(params, [drawn], room), together, atol=1e-4)
    halves = losses(params, [drawn[:2], drawn[2:]])
    np.testing.assert_allclose(halves, together, atol=1e-4)
    last = losses(params, [drawn[3:]])
    np.testing.assert_allclose(last, together[-len(last) :], atol=1e-4)


def test_what_is_written_is_what_the_decoder_reads_as_likeliest(params):
    """The cached steps against the whole caption read again, word by word (H-41)."""
    noise, hero = np.random.default_rng(6), params["hero"]
    lengths = (2, 5, 1)
    moments = [noise.standard_normal((n, 8)).astype(np.float32) for n in lengths]
    encoder = Encoder(MODEL.config, hero, SOURCE)
    written = Captioner(encoder, Writing(max_words=6, batch_size=2)).write(moments, 1)
    frames = np.stack([np.pad(m, ((0, 5 - len(m)), (0, 0))) for m in moments])
    mask = np.arange(5) < np.array(lengths)[:, None]
    read = lambda h, *a: h.word_logits(h.caption_states(*a).reshape(-1, 8))
    reread = jax.jit(
        lambda *a: Hero(MODEL.config).apply({"params": hero}, *a, method=read)
    )
    tokenizer = SOURCE.load_tokenizer()
    tokens = np.full((3, 7), tokenizer.pad)
    tokens[:, 0] = tokenizer.bos
    for place in range(6):
        logits = reread(tokens, frames, mask, np.ones(3, int)).reshape(3, 7, -1)
        tokens[:, place + 1] = np.argmax(logits[:, place], axis=1)
    for row, text in zip(tokens[:, 1:].tolist(), written):
        end = [*row, tokenizer.eos].index(tokenizer.eos)
        assert text == tokenizer.decode(row[:end])


def test_three_steps_and_an_evaluation(tmp_path, monkeypatch):
    with_dropout = dataclasses.replace(MODEL.config.decoder, dropout=0.1)
    model = dataclasses.replace(MODEL.config, decoder=with_dropout)
    monkeypatch.setattr(short_runs, "tiny_model", lambda source: model)
    task = dataclasses.replace(TASK, writing=Writing(max_words=4, num_beams=2))
    found, results = short_runs.train_and_evaluate(task, SOURCE, tmp_path)
    assert np.isfinite(found).all()
    assert set(results) == {"en", "zh"}
    for row in results.values():
        assert set(row) == {"en", "zh", "none"}
        for cell in row.values():
            assert {"BLEU-4", "ROUGE-L", "CIDEr", "chance", "num_moments"} <= set(cell)
            assert cell["num_moments"] == 12
    lines = (tmp_path / "captions-en-zh.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    corpus = SOURCE.open("test").corpus
    assert [row["clip_id"] for row in rows] == [m.moment_id for m in corpus.captions]
    assert rows[0]["ts"] == list(corpus.captions[0].moment)
    assert set(rows[0]) == {"vid_name", "clip_id", "ts", "descs"}


def test_unpublished_captions_are_written_all_the_same(tmp_path, params):
    source = dataclasses.replace(SOURCE, is_test=True, is_whole=True, num_videos=2)
    task = Captioning(source=source, writing=Writing(max_words=2))
    assert task.evaluate(MODEL.config, params, "test", predictions_dir=tmp_path) == {}
    for language in ("en", "zh"):
        lines = (tmp_path / f"captions-{language}-none.jsonl").read_text().splitlines()
        assert len(lines) == 2
        assert "ts" not in json.loads(lines[0])
    with pytest.raises(InputError, match="has no captions"):
        task.examples("test")


def test_a_writing_without_words_or_beams_is_refused():
    for field in ("max_words", "num_beams", "batch_size"):
        with pytest.raises(ValueError, match=field):
            Writing(**{field: 0})
    with pytest.raises(ValueError, match="length_penalty"):
        Writing(length_penalty=-1.0)
