import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest

import hero_jax
from data_pipelines import tokenizers
from data_pipelines.build import build_dataset
from hero_jax import checkpoint, export, exported, importing, pretrained
from hero_jax import config as configs
from hero_jax.errors import UserError
from hero_jax.losses.info_nce import InfoNCE
from hero_jax.model.hero import HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.source import Source
from hero_jax.torch_file import read_state
from hero_jax.train import TrainConfig
from tests.data_pipelines import miniature
from tests.weights import random_hero

QUERIES = ("Ann opens the box number 4.", "安打开第5个盒子。", "the key")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    miniature.write_microtv(folder / "raw")
    features = miniature.write_features(folder / "features")
    out = folder / "built"
    build_dataset("microtv", data_dir=folder / "raw", out=out, features=features)
    texts = [*miniature.SAID["en"], *miniature.SAID["zh"], *miniature.SEEN.values()]
    tokenizers.train(texts * 3, vocab_size=90).save(folder / "tokenizer.json")
    return Source(out, "microtv", folder / "tokenizer.json", row_length=32)


def model_config():
    tower = TransformerConfig(width=8, num_heads=2, num_layers=1, mlp_width=12)
    return HeroConfig(
        vocab_size=96, unused_words=6, feature_width=miniature.WIDTH,
        max_positions=32, cross_modal=tower, temporal=tower, query_heads=2,
    )  # fmt: skip


def config_of(source, **changes):
    task = MomentRetrieval(source=source, **changes)
    return TrainConfig(tasks={"moments": task}, model=model_config(), steps=7)


def write_run(folder, config):
    """A run as `train` would leave it, but for the training."""
    hero = random_hero(config.model)
    params = {"hero": hero, "heads_moments": {"log_scale": np.zeros((), np.float32)}}
    folder.mkdir()
    configs.save(config, folder / "config.json")
    with checkpoint.Checkpoints(folder, keep=2) as saved:
        record = configs.to_json(config)
        saved.save(7, {"params": params}, config=record, data={})
        saved.finish(7)
    return folder


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "one", config_of(dataset))


@pytest.fixture(scope="module")
def folder(run):
    export.to_folder(run, run.parent / "exported", split="test")
    return run.parent / "exported"


def test_the_folder_answers_as_the_run_does_without_the_dataset(run, folder, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    searcher, original = hero_jax.load(moved), hero_jax.load(run)
    assert not (moved / "dataset").exists()
    for query in QUERIES:
        for subtitles in ("", "en", "zh", "none"):
            found = searcher.search(query, k=3, subtitles=subtitles)
            assert found == original.search(query, k=3, subtitles=subtitles)
            assert len(found) == 3


def test_a_run_that_finds_whole_videos_is_exported_too(dataset, tmp_path):
    config = config_of(dataset, span=None, objective=InfoNCE())
    run = write_run(tmp_path / "run", config)
    export.to_folder(run, tmp_path / "folder", split="val")
    found = hero_jax.load(tmp_path / "folder").search("the key", split="val")
    assert found == hero_jax.load(run).search("the key", split="val")
    assert (found[0].video, found[0].end) == ("v3", miniature.duration_of("v3"))


def test_the_folder_says_what_it_is_and_names_no_machine(run, folder):
    names = {path.relative_to(folder).parts[0] for path in folder.rglob("*")}
    assert names == {
        "config.json", "model.safetensors", "tokenizers", "corpora", "README.md",
        "manifest.json",
    }  # fmt: skip
    for path in folder.rglob("*.json"):
        assert str(run.parent.parent) not in path.read_text("utf-8")
    card = (folder / "README.md").read_text("utf-8")
    _, params = checkpoint.load_params(run)
    assert f"{sum(x.size for x in jax.tree.leaves(params)):,}" in card
    assert "MomentRetrieval" in card and "7 steps" in card


def test_every_file_of_the_folder_is_sealed(folder):
    listed = json.loads((folder / "manifest.json").read_text())["sha256"]
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert set(listed) == files - {"manifest.json"}


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "corpora/test/en/frames.npy"]
)
def test_a_changed_file_is_named(folder, tmp_path, name):
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    content = bytearray((moved / name).read_bytes())
    content[-2] ^= 1
    (moved / name).write_bytes(bytes(content))
    with pytest.raises(UserError, match=re.escape(name)):
        hero_jax.load(moved)


def test_a_manifest_that_leaves_a_file_out_is_no_seal(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["sha256"]["model.safetensors"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="model.safetensors: is not in manifest.json"):
        hero_jax.load(copy)
    (copy / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="manifest.json: cannot be read"):
        hero_jax.load(copy)


def test_a_folder_without_its_parameters_says_so(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match="model.safetensors: its SHA-256"):
        hero_jax.load(copy)


def test_a_split_that_was_not_exported_is_refused(folder):
    with pytest.raises(ValueError, match="split: found 'val'.* are test") as error:
        hero_jax.load(folder).search("the key", split="val")
    assert error.value.exit_code == 2


def test_the_parameters_of_the_folder_are_those_of_the_run(run, folder):
    _, params = checkpoint.load_params(run)
    same = jax.tree.map(np.array_equal, params, exported.load_params(folder))
    assert all(jax.tree.leaves(same))


def test_a_run_is_exported_as_the_official_code_saves_it(run, folder, tmp_path):
    export.to_official(run, tmp_path / "hero.pt")
    state = read_state(tmp_path / "hero.pt")
    shapes = pretrained.hero_shapes(model_config())
    assert str(pretrained.differences(state, shapes)) == ""
    assert state["vocab_padded"] is True
    export.to_official(folder, tmp_path / "again.pt")
    assert (tmp_path / "hero.pt").read_bytes() == (tmp_path / "again.pt").read_bytes()


def test_what_is_exported_is_imported_again(run, tmp_path):
    export.to_official(run, tmp_path / "hero.pt", is_legacy=True)
    importing.import_file(
        tmp_path / "hero.pt", tmp_path / "run", config_path=run / "config.json"
    )
    found = hero_jax.load(tmp_path / "run").search(QUERIES[0], k=4)
    assert found == hero_jax.load(run).search(QUERIES[0], k=4)


@pytest.mark.parametrize("is_trained", [False, True])
def test_an_entry_keeps_its_type_while_that_holds_its_value(tmp_path, is_trained):
    hero = random_hero(model_config())
    half = {n: v.astype(np.float16) for n, v in pretrained.to_official(hero).items()}
    name = "video_query_linear.bias"
    types = dict.fromkeys(half, "float16")
    origin = importing.Carried("x.pt", "", types, {})
    params = pretrained.from_official(half, model_config())
    if is_trained:
        params["span"]["projection"]["bias"] += np.float32(1e-5)
    state = export.official_state(params, origin)
    assert state[name].dtype == (np.float32 if is_trained else np.float16)
    assert state["video_query_linear.weight"].dtype == np.float16


@pytest.mark.parametrize("to", [export.to_official, export.to_stablehlo])
def test_nothing_is_written_over(run, tmp_path, to):
    with pytest.raises(UserError, match="is there already"):
        to(run, tmp_path)


def test_an_export_that_fails_leaves_nothing(dataset, tmp_path):
    source = dataclasses.replace(dataset, tokenizer=tmp_path / "none.json")
    run = write_run(tmp_path / "run", config_of(source))
    with pytest.raises(ValueError, match="none.json"):
        export.to_folder(run, tmp_path / "out", split="test")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
