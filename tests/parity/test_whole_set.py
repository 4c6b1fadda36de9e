"""No file of a recorded set is left out: each is read by some test of this folder."""

import json
import re
import shutil
from pathlib import Path

import damage
import numpy as np
import pytest
import recorded
from parity_harness import Golden
from safetensors.numpy import load_file

from data_pipelines.official_db.texts import read_texts
from data_pipelines.readers.annotations import read_annotations
from data_pipelines.readers.captions import read_captions
from data_pipelines.readers.errors import Tally
from data_pipelines.readers.questions import read_questions
from data_pipelines.readers.reading import Reading
from data_pipelines.readers.statements import read_statements
from hero_jax import text_encoders

READ_BY = {
    "test_model": r"model/\w+\.(json|npz)",
    "test_optim": r"optim/(schedules|adamw_toy|param_groups|traj_\w+)\.(json|npz)",
    "test_eval": r"eval/\w+\.(json|npz)",
    "test_e2e": r"data/e2e/\w+\.(json|npz)",
    "test_data": r"data/expected/[\w.]+\.(json|npz)"
    r"|data/raw/(feat/.*\.npz|tv_subtitles\.jsonl)",
    "test_convert_db": r"data/db/.*",
    "the tests below": r"data/raw/\w+\.jsonl?|weights/\w*roberta\w*\.\w+"
    r"|state_dict_keys_base\.json|tolerances\.json",
    "every case": r"weights/\w+\.safetensors|config/hero_\w+\.json|meta\.json",
}
"""Whose files are which; a file may belong to several."""
RECORDINGS = (".json", ".jsonl", ".npz", ".npy", ".safetensors", ".bin", ".pt", ".mdb")
"""Files of other kinds are for people, such as the program that made the recordings."""


def unread(root):
    names = [
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.suffix in RECORDINGS
    ]
    patterns = "|".join(f"(?:{pattern})" for pattern in READ_BY.values())
    return [name for name in sorted(names) if not re.fullmatch(patterns, name)]


def test_no_recorded_file_is_left_out(golden):
    assert unread(golden.root) == []


def test_a_copy_of_our_recordings_is_a_true_one(golden):
    """Every value, also those on which no recorded result hangs."""
    assert recorded.damaged(golden.root) == []


def test_one_changed_value_is_noticed_and_another_set_is_no_copy(tmp_path):
    copy = shutil.copytree(recorded.OURS, tmp_path / "copy")
    assert recorded.damaged(copy) == []
    path = copy / "eval/standalone_didemo.json"
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(content, indent=3), "utf-8")
    assert recorded.damaged(copy) == []  # the same values, written otherwise
    content["submission"]["SVMR"][0]["predictions"][-1][2] += 1
    path.write_text(json.dumps(content), "utf-8")
    assert recorded.damaged(copy) == ["eval/standalone_didemo.json"]
    shutil.rmtree(copy / "data")
    assert recorded.damaged(copy) == []


