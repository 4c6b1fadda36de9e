"""The grid of the study, declared before it runs: arms, seeds, steps, rules, endpoints.

    tuning         4 trials an arm, 1 seed of its own, judged on the validation split
    confirmatory   7 arms x 6 seeds, both languages, mTVR leave-one-out
    english_only   the same, trained on English alone: what comes across untrained
    replication    3 arms x 6 seeds on microtv and YouCook2 EN-JA
    longer         the primary contrast, 3 seeds, 5 times the steps
    ingredients    what VSM bundles and no arm tells apart: hard negatives and the score
    curve          1 seed an arm and corpus, twice the steps, validated on the way
    aided          English alone with something that aligns languages, 3 seeds
    evidence       3 arms on other evidence about the videos, 3 seeds
    translated     the primary contrast, learnt from machine translations, 3 seeds

Arms differ in their objective and span loss alone. Seeds are paired: an arm's seed k
has the initial parameters, the batches and the dropout of every other arm's seed k.
A variant exchanges or adds one thing and keeps what was tuned for its arm.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from hero_jax.losses import Objective
from hero_jax.losses.frame_jsd import FrameJSD
from hero_jax.losses.info_nce import InfoNCE
from hero_jax.losses.inter_intra import InterIntra
from hero_jax.losses.lexical import Lexical
from hero_jax.losses.neighbourhood import Neighbourhood
from hero_jax.losses.ranking import VSM
from hero_jax.losses.siglip import SigLIP
from hero_jax.losses.span import SpanLoss
from hero_jax.losses.triplet_max import TripletMax
from hero_jax.model.moment import FrameScore

PRIMARY = "(VSM - InfoNCE) across - (VSM - InfoNCE) within languages, VR MRR"
SECONDARY = "the same of VCMR R@1 at IoU 0.7"
SELECTION = "the trial of highest VR MRR, mean of the cells across languages, on val"

LEARNING_RATES = (1e-3, 2e-3)
SPAN = SpanLoss(weight=0.05)


@dataclasses.dataclass(frozen=True)
class Arm:
    """What is trained: global alignment, and local alignment or none."""

    objective: Objective
    span: SpanLoss | None
    learning_rate: float


def _trials(*objectives: Objective, span: SpanLoss | None = None) -> tuple[Arm, ...]:
    """Every objective with every learning rate: the tuning budget of an arm."""
    return tuple(Arm(o, span, rate) for o in objectives for rate in LEARNING_RATES)


VSMS = tuple(
    VSM(margin=m, context_weight=4.0, query_weight=4.0, hard_start_step=None)
    for m in (0.1, 0.2)
)
INFO_NCES = (InfoNCE(temperature=0.07), InfoNCE(temperature=0.15))

ARMS: Mapping[str, tuple[Arm, ...]] = {
    "vsm": _trials(*VSMS, span=SPAN),
    "vsm_global": _trials(*VSMS),
    "info_nce": _trials(*INFO_NCES),
    "info_nce_local": _trials(*INFO_NCES, span=SPAN),
    "siglip": _trials(SigLIP(temperature=0.1), SigLIP(temperature=0.05)),
    "triplet_max": _trials(TripletMax(margin=0.1), TripletMax(margin=0.2)),
    "iic": _trials(InterIntra(temperature=0.07), InterIntra(temperature=0.15)),
}
"""Name -> its four trials. Both constants of a pair are usual ones."""


@dataclasses.dataclass(frozen=True)
class Aid:
    """What aligns languages beside the arm's own objective, from parallel texts."""

    objective: Objective | None = None
    """Of translated sentences, on one update in four."""
    layer: int | None = None
    """The layer of the text tower that it aligns; None is the vectors of search."""
    switch_rate: float = 0.0
    """Share of words replaced by the translations of a dictionary."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """A tuned arm with one thing exchanged or added; it is not tuned again."""

    of: str
    score: FrameScore = FrameScore()
    hard_share: float | None = None
    """Share of the steps after which hard negatives count more; None is never."""
    frames: FrameJSD | None = None
    """Contrast of the frames of the query's own video."""
    aid: Aid = Aid()


