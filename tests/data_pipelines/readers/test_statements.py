import json

import pytest

from data_pipelines.readers.errors import InputError, Tally
from data_pipelines.readers.reading import Reading
from data_pipelines.readers.statements import ALONE, read_statements

TRUE = {
    "example_id": 7,
    "statement": "Ann sits down.",
    "answer": 1,
    "vid_name": "v1",
    "paired_id": "v1-0-1",
}
FALSE = TRUE | {"example_id": 6, "answer": 0, "paired_id": "v1-0-0"}
OLD_TRUE = {"desc_id": "v1-0-1", "desc": "Ann sits.", "label": True, "vid_name": "v1"}
OLD_FALSE = OLD_TRUE | {"desc_id": "v1-0-0", "label": False}


def read(tmp_path, *rows, tally=None):
    path = tmp_path / "statements.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_statements(
        path, Reading(durations={"v1": 10.0}, tally=tally or Tally())
    )


@pytest.mark.parametrize(
    ("rows", "ids"),
    [((TRUE, FALSE), ("7", "6")), ((OLD_TRUE, OLD_FALSE), ("v1-0-1", "v1-0-0"))],
)
def test_a_statement_knows_its_contrary(tmp_path, rows, ids):
    true, false = read(tmp_path, *rows)
    assert (true.statement_id, false.statement_id) == ids
    assert (true.opposite, false.opposite) == ids[::-1]
    assert true.is_true is True and false.is_true is False
    assert true.texts["en"].startswith("Ann sits")


def test_a_statement_without_contrary_or_truth_is_kept(tmp_path):
    tally = Tally()
    row = {k: v for k, v in TRUE.items() if k not in ("answer", "paired_id")}
    (statement,) = read(tmp_path, row, tally=tally)
    assert statement.is_true is None and statement.opposite == ""
    assert tally[ALONE] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": 2}, "answer: expected 0, 1, true or false, found 2"),
        ({"answer": "yes"}, "answer: expected 0, 1, true or false, found 'yes'"),
        ({"statement": " "}, "statement: is empty"),
        ({"paired_id": "v1-0-0"}, "paired_id: 'v1-0-0' was already used by 6"),
    ],
)
def test_a_mistake_is_named_by_line_and_field(tmp_path, change, message):
    with pytest.raises(InputError) as error:
        read(tmp_path, FALSE, TRUE | change)
    assert f"statements.jsonl:2: {message}" in str(error.value)


def test_a_line_to_train_on_needs_its_label(tmp_path):
    path = tmp_path / "statements.jsonl"
    path.write_text(json.dumps({k: v for k, v in TRUE.items() if k != "answer"}))
    reading = Reading(durations={"v1": 10.0}, tally=Tally(), is_labelled=True)
    with pytest.raises(InputError, match=":1: answer: is missing"):
        read_statements(path, reading)
