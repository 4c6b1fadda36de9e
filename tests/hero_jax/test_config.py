import dataclasses
import json
from pathlib import Path

import pytest

from hero_jax import config as configs
from hero_jax.config import ConfigError
from hero_jax.model.hero import HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.optimizer import OptimizerConfig
from hero_jax.sharding import MeshConfig
from hero_jax.tasks.mlm import Mlm
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.source import Source
from hero_jax.train import TrainConfig

SOURCE = Source(
    Path("/data"), "microtv", Path("/tokenizer.json"), languages=("en", "zh")
)
WHOLE = TrainConfig(
    tasks={"mlm": Mlm(source=SOURCE), "vsm": MomentRetrieval(source=SOURCE, span=None)},
    model=HeroConfig(temporal=TransformerConfig(num_layers=2, dropout=0.1 + 0.2)),
    optimizer=OptimizerConfig(learning_rate=1 / 3, schedule="cosine"),
    mesh=MeshConfig(data=4, model=2),
)


def test_a_configuration_survives_the_journey_exactly(tmp_path):
    configs.save(WHOLE, tmp_path / "config.json")
    assert configs.load(tmp_path / "config.json") == WHOLE


def test_a_run_moves_with_the_data_beside_it(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name / "vsm").mkdir(parents=True)
    beside = Source(tmp_path / "old/dataset", "microtv", Path("/elsewhere/t.json"))
    configs.save(beside, tmp_path / "old/vsm/config.json")
    written = json.loads((tmp_path / "old/vsm/config.json").read_text())
    assert written["directory"] == "../dataset"
    (tmp_path / "old/vsm/config.json").rename(tmp_path / "new/vsm/config.json")
    moved = configs.load(tmp_path / "new/vsm/config.json")
    assert moved.directory == tmp_path / "new/dataset"
    assert moved.tokenizer == Path("/elsewhere/t.json")


def test_a_path_that_may_be_missing_moves_as_others_do(tmp_path):
    (tmp_path / "run").mkdir()
    for table in (tmp_path / "table.json", None):
        task = MomentRetrieval(source=SOURCE, video_indices=table)
        configs.save(task, tmp_path / "run/config.json")
        assert configs.load(tmp_path / "run/config.json") == task


def test_a_task_leaves_behind_the_files_that_no_folder_holds():
    task = MomentRetrieval(source=SOURCE, video_indices=Path("/table.json"))
    assert task.portable() == MomentRetrieval(source=SOURCE)
    assert WHOLE.tasks["mlm"].portable() == WHOLE.tasks["mlm"]


def test_it_is_plain_json_that_names_its_classes():
    written = json.loads(json.dumps(configs.to_json(WHOLE)))
    assert written["class"] == "hero_jax.train.TrainConfig"
    assert written["tasks"]["vsm"]["class"].startswith("hero_jax.tasks.")
    assert written["tasks"]["mlm"]["source"]["languages"] == ["en", "zh"]


@pytest.mark.parametrize(
    "name",
    [
        "os.system", "pathlib.Path", "hero_jax", "hero_jax.config.os", "hero_jax.train",
        "hero_jax.train.train", "hero_jax.train.Path", "hero_jax..train.TrainConfig",
        "hero_jax.nowhere.Config", "hero_jax.model.hero.Hero.__call__",
        "hero_jax.train.Run", "hero_jaxx.train.TrainConfig", 3, None,
        "tests.toy.Toy", "hero_jax.learner.OptimizerConfig",
    ],
)  # fmt: skip
def test_only_configurations_of_this_package_are_built(name):
    with pytest.raises(ConfigError, match="class"):
        configs.from_json({"class": name})


def changed(**fields):
    return configs.to_json(WHOLE) | fields


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(stepz=3), "no field 'stepz'; did you mean 'steps'"),
        (changed(steps="many"), "config.steps: found 'many', expected int"),
        (changed(steps=True), "config.steps: found True"),
        (changed(seed=1.5), "config.seed: found 1.5"),
        (changed(tensorboard=1), "config.tensorboard"),
        (changed(mesh=None), "config.mesh: found None, expected MeshConfig"),
        (changed(mesh={"class": "hero_jax.sharding.MeshConfig", "data": []}), "data"),
        ({"class": "hero_jax.train.TrainConfig"}, "misses one of tasks"),
    ],
)
def test_a_mistake_is_named_with_its_place(data, message):
    with pytest.raises(ConfigError, match=message):
        configs.from_json(data)


@pytest.mark.parametrize(
    "text", ["", "{", "\x00", '{"class": "os.system"}', "[" * 9999]
)
def test_a_bad_file_is_named(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        configs.load(path)
    with pytest.raises(ConfigError, match="no such file"):
        configs.load(tmp_path / "other.json")


def test_a_whole_number_may_stand_for_a_real_one():
    rate = configs.to_json(OptimizerConfig()) | {"learning_rate": 1}
    assert configs.from_json(rate).learning_rate == 1


@pytest.mark.parametrize("value", [{1: 2}, {"class": 1}, [1], {1, 2}, object(), 1j])
def test_what_json_cannot_carry_is_refused(value):
    with pytest.raises(ConfigError):
        configs.to_json(dataclasses.replace(WHOLE, tasks={"x": value}))