AIDS: Mapping[str, Aid] = {
    "xl_info_nce": Aid(InfoNCE(temperature=0.05)),
    "nc": Aid(Neighbourhood()),
    "tli": Aid(Lexical(), layer=0),
    "code_switch": Aid(switch_rate=0.4),
}
INGREDIENTS: Mapping[str, Variant] = {
    "vsm_global_hard": Variant("vsm_global", hard_share=0.2),
    "vsm_global_mean": Variant("vsm_global", score=FrameScore("mean")),
    "info_nce_mean": Variant("info_nce", score=FrameScore("mean")),
    "info_nce_jsd": Variant("info_nce", frames=FrameJSD(weight=0.05)),
}
AIDED: Mapping[str, Variant] = {
    f"{arm}+{name}": Variant(arm, aid=aid)
    for arm in ("vsm", "info_nce")
    for name, aid in AIDS.items()
}
VARIANTS: Mapping[str, Variant] = {**INGREDIENTS, **AIDED}
"""Hard negatives start after a fifth of the steps, as in the official pre-training."""

REPLICATED = ("vsm", "info_nce", "info_nce_local")
CONTRASTED = ("vsm", "info_nce")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training run and its evaluation."""

    family: str
    corpus: str
    arm: str
    trial: int
    seed: int
    steps: int
    languages: tuple[str, ...] = ()
    """Trained on; empty means all of the corpus."""
    split: str = "test"
    """Where it is judged."""
    eval_every: int = 0
    """Steps between validations on the way; 0 for none."""

    @property
    def name(self) -> str:
        """Says what it is; the name of its file."""
        parts = (self.family, self.corpus, self.arm, f"t{self.trial}", f"s{self.seed}")
        return "-".join((*parts, f"n{self.steps}"))


@dataclasses.dataclass(frozen=True)
class Grid:
    """How much of it."""

    arms: tuple[str, ...] = tuple(ARMS)
    seeds: int = 6
    tuning_seed: int = 1000
    """Disjoint from the others, which count from 0."""
    corpus: str = "mtvr_loo"
    replications: tuple[str, ...] = ("microtv", "youcook2_loo")
    evidence: tuple[str, ...] = ("mtvr_tvc", "vatex_loo", "mtvr_loo_synthetic")
    translated: tuple[str, ...] = ("mtvr_loo_translated", "mtvr_loo_translated_bare")
    ingredients: tuple[str, ...] = tuple(INGREDIENTS)
    aided: tuple[str, ...] = tuple(AIDED)
    steps: Mapping[str, int] = dataclasses.field(
        default_factory=lambda: {
            "mtvr_loo": 400,
            "youcook2_loo": 400,
            "microtv": 300,
            "mtvr_tvc": 400,
            "vatex_loo": 400,
            "mtvr_loo_synthetic": 400,
            "mtvr_loo_translated": 400,
            "mtvr_loo_translated_bare": 400,
        }
    )
    """Updates of a cell, by corpus: about a minute each on two cores."""
    longer: int = 5
    """Times the steps of the longer confirmation."""
    longer_seeds: int = 3
    exploratory_seeds: int = 3
    """Of `aided`, `evidence` and `translated`."""
    width: int = 64
    """Width of the small HERO."""
    layers: int = 1
    """Layers of each of its two towers."""
    batch_size: int | None = None
    """Videos in a batch; None takes each corpus' own."""


PRESETS: Mapping[str, Grid] = {  # "accelerator" is for real features of real videos
    "full": Grid(),
    "accelerator": Grid(
        corpus="mtvr_split",
        replications=("mtvr_loo", "vatex_loo", "youcook2_loo"),
        evidence=("mtvr_tvc",),
        translated=(),
        steps={
            "mtvr_split": 5000,
            "mtvr_loo": 2000,
            "vatex_loo": 2000,
            "youcook2_loo": 2000,
            "mtvr_tvc": 2000,
        },
        width=256,
        layers=3,
    ),
    "check": Grid(
        arms=CONTRASTED,
        seeds=1,
        replications=(),
        evidence=(),
        translated=(),
        ingredients=(),
        aided=(),
        steps={"mtvr_loo": 4},
        longer_seeds=1,
        longer=2,
        batch_size=8,
        width=16,
    ),
    "small": Grid(
        arms=CONTRASTED,
        seeds=2,
        replications=("microtv",),
        evidence=(),
        translated=(),
        ingredients=("info_nce_mean",),
        aided=(),
        steps={"mtvr_loo": 60, "microtv": 60},
        longer_seeds=1,
        longer=2,
    ),
}


