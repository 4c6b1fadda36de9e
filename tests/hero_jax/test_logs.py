import json

import pytest

from hero_jax.errors import UserError
from hero_jax.logs import Curves, MetricsLog, Progress, read_lines


def steps(path):
    return [line["step"] for line in read_lines(path)]


def test_every_line_is_on_disk_at_once(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl", resumed_step=0)
    log.write(1, {"task": "mlm", "mlm/loss": 0.5})
    line = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(line) == {"step": 1, "task": "mlm", "mlm/loss": 0.5}


def test_after_a_resume_the_file_has_each_step_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, resumed_step=0)
    for step in range(1, 6):
        log.write(step, {"loss": step})
    log.close()
    log = MetricsLog(path, resumed_step=3)
    log.write(4, {"loss": 40})
    assert steps(path) == [1, 2, 3, 4]
    assert read_lines(path)[3]["loss"] == 40


@pytest.mark.parametrize("tail", ['{"step": 4, "lo', "\x00\x00", "3\n", "\n", "{}\n"])
def test_a_line_cut_off_by_a_kill_is_dropped(tmp_path, tail):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 3, "loss": 1.0}\n' + tail)
    MetricsLog(path, resumed_step=3).close()
    assert path.read_text() == '{"step": 3, "loss": 1.0}\n'


def test_the_bar_is_silent_where_nobody_looks(capsys):
    bar = Progress(10, start=3, name="run", is_shown=True)
    bar.advance()
    bar.show(0.5, 12.0)
    bar.close()
    assert capsys.readouterr() == ("", "")


def test_curves_say_what_is_missing_or_write(tmp_path):
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match="pip install"):
            Curves(tmp_path, resumed_step=0)
    else:
        curves = Curves(tmp_path, resumed_step=0)
        curves.write(1, {"task": "mlm", "loss": 0.5})
        curves.close()
        assert list(tmp_path.glob("events.*"))
