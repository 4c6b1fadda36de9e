"""What happens in every video of the corpus, and which of its moments are asked for.

A video is five scenes. In a scene somebody does something to an object somewhere, and
meanwhile three or four lines tell of something that cannot be seen. Two scenes are
asked for by what they show, two by what is said, one by half of each:

    scene     1          2          3          4          5      (order drawn per video)
    query     v          v          t          t          vt
    shown     unique     unique     filler     filler     half shared with others
    said      filler     filler     unique     unique     half shared with others

"Unique" is per split: no other video of the split shows (or tells) that combination,
and no other split may. Half of the fillers repeat a shared half, so that one channel
alone finds many videos for a vt query even in a small corpus. Every fourth video is a
distractor: each of its v and t scenes is its sibling's with one fact changed.
"""

import dataclasses
import math
from itertools import product

import numpy as np

from data_pipelines.microtv.facts import (
    CHANNELS,
    FIELDS,
    SHOWN_IN_VT,
    TOLD_IN_VT,
    Facts,
    key_of,
    pool_of,
    split_of,
)
from data_pipelines.readers.errors import InputError

FPS = 4
MIN_VIDEOS, MAX_VIDEOS = 5, 1200
KINDS = ("v", "v", "t", "t", "vt")
"""What the scenes of a video are asked for by, before they are shuffled."""
LINES = ("tell", "echo", "answer", "recall")
"""The lines of a scene; the first tells everything, the others parts of it."""
DISTRACTOR_EVERY = 4


class PlanError(InputError):
    """Asked for a corpus that cannot be planned."""


@dataclasses.dataclass(frozen=True)
class Line:
    """When one line of a scene is spoken, in seconds, and which of LINES it is."""

    start: float
    end: float
    kind: str


@dataclasses.dataclass(frozen=True)
class Scene:
    """One scene: `facts` holds all visual and said facts; times are in seconds."""

    kind: str
    """The query type this scene is asked for by: "v", "t" or "vt"."""
    facts: Facts
    changed: str = ""
    """In a distractor, the one field in which it differs from its sibling's scene."""
    start: float = 0.0
    end: float = 0.0
    lines: tuple[Line, ...] = ()

    @property
    def moment(self) -> tuple[float, float]:
        """What is seen lasts the scene; what is said, from first to last line."""
        if self.kind == "v":
            return self.start, self.end
        return self.lines[0].start, self.lines[-1].end


@dataclasses.dataclass(frozen=True)
class VideoPlan:
    """Everything that happens in one video."""

    video_id: str
    index: int
    split: str
    scenes: tuple[Scene, ...]
    sibling: str = ""
    """The video that this one is a distractor of."""

    @property
    def duration(self) -> float:
        return self.scenes[-1].end


