"""Question answering as it trains, packed and in our own mode, gives official numbers.

The recorded batches hold a padded copy of the video for each text; here the frames of a
video stand once, several segments share a row, and masks are boolean. Nothing of these
cases depends on padding, so outputs and gradients are those recorded.
"""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from parity_cases import videos_of
from parity_harness import Result, mismatches
from test_packed import segments_of

from data_pipelines.schema import Video
from hero_jax import pretrained
from hero_jax.losses.answer import AnswerLoss
from hero_jax.model.multitask import TaskModel
from hero_jax.tasks.beside import NO_SPAN, Copy, PreparedAsked, collate_beside
from hero_jax.tasks.entailment import Entailment
from hero_jax.tasks.packing import Segment
from hero_jax.tasks.question_answering import QuestionAnswering
from hero_jax.tasks.source import Examples, VideoExample
from tests.asked_corpora import AskedSource

SOURCE = AskedSource()
VIDEO = Video("recorded", 0.0, 1.5, 0, {})


def copies_of(videos, texts, mask):
    """Segments and text of every copy; those without frames are not read (H-19)."""
    segments = [[] for _ in texts]
    for copy, frames, tokens in segments_of(videos):
        if len(frames):
            segments[copy].append(Segment(tokens, frames))
    real = [text[is_real > 0] for text, is_real in zip(texts, mask)]
    return [Copy(text, tuple(own)) for text, own in zip(real, segments)]


def packed(case, prefix, num_texts, truth, spans):
    """The recorded batch, as our tasks collate it, in two groups if that divides it."""
    given = case.inputs
    videos = videos_of(given, case.meta["in_meta"])
    texts, mask = given[f"{prefix}_input_ids"], given[f"{prefix}_attn_masks"]
    copies = copies_of(videos, texts, mask)
    features = [
        own[is_real]
        for own, is_real in zip(
            videos.features[::num_texts], videos.frame_mask[::num_texts]
        )
    ]
    examples = RecordedExamples(features)
    asked = [
        PreparedAsked(
            video,
            tuple(copies[i * num_texts : (i + 1) * num_texts]),
            tuple(truth[i].tolist()),
            tuple(spans[i].tolist()),
        )
        for i, video in enumerate(examples)
    ]
    num_groups = 1 if len(asked) % 2 else 2
    groups = np.array(asked, object).reshape(num_groups, -1).tolist()
    return collate_beside(examples, groups, {})[0]


class RecordedExamples(Examples):
    """Just enough of a corpus to collate from."""

    def __init__(self, features):
        self._features = features
        self._examples = [
            VideoExample(i, VIDEO, len(own), {}, ()) for i, own in enumerate(features)
        ]
        self.source = dataclasses.replace(SOURCE, row_length=64)
        self.max_frames = max(map(len, features)) + 2  # padding does not matter
        self.corpus = SimpleNamespace(feature_width=features[0].shape[1])
        self.tokenizer = SimpleNamespace(pad=1)
        self.has_one_owner = False

    def features(self, index):
        return self._features[index]


def run(golden, case, task, batch, outputs_of):
    config = dataclasses.replace(golden.config(case.meta["weights"]), official=False)
    params = pretrained.from_official(golden.weights(case.meta["weights"]), config)
    model = TaskModel(config, {"task": task.head()})

    @jax.jit
    def loss(params):
        predictions = model.apply({"params": {"hero": params}}, "task", batch)
        total, terms = task.loss(predictions, batch, step=np.array(0), key=None)
        return total, outputs_of(predictions, terms) | {"loss": total}

    gradient, outputs = jax.grad(loss, has_aux=True)(params)
    return Result(outputs, pretrained.to_official(gradient))


@pytest.mark.parametrize("name", ["videoqa_tvqa", "videoqa_how2qa"])
def test_questions(golden, name):
    if name not in golden.names():
        pytest.skip(f"{name} is not in this set")
    case = golden.case(name)
    num_answers, labels = case.meta["n_answers"], case.inputs["targets"]
    truth = np.where(labels < 0, -1, np.arange(num_answers) == labels)
    batch = packed(case, "qa", num_answers, truth, case.inputs["ts_targets"])
    weight = float(case.meta["lw_st_ed"])
    task = QuestionAnswering(source=SOURCE, objective=AnswerLoss(weight))
    num_frames = case.inputs["c_attn_masks"].shape[1]

    def outputs_of(predictions, terms):
        return {
            "logits": predictions.logits,
            "st_logits": predictions.start[:, :num_frames],
            "ed_logits": predictions.end[:, :num_frames],
            "qa_loss": terms["answer"],
            "temporal_loss": terms["span"],
        }

    result = run(golden, case, task, batch, outputs_of)
    result = Result(with_official_masks(result.outputs), result.gradients)
    found = mismatches(case, result)
    assert not found, "\n".join(found)


def with_official_masks(outputs):
    """-1e9 where a frame does not exist becomes the official -1e4."""
    return {k: np.maximum(np.asarray(v), -1e4) for k, v in outputs.items()}


def test_statements(golden):
    if "violin" not in golden.names():
        pytest.skip("violin is not in this set")
    case = golden.case("violin")
    truth = case.inputs["targets"].reshape(-1, 2)
    batch = packed(case, "q", 2, truth, np.tile(NO_SPAN, (len(truth), 1)))
    outputs_of = lambda logits, terms: {"logits": logits}
    found = mismatches(
        case, run(golden, case, Entailment(source=SOURCE), batch, outputs_of)
    )
    assert not found, "\n".join(found)
