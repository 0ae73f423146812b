"""The journal: append, survive a torn line, end in the order of the plan."""

from __future__ import annotations

import pytest

from segcli.errors import InputError
from segcli.formats.ndjson import to_line
from segcli.predict.journal import Journal


def record(path: str, status: str = "ok") -> dict:
    return {"schema": "segcli.image/1", "status": status, "path": path, "page": None}


def written(folder, *records) -> Journal:
    journal = Journal(folder)
    with journal.appending():
        for entry in records:
            journal.append(entry)
    return journal


def test_append_and_read_back(tmp_path):
    """What was appended is found by the next run, and can be read back whole."""
    written(tmp_path, record("a"), record("b"))
    again = Journal(tmp_path)
    assert set(again.records) == {"a", "b"}
    assert again.record("b") == record("b")


def test_torn_line_is_dropped(tmp_path):
    """A last line cut short by a kill is no record, and the next append does not join it."""
    written(tmp_path, record("a"))
    path = tmp_path / "segments.ndjson"
    whole = path.read_bytes()
    path.write_bytes(whole + to_line(record("b")).encode()[:-5])
    written(tmp_path, record("b"))
    assert path.read_bytes() == whole + to_line(record("b")).encode()


def test_foreign_file_is_refused(tmp_path):
    """A segments.ndjson that is not ours is not taken for one."""
    (tmp_path / "segments.ndjson").write_text("hello\n")
    with pytest.raises(InputError, match="line 1"):
        Journal(tmp_path)


def test_settle(tmp_path):
    """One record an image remains, the newest; those of other runs stay, at the end."""
    journal = written(
        tmp_path, record("c"), record("a", "error"), record("b"), record("a"), record("z")
    )
    journal.settle(["a", "b", "c"])
    lines = (tmp_path / "segments.ndjson").read_text().splitlines(keepends=True)
    assert lines == [to_line(record(p)) for p in "abcz"]


def test_change_by_others_is_noticed(tmp_path):
    """A journal that someone else wrote to since it was read is not current."""
    mine = Journal(tmp_path)
    assert mine.is_current()
    written(tmp_path, record("a"))
    assert not mine.is_current()