def split_sizes(num_videos: int) -> dict[str, int]:
    """About 70/10/20 percent, and at least one video each."""
    if not MIN_VIDEOS <= num_videos <= MAX_VIDEOS:
        raise PlanError(
            f"microtv: --videos is {num_videos}, expected {MIN_VIDEOS} to {MAX_VIDEOS}:"
            " choose a number in that range"
        )
    val, test = max(1, num_videos // 10), max(1, num_videos // 5)
    return {"train": num_videos - val - test, "val": val, "test": test}


def plan_corpus(num_videos: int, seed: int) -> list[VideoPlan]:
    """The whole corpus in order of video id: train, then val, then test."""
    if seed < 0:
        raise PlanError(
            f"microtv: --seed is {seed}, expected 0 or more: choose another"
        )
    sizes = split_sizes(num_videos)
    joints: set[tuple[str, ...]] = set()
    planners = [
        _SplitPlanner(split, size, np.random.default_rng((seed, number)), joints)
        for number, (split, size) in enumerate(sizes.items())
    ]
    # All vt scenes before the rest: no split may happen on another's pair of halves.
    shared = [planner.shared_scenes() for planner in planners]
    plans: list[VideoPlan] = []
    for planner, scenes in zip(planners, shared):
        plans += planner.videos(scenes, first=len(plans))
    # Three numbers, lest a video draw the same stream as a split's facts.
    return [_timed(p, np.random.default_rng((seed, p.index, 0))) for p in plans]


class _SplitPlanner:
    """Draws the facts of one split and remembers which combinations are taken."""

    def __init__(
        self,
        split: str,
        size: int,
        rng: np.random.Generator,
        joints: set[tuple[str, ...]],
    ):
        self.split, self.size, self.rng = split, size, rng
        self.asked: set[tuple[str, ...]] = set()
        self.used: set[tuple[str, ...]] = set()
        self.joints = joints
        self.halves: dict[str, list[Facts]] = {}

    def videos(self, shared: list[Scene], first: int) -> list[VideoPlan]:
        plans: list[VideoPlan] = []
        for i, scene in enumerate(shared):
            sibling = plans[-1] if i % DISTRACTOR_EVERY == 3 else None
            plans.append(self._video(first + i, scene, sibling))
        return [self._with_fillers(plan) for plan in plans]

    def _video(self, index: int, shared: Scene, sibling: VideoPlan | None) -> VideoPlan:
        if sibling is None:
            order = self.rng.permutation(len(KINDS))
            scenes = [self._unique_scene(KINDS[k], shared) for k in order]
        else:
            scenes = [self._distractor(scene, shared) for scene in sibling.scenes]
        return VideoPlan(
            video_id=f"microtv_{index:05d}",
            index=index,
            split=self.split,
            scenes=tuple(scenes),
            sibling=sibling.video_id if sibling else "",
        )

    def shared_scenes(self) -> list[Scene]:
        """One vt scene a video, on pairs of halves that no other split has."""
        while True:
            scenes = self._grid()
            joints = {_joint(scene.facts) for scene in scenes}
            if not joints & self.joints:
                self.joints |= joints
                for scene in scenes:
                    self.used |= {key_of(scene.facts, c) for c in CHANNELS.values()}
                return scenes

    def _grid(self) -> list[Scene]:
        """Video i shows half i mod P and tells half (i + i div P) mod P.

        told    0 1 2 3
        shown 0 a e . .        videos a b c d take the diagonal, e f g h the one
              1 . b f .        beside it, and so on: each half occurs in about
              2 . . c g        size / P videos, each pair of halves in one
              3 h . . d
        """
        halves = max(math.ceil(math.sqrt(self.size)), self.size // 4)
        shown = self._distinct_halves("visual", SHOWN_IN_VT, halves)
        told = self._distinct_halves("said", TOLD_IN_VT, halves)
        self.halves = {"visual": shown, "said": told}
        return [
            Scene(
                "vt",
                self._completed("visual", shown[i % halves])
                | self._completed("said", told[(i + i // halves) % halves]),
            )
            for i in range(self.size)
        ]

    def _distinct_halves(
        self, channel: str, fields: tuple[str, ...], count: int
    ) -> list[Facts]:
        halves: dict[tuple[str, ...], Facts] = {}
        while len(halves) < count:
            facts = self._draw(channel, avoid=self.asked)
            halves[key_of(facts, fields)] = {field: facts[field] for field in fields}
        return list(halves.values())

    def _completed(self, channel: str, half: Facts) -> Facts:
        """The half with its missing facts, as one of the split's combinations."""
        names = CHANNELS[channel]
        options = [(half[f],) if f in half else values for f, values in names.items()]
        owned = [
            key
            for key in product(*options)
            if split_of(key) == self.split and key not in self.asked
        ]
        return dict(zip(names, owned[self.rng.integers(len(owned))]))

    def _unique_scene(self, kind: str, shared: Scene) -> Scene:
        if kind == "vt":
            return shared
        channel = "visual" if kind == "v" else "said"
        return Scene(kind, self._claim(channel, self._draw(channel, avoid=self.used)))

    def _distractor(self, scene: Scene, shared: Scene) -> Scene:
        """The scene with one fact changed, or a fresh one where none is left."""
        if scene.kind == "vt":
            return shared
        channel = "visual" if scene.kind == "v" else "said"
        names = CHANNELS[channel]
        neighbours = [
            (field, {**scene.facts, field: value})
            for field, values in names.items()
            for value in values
        ]
        free = [
            (field, facts)
            for field, facts in neighbours
            if key_of(facts, names) not in self.used
            and split_of(key_of(facts, names)) == self.split
        ]
        if not free:
            return self._unique_scene(scene.kind, shared)
        changed, facts = free[self.rng.integers(len(free))]
        return Scene(scene.kind, self._claim(channel, facts), changed)

    def _claim(self, channel: str, facts: Facts) -> Facts:
        key = key_of(facts, CHANNELS[channel])
        self.used.add(key)
        self.asked.add(key)
        return facts

    def _draw(self, channel: str, avoid: set[tuple[str, ...]]) -> Facts:
        pool = pool_of(channel, self.split)
        while (key := pool[self.rng.integers(len(pool))]) in avoid:
            pass
        return dict(zip(CHANNELS[channel], key))

    def _with_fillers(self, plan: VideoPlan) -> VideoPlan:
        scenes = tuple(self._filled(scene) for scene in plan.scenes)
        return dataclasses.replace(plan, scenes=scenes)

    def _filled(self, scene: Scene) -> Scene:
        """Adds the facts of the channel that a v or t query does not ask about."""
        if scene.kind == "vt":
            return scene
        other = "said" if scene.kind == "v" else "visual"
        while True:
            facts = scene.facts | self._filler(other)
            if _joint(facts) not in self.joints:
                ordered = {field: facts[field] for field in FIELDS}
                return dataclasses.replace(scene, facts=ordered)

    def _filler(self, channel: str) -> Facts:
        """What nobody asks for; every other time it looks like half of a vt query."""
        if self.rng.random() < 0.5:
            return self._draw(channel, avoid=self.asked)
        halves = self.halves[channel]
        return self._completed(channel, halves[self.rng.integers(len(halves))])


def _joint(facts: Facts) -> tuple[str, ...]:
    return key_of(facts, SHOWN_IN_VT + TOLD_IN_VT)


def _timed(plan: VideoPlan, rng: np.random.Generator) -> VideoPlan:
    """Scenes of 8 to 16 seconds, whole frames, and lines spoken inside each."""
    lengths = rng.integers(8 * FPS, 16 * FPS + 1, size=len(plan.scenes)) / FPS
    ends = np.cumsum(lengths)
    scenes = [
        dataclasses.replace(
            scene,
            start=float(end - length),
            end=float(end),
            lines=_lines(float(end - length), float(end), rng),
        )
        for scene, end, length in zip(plan.scenes, ends, lengths)
    ]
    return dataclasses.replace(plan, scenes=tuple(scenes))


def _lines(start: float, end: float, rng: np.random.Generator) -> tuple[Line, ...]:
    """Lines of 1.5 to 4 seconds with short pauses; three, or four in a long scene."""
    count = 3 if end - start < 12 else 4
    later = sorted(rng.choice(len(LINES) - 1, count - 1, replace=False))
    kinds = (LINES[0], *(LINES[1 + k] for k in later))
    room = (end - start - 0.5) / count
    cuts = start + 0.25 + room * np.arange(count + 1)
    cuts[1:-1] += rng.uniform(-0.25, 0.25, count - 1)
    pauses = rng.uniform(0.05, 0.4, count)
    spoken = np.clip(np.diff(cuts) - pauses, 1.5, 4.0)
    return tuple(
        Line(round(float(at), 2), round(float(at + length), 2), kind)
        for at, length, kind in zip(cuts, spoken, kinds)
    )
