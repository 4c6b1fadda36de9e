"""The commands that bring weights in and out, as they are typed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from hero_jax import cli
from hero_jax.torch_file import read_state, write_state

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden"
CONFIG = GOLDEN / "config/hero_finetune_tiny.json"


@pytest.fixture
def released(tmp_path):
    state = load_file(GOLDEN / "weights/videoqa.safetensors")
    write_state(tmp_path / "qa.pt", state)
    return tmp_path / "qa.pt"


@pytest.fixture
def hero_jax(monkeypatch, capsys):
    """Runs a command in this process; returns what it printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hero-jax", *map(str, arguments)])
        cli.main()
        return capsys.readouterr().out

    return run


def test_weights_go_in_and_come_out(released, tmp_path, hero_jax):
    said = hero_jax("import", released, tmp_path / "run", "--config", CONFIG)
    assert re.match(r"sha256 [0-9a-f]{64}  qa.pt\n", said)
    assert "kept for export: v_encoder" in said and "pooler" in said
    out = tmp_path / "again.pt"
    command = ("export", tmp_path / "run", "--to", "official", "--out", out)
    assert hero_jax(*command, "--legacy") == f"{out}\n"
    state, again = read_state(released), read_state(out)
    assert list(again) == list(state)
    assert all(np.array_equal(again[name], state[name]) for name in state)


def test_programs_come_out(released, tmp_path, hero_jax):
    hero_jax("import", released, tmp_path / "run", "--config", CONFIG)
    hero_jax("export", tmp_path / "run", "--to", "stablehlo", "--out", tmp_path / "hlo")
    said = json.loads((tmp_path / "hlo/programs.json").read_text())
    assert said["encode_videos"]["inputs"]["features"] == ["float32", "b, f, 20"]


def test_a_partial_import_says_what_did_not_fit(released, tmp_path, hero_jax):
    state = read_state(released)
    del state["qa_pred_head.linear_1.bias"]
    write_state(released, state)
    said = hero_jax(
        "import", released, tmp_path / "run", "--config", CONFIG, "--partial"
    )
    assert "did not fit: missing: qa_pred_head.linear_1.bias\n" in said


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 no zip", b"\x80\x02cos\nsystem\n(X\x01\0\0\0atR."]
)
def test_a_mutilated_file_is_one_line_and_exit_code_2(tmp_path, content):
    (tmp_path / "bad.pt").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "hero_jax.cli", "import", "bad.pt", "run"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert re.fullmatch(r"error: bad.pt: not a file of weights.*\n", done.stderr)
    assert not (tmp_path / "run").exists()
