"""Targeted lexical injection into a tiny run: adapters learn, both sides are shown."""

import dataclasses

import numpy as np
import pytest

from experiments.crosslingual import inject, mtvr_loo
from experiments.crosslingual.inject import Inject
from experiments.crosslingual.mtvr_loo import MtvrLoo
from hero_jax import exported
from hero_jax.errors import UserError
from hero_jax.paths import named_leaves
from tests.experiments.mtvr_releases import write_release


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inject")
    (folder / "release").mkdir()
    config = MtvrLoo(
        data_dir=write_release(folder / "release"),
        run_dir=folder / "run",
        steps=2,
        batch_size=8,
        parallel_batch_size=8,
        width=16,
    )
    mtvr_loo.run(config)
    return folder / "run" / "vsm"


def test_adapters_move_the_text_tower_and_both_sides_are_told(
    trained, tmp_path, capsys
):
    config = Inject(
        start=trained, run_dir=tmp_path / "run", steps=3, batch_size=8, rank=2
    )
    results = inject.run(config)
    assert set(results) == {"before", "after"}
    assert set(results["before"]["VR MRR"]) >= {"en-en", "en-zh", "zh-en", "zh-zh"}
    assert "en-zh cosine, shuffled pairs" in capsys.readouterr().out
    before = named_leaves(exported.load_params(trained)["hero"])
    after = named_leaves(exported.load_params(tmp_path / "run/injected")["hero"])
    moved = {name for name in after if np.any(before[name] != after[name])}
    assert moved
    assert all("cross_modal" in name and "attention" in name for name in moved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": 0}, "--layer: found 0"),
        ({"order": ("en",)}, "--order: found en, expected two"),
    ],
)
def test_what_cannot_work_is_refused_by_name(tmp_path, changes, message):
    config = Inject(start=tmp_path, run_dir=tmp_path)
    with pytest.raises(UserError, match=message):
        inject.check(dataclasses.replace(config, **changes))
