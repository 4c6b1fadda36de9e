"""A video's plan as the lines of TVR, TVQA, VIOLIN and TVC (hero_spec.md E.4).

Where those datasets hold one text, these lines hold an object {language: text}, as
mTVR's `descs` does. All times are seconds.
"""

import dataclasses
from typing import Any

import numpy as np

from data_pipelines.microtv.chinese import CHINESE
from data_pipelines.microtv.english import ENGLISH
from data_pipelines.microtv.facts import SAID, VISUAL, Facts, key_of
from data_pipelines.microtv.korean import KOREAN
from data_pipelines.microtv.plan import Line, Scene, VideoPlan

GRAMMARS = (ENGLISH, CHINESE, KOREAN)
LANGUAGES = tuple(grammar.code for grammar in GRAMMARS)

DATASETS = ("tvr", "tvqa", "violin", "tvc")

Text = dict[str, str]
"""language -> one text in it."""
Row = dict[str, Any]

_CHANNEL = {"v": VISUAL, "t": SAID}
_NUM_CAPTIONS = {"train": 2, "val": 4, "test": 4}
_NUM_CHOICES = 5


@dataclasses.dataclass(frozen=True)
class VideoTexts:
    """Everything written about one video."""

    subtitles: tuple[tuple[Line, Text], ...]
    annotations: dict[str, list[Row]]
    """dataset -> its lines."""


def texts_of(plan: VideoPlan, rng: np.random.Generator) -> VideoTexts:
    """The subtitles and annotations of a video, with wordings drawn from `rng`."""
    writer = _Writer(plan, rng)
    tvr = writer.tvr()
    return VideoTexts(
        subtitles=writer.subtitles(),
        annotations={
            "tvr": tvr,
            "tvqa": writer.tvqa(),
            "violin": writer.violin(),
            "tvc": writer.tvc(tvr),
        },
    )


def desc_id_of(plan: VideoPlan, scene: Scene) -> int:
    """The query that asks for a scene; unique over all splits."""
    return plan.index * len(plan.scenes) + plan.scenes.index(scene)


class _Writer:
    """Writes about one video, in the wordings that its split may use."""

    def __init__(self, plan: VideoPlan, rng: np.random.Generator):
        self.plan, self.rng = plan, rng

    def subtitles(self) -> tuple[tuple[Line, Text], ...]:
        return tuple(
            (line, self._say(line.kind, scene.facts))
            for scene in self.plan.scenes
            for line in scene.lines
        )

    def tvr(self) -> list[Row]:
        return [
            {
                "desc_id": desc_id_of(self.plan, scene),
                "vid_name": self.plan.video_id,
                "duration": self.plan.duration,
                "ts": list(scene.moment),
                "type": scene.kind,
                "descs": self._say(scene.kind, scene.facts),
            }
            for scene in self.plan.scenes
        ]

    def tvqa(self) -> list[Row]:
        """One question about what the first v scene shows, one about the first t's."""
        return [
            self._question(0, self._scenes("v")[0], "shown", "object"),
            self._question(1, self._scenes("t")[0], "told", "day"),
        ]

    def _question(self, number: int, scene: Scene, kind: str, field: str) -> Row:
        true = scene.facts[field]
        wrong = [value for value in _CHANNEL[scene.kind][field] if value != true]
        values = self.rng.permutation(wrong)[: _NUM_CHOICES - 1].tolist()
        answer = int(self.rng.integers(_NUM_CHOICES))
        values.insert(answer, true)
        choices = [self._say(f"choice_{kind}", {field: value}) for value in values]
        return {
            "qid": 2 * self.plan.index + number,
            "q": self._say(f"ask_{kind}", scene.facts),
            **{f"a{i}": choice for i, choice in enumerate(choices)},
            "answer_idx": answer,
            "vid_name": self.plan.video_id,
            "show_name": "microtv",
            "ts": "{:.2f}-{:.2f}".format(*scene.moment),
        }

    def violin(self) -> list[Row]:
        """Of the second v and t scene, a true statement and one false in one fact."""
        return [
            row
            for pair, kind in enumerate(_CHANNEL)
            for row in self._statements(pair, self._scenes(kind)[1])
        ]

    def _statements(self, pair: int, scene: Scene) -> list[Row]:
        by_answer = [self._falsified(scene), scene.facts]
        return [
            {
                "example_id": 4 * self.plan.index + 2 * pair + answer,
                "statement": self._say(scene.kind, facts),
                "answer": answer,
                "vid_name": self.plan.video_id,
                "paired_id": f"{self.plan.video_id}-{pair}-{answer}",
            }
            for answer, facts in enumerate(by_answer)
        ]

    def _falsified(self, scene: Scene) -> Facts:
        fields = _CHANNEL[scene.kind]
        true = {key_of(other.facts, fields) for other in self.plan.scenes}
        changed = [
            {**scene.facts, field: value}
            for field, values in fields.items()
            for value in values
        ]
        false = [facts for facts in changed if key_of(facts, fields) not in true]
        return false[self.rng.integers(len(false))]

    def tvc(self, tvr: list[Row]) -> list[Row]:
        """Captions of the queried moments; the first is the query itself."""
        return [self._captions(scene, row) for scene, row in zip(self.plan.scenes, tvr)]

    def _captions(self, scene: Scene, query: Row) -> Row:
        count = _NUM_CAPTIONS[self.plan.split]
        more = [self._say(scene.kind, scene.facts) for _ in range(count - 1)]
        return {
            "vid_name": self.plan.video_id,
            "clip_id": query["desc_id"],
            "duration": query["duration"],
            "ts": query["ts"],
            "descs": [
                {
                    "desc": text,
                    "desc_id": 10 * query["desc_id"] + i,
                    "type": scene.kind,
                    "from_retrieval": i == 0,
                }
                for i, text in enumerate([query["descs"], *more])
            ],
        }

    def _scenes(self, kind: str) -> list[Scene]:
        return [scene for scene in self.plan.scenes if scene.kind == kind]

    def _say(self, kind: str, facts: Facts) -> Text:
        held_out = self.plan.split == "test"
        return {
            grammar.code: grammar.say(kind, facts, self.rng, held_out=held_out)
            for grammar in GRAMMARS
        }
