import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.frame_jsd import FrameJSD
from hero_jax.losses.info_nce import InfoNCE
from hero_jax.losses.inter_intra import InterIntra
from hero_jax.losses.ranking import VSM
from hero_jax.losses.siglip import SigLIP
from hero_jax.losses.span import SpanLoss
from hero_jax.model.hero import HeroConfig
from hero_jax.model.multitask import TaskModel
from hero_jax.model.transformer import TransformerConfig
from hero_jax.pipeline import Pipeline
from hero_jax.tasks import code_switch
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from tests.corpora import MemorySource

SOURCE = MemorySource(num_videos=12)


def task(**changes):
    base = MomentRetrieval(
        source=SOURCE, batch_size=6, num_subtitle_queries=2, num_annotated_queries=1
    )
    return dataclasses.replace(base, **changes)


def prepare(index=0, seed=0, **changes):
    example = SOURCE.open("train")[index]
    rng = np.random.default_rng(seed)
    return example, task(**changes).prepare(example, rng, rng.random())


def test_a_held_out_subtitle_keeps_its_frames_and_loses_its_text():
    _, prepared = prepare(num_annotated_queries=0)
    tokenizer = SOURCE.load_tokenizer()
    silent = [s for s in prepared.segments if s.tokens.tolist() == [tokenizer.eos]]
    assert len(silent) == 2
    for query, segment in zip(prepared.queries, silent):
        first, last = query.span
        assert first == segment.frames[0]
        assert last >= segment.frames[-1]
        assert query.tokens[0] == tokenizer.bos


def test_languages_of_subtitles_and_queries_are_drawn_independently():
    pairs = set()
    han = lambda tokens: any(
        ord(c) > 0x2E80 for c in SOURCE.load_tokenizer().decode(tokens.tolist())
    )
    for seed in range(40):
        _, prepared = prepare(seed=seed)
        context = np.concatenate([s.tokens for s in prepared.segments])
        pairs |= {(han(context), han(q.tokens)) for q in prepared.queries}
    assert len(pairs) == 4


def has_han(tokens):
    text = SOURCE.load_tokenizer().decode(tokens.tolist())
    return any(ord(c) > 0x2E80 for c in text)


def test_monolingual_training_never_mixes():
    for seed in range(10):
        _, prepared = prepare(seed=seed, is_same_language=True)
        context = np.concatenate([s.tokens for s in prepared.segments])
        assert {has_han(q.tokens) for q in prepared.queries} == {has_han(context)}


def test_one_language_alone_can_be_trained_and_the_others_stay_in_the_corpus():
    for seed in range(5):
        example, prepared = prepare(seed=seed, languages=("zh",))
        assert set(example.lines) == {"en", "zh"}
        assert all(has_han(q.tokens) for q in prepared.queries)
    fields = task(languages=("zh",)).fingerprint("train")
    assert fields == task().fingerprint("train") | {"drawn": "zh"}
    with pytest.raises(ValueError, match="found fr, expected some of en, zh"):
        prepare(languages=("fr",))


def test_words_change_language_by_the_dictionary_of_the_parallel_texts(monkeypatch):
    pairs = 5 * [{"en": np.array([1, 50]), "zh": np.array([1, 70])}]
    pairs += 45 * [{"en": np.array([1, 9]), "zh": np.array([1, 8])}]
    monkeypatch.setattr(SOURCE.open("train"), "parallel", pairs)
    text, rng = np.array([1, 50, 9, 50]), np.random.default_rng(0)
    change = lambda rate: code_switch.switched(SOURCE, text, "en", rate, rng).tolist()
    assert change(1.0) == [1, 70, 9, 70]  # 1 and 9 are in too many texts to mean much
    assert change(0.0) == text.tolist()
    code_switch._entries.cache_clear()


def test_switched_texts_keep_their_length_and_their_frames():
    _, plain = prepare(languages=("en",))
    _, mixed = prepare(languages=("en",), switch_rate=0.9)
    assert [len(s) for s in plain.segments] == [len(s) for s in mixed.segments]
    assert task(switch_rate=0.9).fingerprint("train")["switch_rate"] == 0.9