def test_a_file_that_no_test_reads_is_noticed(golden, tmp_path):
    for name in ("model/a.json", "model/new.npy", "fusion/add.npz", "optim/sgd.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "record.py").touch()
    wanted = ["fusion/add.npz", "model/new.npy", "optim/sgd.json"]
    assert unread(tmp_path) == wanted


# --- raw annotations: our readers find in them what is in the databases -------------


def raw_files(golden):
    return {path.stem: path for path in (golden.root / "data/raw").glob("*.json*")}


def read_raw(path, videos):
    """The records of an annotation file, by our readers."""
    first = json.loads(path.read_text("utf-8").splitlines()[0])
    reading = Reading(durations=videos, tally=Tally())
    if "q" in first:
        return read_questions(path, reading)
    if "label" in first or "statement" in first:
        return read_statements(path, reading)
    if "descs" in first:
        return read_captions(path, reading)
    return read_annotations(path, videos=videos, tally=Tally()).queries


def gist(record):
    """What makes up a record, whatever file it is from."""
    facts = {}
    for name in ("texts", "answers", "label", "is_true", "video_id", "kind"):
        if hasattr(record, name):
            facts[name] = getattr(record, name)
    moments = getattr(record, "moments", ()) or (getattr(record, "moment", None),)
    facts["moments"] = [list(moment) for moment in moments if moment]
    facts["captions"] = [c.texts for c in getattr(record, "captions", ())]
    return facts


def databases(golden):
    """Raw file's stem -> the database of the same name."""
    folder = golden.root / "data/db/txt"
    return {
        n: folder / f"{n}.db"
        for n in raw_files(golden)
        if (folder / f"{n}.db").exists()
    }


def test_raw_annotations_hold_what_the_databases_hold(golden):
    paths = databases(golden)
    assert not raw_files(golden) or paths
    counts = json.loads((golden.root / "data/db/video/tv/id2nframe.json").read_text())
    videos = dict.fromkeys(counts)
    for name, path in paths.items():
        if name == "tv_subtitles":  # test_data rebuilds it, word for word
            continue
        ours = read_raw(raw_files(golden)[name], videos)
        texts = read_texts(path, "en", Tally())
        theirs = texts.queries or texts.questions or texts.statements or texts.captions
        assert [*map(gist, ours)] == [*map(gist, theirs)], name


def test_lists_and_durations_are_those_of_the_databases(golden):
    files = raw_files(golden)
    if "vid2dur_idx" in files:
        stored = golden.root / "data/db/txt/tv_subtitles.db/vid2dur_idx.json"
        assert json.loads(files["vid2dur_idx"].read_text()) == json.loads(
            stored.read_text()
        )
    known = json.loads((golden.root / "data/db/video/tv/id2nframe.json").read_text())
    for split in ("train", "val"):
        if path := files.get(f"tv_{split}"):
            videos = json.loads(path.read_text())
            assert videos and set(videos) <= known.keys()


# --- weights and inventories --------------------------------------------------------


@pytest.mark.parametrize("skips_layers", [True, False])
def test_roberta_begins_a_model_as_officially(golden, skips_layers):
    facts_path = golden.root / "weights/pretrain_from_roberta.json"
    if not facts_path.exists():
        pytest.skip("not recorded in this set")
    facts = json.loads(facts_path.read_text())[f"skip_layers={skips_layers}"]
    wanted = load_file(golden.root / "weights" / facts["file"])
    (path,) = (golden.root / "weights").glob("roberta*.safetensors")
    found = text_encoders.as_official(
        text_encoders.read(path),
        golden.config("pretrain"),
        skips_layers=skips_layers,
        is_official=True,
    )
    assert set(facts["determined_by_checkpoint"]) == set(wanted)
    assert set(found) == {name for name in wanted if ".pooler." not in name}
    for name, array in found.items():
        np.testing.assert_array_equal(array, wanted[name], err_msg=name)


def test_tolerances_are_those_of_the_cases(golden):
    path = golden.root / "tolerances.json"
    if not path.exists():
        pytest.skip("not part of this set")
    recorded = json.loads(path.read_text())
    assert set(recorded) == set(golden.names())
    for name, said in recorded.items():
        meta = golden.case(name).meta
        arrays = [{"rel_to_scale": 0, "max_abs": 0}, *meta["f32_vs_f64"].values()]
        found = {
            "out_rel_to_scale": max(one["rel_to_scale"] for one in arrays),
            "out_max_abs": max(one["max_abs"] for one in arrays),
            "grad_norm_rel": meta.get("grad_norm_f32_vs_f64_maxrel", 0),
        }
        assert said == found, name


def test_cases_are_those_of_the_list_of_arrays(golden):
    if not (golden.root / "KEYS.md").exists():
        pytest.skip("not part of this set")
    assert too_many_or_few(golden.root) == set()


def too_many_or_few(root):
    """Files of KEYS.md that are not there, and those of cases that it does not list."""
    listed = set(re.findall(r"^## (\S+)$", (root / "KEYS.md").read_text("utf-8"), re.M))
    missing = {name for name in listed if not (root / name).exists()}
    return missing | set(damage.files(root)) - listed


def test_a_case_that_is_gone_or_new_is_noticed(golden, tmp_path):
    if not (golden.root / "KEYS.md").exists():
        pytest.skip("not part of this set")
    for number, file in enumerate(damage.files(golden.root)[::20]):
        place = damage.link_all_but(golden.root, file, tmp_path / str(number))
        assert too_many_or_few(tmp_path / str(number)) == {file}
        place.with_stem("a_new_name").touch()
        other = str(Path(file).with_stem("a_new_name"))
        assert too_many_or_few(tmp_path / str(number)) == {file, other}


def test_any_folder_of_the_layout_can_be_checked(golden, tmp_path):
    """A set with fewer cases, other names of files and a config of another name."""
    if "violin" not in golden.names():
        pytest.skip("needs a case that the set has not")
    for folder in ("config", "weights", "model"):
        (tmp_path / folder).mkdir()
    shutil.copy(golden.root / "meta.json", tmp_path)
    (config,) = (golden.root / "config").glob("hero_finetune*.json")
    shutil.copy(config, tmp_path / "config/hero_finetune_other.json")
    shutil.copy(golden.root / "weights/violin.safetensors", tmp_path / "weights")
    for suffix in (".json", ".npz"):
        shutil.copy(golden.root / f"model/violin{suffix}", tmp_path / "model")
    other = Golden(tmp_path)
    assert other.names() == ["violin"] and unread(tmp_path) == []
    assert other.config("violin").width == golden.config("violin").width