def tuning(grid: Grid) -> list[Cell]:
    """What runs first, and decides which trial of each arm the others take."""
    return [
        Cell("tuning", grid.corpus, arm, trial, grid.tuning_seed, steps, split="val")
        for steps in (grid.steps[grid.corpus],)
        for arm in grid.arms
        for trial in range(len(ARMS[arm]))
    ]


def cells(grid: Grid, chosen: Mapping[str, int]) -> list[Cell]:
    """All others, most needed first; `chosen` is the trial of each arm."""
    families = (
        _confirmatory,
        _replication,
        _longer,
        _ingredients,
        _curve,
        _aided,
        _evidence,
        _translated,
    )
    found = [cell for family in families for cell in family(grid)]
    return [dataclasses.replace(c, trial=chosen[tuned_as(c.arm)]) for c in found]


def tuned_as(arm: str) -> str:
    """The arm whose tuning a variant shares."""
    return VARIANTS[arm].of if arm in VARIANTS else arm


def _confirmatory(grid: Grid) -> Iterator[Cell]:
    steps = grid.steps[grid.corpus]
    for family, languages in (("confirmatory", ()), ("english_only", ("en",))):
        for seed in range(grid.seeds):
            for arm in grid.arms:
                yield Cell(family, grid.corpus, arm, 0, seed, steps, languages)


def _replication(grid: Grid) -> Iterator[Cell]:
    for seed in range(grid.seeds):
        for corpus in grid.replications:
            for arm in _among(grid.arms, REPLICATED):
                yield Cell("replication", corpus, arm, 0, seed, grid.steps[corpus])


def _longer(grid: Grid) -> Iterator[Cell]:
    steps = grid.longer * grid.steps[grid.corpus]
    for seed in range(grid.longer_seeds):
        for arm in _among(grid.arms, CONTRASTED):
            yield Cell("longer", grid.corpus, arm, 0, seed, steps)


def _ingredients(grid: Grid) -> Iterator[Cell]:
    steps = grid.steps[grid.corpus]
    for seed in range(grid.seeds):
        for arm in grid.ingredients:
            yield Cell("ingredients", grid.corpus, arm, 0, seed, steps)


def _aided(grid: Grid) -> Iterator[Cell]:
    steps = grid.steps[grid.corpus]
    for seed in range(grid.exploratory_seeds):
        for arm in grid.aided:
            yield Cell("aided", grid.corpus, arm, 0, seed, steps, ("en",))


def _evidence(grid: Grid) -> Iterator[Cell]:
    for seed in range(grid.exploratory_seeds):
        for corpus in grid.evidence:
            for arm in _among(grid.arms, REPLICATED):
                yield Cell("evidence", corpus, arm, 0, seed, grid.steps[corpus])


def _translated(grid: Grid) -> Iterator[Cell]:
    for seed in range(grid.exploratory_seeds):
        for corpus in grid.translated:
            for arm in _among(grid.arms, CONTRASTED):
                yield Cell("translated", corpus, arm, 0, seed, grid.steps[corpus])


def _curve(grid: Grid) -> Iterator[Cell]:
    replicated = _among(grid.arms, REPLICATED)
    of_corpus = {grid.corpus: grid.arms, **dict.fromkeys(grid.replications, replicated)}
    for corpus, arms in of_corpus.items():
        seed, steps = grid.tuning_seed, 2 * grid.steps[corpus]
        every = max(1, steps // 8)
        for arm in arms:
            yield Cell(
                "curve", corpus, arm, 0, seed, steps, split="val", eval_every=every
            )


def _among(arms: Sequence[str], wanted: Sequence[str]) -> list[str]:
    return [arm for arm in arms if arm in wanted]