def test_a_video_without_subtitles_has_no_segments():
    _, prepared = prepare(no_subtitles_rate=1.0)
    assert prepared.segments == ()
    assert len(prepared.queries) == 3


def spoken_in(*languages):
    """The first video with subtitles in these languages alone."""
    example = SOURCE.open("train")[0]
    lines = {c: ones if c in languages else () for c, ones in example.lines.items()}
    return dataclasses.replace(example, lines=lines)


def test_subtitles_are_drawn_in_a_language_that_the_video_has():
    a_task, example = task(num_subtitle_queries=0), spoken_in("en")
    asked = set()
    for seed in range(12):
        prepared = a_task.prepare(example, np.random.default_rng(seed), seed / 12)
        assert prepared.segments
        assert not has_han(np.concatenate([s.tokens for s in prepared.segments]))
        asked |= {has_han(query.tokens) for query in prepared.queries}
    assert asked == {True, False}
    whole = SOURCE.open("train")[0]
    by_language = [
        task(languages=(code,)).expected_cost(whole) for code in ("en", "zh")
    ]
    assert a_task.expected_cost(example) == by_language[0]
    assert a_task.expected_cost(whole) == np.mean(by_language)


def test_where_a_video_has_no_subtitles_its_frames_are_read_alone():
    a_task, example = task(), spoken_in()
    assert a_task.expected_cost(example) == 0
    for share in (0.0, 0.6):
        prepared = a_task.prepare(example, np.random.default_rng(0), share)
        assert prepared.segments == ()
        assert len(prepared.queries) == 1  # the annotated one
    prepared = task(languages=("zh",)).prepare(
        spoken_in("en"), np.random.default_rng(0), 0.5
    )
    assert prepared.segments == ()  # English is not drawn


def batch_of(a_task, number=0):
    return Pipeline(a_task, name="moments", seed=1).batch(number)


def test_queries_know_their_video_and_padding_is_no_query():
    batch = batch_of(task(num_annotated_queries=5))
    assert batch.video_of.tolist() == sorted([0, 1, 2, 3, 4, 5] * 7)
    mask = batch.queries.mask.reshape(6, 7)
    assert (mask.sum(axis=1) == 5).all()  # two subtitles, three annotated queries
    assert (batch.span.reshape(6, 7, 2)[~mask] == -1).all()


def test_pairs_exclude_own_video_equal_texts_and_padding():
    a_task = task()
    batch = batch_of(a_task)
    text_id = np.arange(18)
    text_id[0] = text_id[17] = 77  # a query of video 0 and one of video 5
    batch = batch.replace(text_id=text_id)
    positives, allowed = map(np.asarray, a_task._pairs(batch))
    assert positives.sum(axis=1).tolist() == batch.queries.mask.astype(int).tolist()
    assert not (positives & allowed).any()
    assert not allowed[0, 5]
    assert not allowed[17, 0]
    assert allowed[1, 5]
    _, official = a_task.__class__._pairs(task(is_official=True), batch)
    assert bool(official[0, 5])


@pytest.mark.parametrize(
    ("objective", "span"),
    [
        (VSM(), SpanLoss()),
        (VSM(), None),
        (InfoNCE(), SpanLoss()),
        (SigLIP(), None),
        (InterIntra(has_intra_gradient=True), None),
        (InterIntra(disorder="subtitle_swap"), None),
        (InfoNCE(), FrameJSD()),
    ],
)
def test_every_objective_trains_on_the_same_batch(objective, span):
    local = {"frames" if isinstance(span, FrameJSD) else "span": span}
    a_task = task(objective=objective, span_rate=1.0, **({"span": None} | local))
    batch = batch_of(a_task)
    tower = TransformerConfig(width=8, num_heads=2, num_layers=1, mlp_width=12)
    config = HeroConfig(
        vocab_size=304, feature_width=6, cross_modal=tower, temporal=tower,
        query_heads=2, max_positions=128, max_frames=100, max_query_positions=60,
    )  # fmt: skip
    model = TaskModel(config, {"moments": a_task.head()})
    params = model.init(jax.random.key(0), "moments", batch)

    def loss(params):
        predictions = model.apply(params, "moments", batch)
        return a_task.loss(predictions, batch, step=jnp.asarray(0), key=None)

    (value, terms), grads = jax.value_and_grad(loss, has_aux=True)(params)
    assert np.isfinite(value)
    points = isinstance(span, SpanLoss)
    assert ("start" in terms) == points
    assert ("inside" in terms) == isinstance(span, FrameJSD)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    trains_span = np.any(grads["params"]["hero"]["span"]["projection"]["kernel"] != 0)
    assert trains_span == points


