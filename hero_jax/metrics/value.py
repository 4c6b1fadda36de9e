"""VALUE's one number a task, and their means (F.7).

retrieval     AveR, the mean of R@1, R@5 and R@10: of moments at IoU 0.7 where a task
              has any, else of videos
questions     accuracy
captions      CIDEr
"""

from collections.abc import Mapping
from typing import Any

GROUPS: Mapping[str, tuple[str, ...]] = {
    "retrieval": ("tvr", "how2r", "yc2r", "vatex_en_r"),
    "qa": ("tvqa", "how2qa", "violin", "vlep"),
    "captions": ("tvc", "yc2c", "vatex_en_c"),
}
CUTOFFS = ("R@1", "R@5", "R@10")
THRESHOLD = "0.7"


def score(task: str, cell: Mapping[str, Any]) -> float | None:
    """The number of a task from what was measured; None where the truth is hidden."""
    if task in GROUPS["captions"]:
        found = cell.get("CIDEr")
    elif task in GROUPS["qa"]:
        found = cell.get("accuracy")
    else:
        moments = cell.get("VCMR")
        recalls = moments[THRESHOLD] if moments else cell.get("VR")
        found = recalls and sum(recalls[k] for k in CUTOFFS) / len(CUTOFFS)
    return None if found is None else round(float(found), 2)


def means(scores: Mapping[str, float]) -> dict[str, float]:
    """Of every group that is whole, of all scores, and the official overall mean.

    Officially the means of the groups count as scores of their own (H-64). Every mean
    is rounded to two places.
    """
    found = {
        group: _mean([scores[task] for task in tasks])
        for group, tasks in GROUPS.items()
        if all(task in scores for task in tasks)
    }
    if not scores:
        return {}
    every = [*scores.values(), *found.values()]
    return found | {"mean": _mean([*scores.values()]), "official_mean": _mean(every)}


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 2)
