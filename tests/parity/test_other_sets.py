"""Sets of other shapes, made of the recorded one, are checked as well as it."""

import json

import batch_checks
import damage
import meta_checks
import numpy as np
import problems
import pytest
from parity_harness import Golden

from data_pipelines import official


def part_of(root, name, chosen):
    """(meta, arrays) of `hier_repr` with some of its videos, padded anew.

    The longest has to be among them: padded frames are part of the outputs (H-12).
    """
    case = Golden(root).case(name)
    given, facts = case.inputs, case.meta["in_meta"]
    rows = np.split(
        np.arange(sum(facts["num_subs"])), np.cumsum(facts["num_subs"])[:-1]
    )
    texts = batch_checks.tokens_of(given["f_sub_input_ids"])
    lengths = given["c_attn_masks"].sum(axis=1)
    items = [
        batch_checks.video_item(
            [texts[row] for row in rows[video]],
            facts["sub_idx2frame_idx"][video],
            given["c_v_feats"][video, : lengths[video]],
        )
        for video in chosen
    ]
    arrays = official.video_arrays(items, batch_checks.SPECIAL)
    arrays = {f"in/{key}": array for key, array in arrays.items()}
    for key, array in case.arrays.items():
        if key.startswith("out"):
            arrays[key] = array[chosen]
    facts = {key: [of[video] for video in chosen] for key, of in facts.items()}
    meta = {"case": name, "weights": case.meta["weights"], "in_meta": facts}
    return meta, arrays


@pytest.fixture
def other(golden, tmp_path):
    """A set with one case of the model, without the list of what is in the set."""
    if "hier_repr" not in golden.names():
        pytest.skip("needs a case that the set has not")
    place = damage.link_all_but(golden.root, "model/hier_repr.json", tmp_path / "set")
    for path in place.parent.iterdir():
        path.unlink()
    longest = golden.case("hier_repr").arrays["in/c_attn_masks"].sum(axis=1).argmax()
    meta, arrays = part_of(golden.root, "hier_repr", [int(longest), 0])
    place.write_text(json.dumps(meta))
    np.savez(place.with_suffix(".npz"), **arrays)
    return Golden(tmp_path / "set")


def test_a_batch_of_other_videos_is_computed_alike(other):
    assert other.names() == ["hier_repr"]
    assert list(problems.problems(other.root, "model/hier_repr.json")) == []


def test_a_wrong_value_of_another_batch_is_noticed(other, tmp_path):
    name, arrays = "model/hier_repr.npz", other.case("hier_repr").arrays
    for number, key in enumerate(("in/c_pos_ids", "in/f_attn_masks", "out/repr")):
        leaf = damage.Leaf(name, (key, arrays[key].size - 1))
        copy = damage.damaged_copy(other.root, leaf, tmp_path / str(number))
        assert next(problems.problems(copy, name), None)


def test_what_is_said_of_another_batch_is_computed_from_it(other):
    case = other.case("hier_repr")
    found = dict(meta_checks.of_precision(other, case))["f32_vs_f64"]
    assert found.keys() == case.under("out/").keys()


def test_tables_of_equally_many_steps_are_told_apart(golden, tmp_path):
    path = golden.root / "optim/schedules.json"
    if not path.exists():
        pytest.skip("needs a case that the set has not")
    meta = json.loads(path.read_text())
    shortest = min(len(values) for values in meta.values())
    cut = {key: values[-shortest:] for key, values in meta.items()}
    file = "optim/schedules.json"
    damage.link_all_but(golden.root, file, tmp_path / "set").write_text(json.dumps(cut))
    assert list(problems.problems(tmp_path / "set", file)) == []


def test_rows_in_another_order_are_computed_alike(golden, tmp_path):
    file = "data/expected/span_labels.json"
    if not (golden.root / file).exists():
        pytest.skip("needs a case that the set has not")
    meta = json.loads((golden.root / file).read_text())
    meta["rows"] = meta["rows"][::-3]
    place = damage.link_all_but(golden.root, file, tmp_path / "set")
    place.write_text(json.dumps(meta))
    assert list(problems.problems(tmp_path / "set", file)) == []