def by_query(**changes):
    return task(
        num_subtitle_queries=0, num_annotated_queries=1, is_by_query=True, **changes
    )


def test_an_example_is_a_query_with_its_video():
    examples = by_query().examples("train")
    assert len(examples) == 36  # three queries about each of twelve videos
    assert [e.index for e in examples[:4]] == [0, 0, 0, 1]
    batch = batch_of(by_query())
    assert batch.queries.mask.tolist() == [True] * 6
    assert batch.video_of.tolist() == list(range(6))


def test_a_video_that_stands_twice_is_no_negative_of_its_queries():
    a_task = by_query()
    batch = batch_of(a_task)
    batch = batch.replace(video=np.array([0, 1, 2, 3, 4, 1]), text_id=np.arange(6))
    positives, allowed = map(np.asarray, a_task._pairs(batch))
    assert positives.tolist() == np.eye(6, dtype=bool).tolist()
    forbidden = {tuple(pair) for pair in np.argwhere(~allowed & ~positives).tolist()}
    assert forbidden == {(1, 5), (5, 1)}
    _, official = a_task.__class__._pairs(by_query(is_official=True), batch)
    assert bool(official[1, 5])  # H-7


def test_training_leaves_out_queries_that_are_too_long():
    lengths = [
        max(len(t) - 1 for t in e.queries[0].tokens.values())
        for e in by_query().examples("train")
    ]
    limit = sorted(lengths)[20]
    kept = by_query(longest_query=limit).examples("train")
    assert len(kept) == sum(length <= limit for length in lengths)
    with pytest.raises(ValueError, match="has no queries about known videos"):
        by_query(longest_query=0).examples("train")


def test_a_query_in_one_language_is_asked_in_that_one():
    a_task, tokenizer = by_query(), SOURCE.load_tokenizer()
    example = a_task.examples("train")[0]
    (query,) = example.queries
    one = dataclasses.replace(query, tokens={"zh": query.tokens["zh"]})
    example = dataclasses.replace(example, queries=(one,))
    for seed in range(6):
        prepared = a_task.prepare(example, np.random.default_rng(seed), 0.5)
        assert prepared.queries[0].tokens.tolist() == query.tokens["zh"].tolist()
    same = by_query(is_same_language=True).prepare(
        example, np.random.default_rng(0), 0.5
    )
    text = tokenizer.decode(np.concatenate([s.tokens for s in same.segments]).tolist())
    assert any(ord(character) > 0x2E80 for character in text)


def test_earlier_subtitles_are_read_as_context():
    example = SOURCE.open("train")[0]
    rng = lambda: np.random.default_rng(3)
    plain = by_query().prepare(by_query().examples("train")[0], rng(), 0.5)
    wider = by_query(context=1).prepare(by_query().examples("train")[0], rng(), 0.5)
    assert sum(map(len, wider.segments)) > sum(map(len, plain.segments))
    assert by_query(context=1).expected_cost(example) > task().expected_cost(example)
    with pytest.raises(ValueError, match="context 1 would show the subtitles"):
        task(context=1)


def test_frames_alone_are_one_segment_behind_the_first_token():
    """B.7: the official video-only item."""
    source = dataclasses.replace(SOURCE, channels="video")
    example = source.open("train")[0]
    prepared = by_query(source=source).prepare(
        by_query(source=source).examples("train")[0], np.random.default_rng(0), 0.5
    )
    (segment,) = prepared.segments
    assert segment.tokens.tolist() == [source.load_tokenizer().bos]
    assert segment.frames.tolist() == list(range(example.num_frames))
    assert source.fingerprint("train")["channels"] == "video"
    assert "channels" not in SOURCE.fingerprint("train")
