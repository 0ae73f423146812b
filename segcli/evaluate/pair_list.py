"""Pairs as a file lists them, for names that no rule can pair."""

from __future__ import annotations

import csv
import json
import posixpath
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from segcli.errors import InputError, closest
from segcli.evaluate.names import NameRule
from segcli.formats.base import stem_of

__all__ = ["ListedPair", "PairList", "list_rule", "read_pairs"]

_COLUMNS = ("pred", "gt")
_EXAMPLE = 'two columns a row, a header pred,gt or none, or NDJSON {"pred": …, "gt": …}'
_NOUNS = {"pred": "prediction", "gt": "ground truth"}


@dataclass(frozen=True, slots=True)
class ListedPair:
    """One row of a list.

    Attributes:
        row: its number in the file, from 1, the header counted.
        pred: path of the prediction, as listed.
        gt: path of the ground truth, as listed.
    """

    row: int
    pred: str
    gt: str


@dataclass(frozen=True, slots=True)
class PairList:
    """An explicit list of pairs.

    Attributes:
        path: the file.
        rows: its pairs, in order.
    """

    path: str
    rows: tuple[ListedPair, ...]

    def error(self, pair: ListedPair, said: str, *, why: str = "", fix: str = "") -> InputError:
        """What is wrong with one row."""
        return InputError(f"{self.path} row {pair.row}: {said}", why=why, fix=fix)


def read_pairs(path: str | Path) -> PairList:
    """Read a list of pairs.

    Args:
        path: CSV or TSV (told by the first line) with two columns, prediction and ground truth, or
            with a header that names `pred` and `gt` among others; or NDJSON with those two keys.
            The rows that `--per-image` writes will do.

    Raises:
        InputError: the file cannot be read, is empty, a row lacks a path, or a path is there twice.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a list of pairs", why=str(error)) from error
    first = next((line for line in lines if line.strip()), "")
    read = _from_ndjson if first.lstrip().startswith("{") else _from_table
    listed = PairList(str(path), tuple(read(str(path), lines)))
    if not listed.rows:
        raise InputError(f"{path}: lists no pairs", fix=_EXAMPLE)
    _refuse_repeats(listed)
    return listed


def _from_ndjson(path: str, lines: Sequence[str]) -> Iterator[ListedPair]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise _malformed(path, number, f"is not JSON: {error}") from error
        found = [record.get(c) for c in _COLUMNS] if isinstance(record, dict) else [None]
        if not all(isinstance(value, str) and value for value in found):
            raise _malformed(path, number, "has no pred, or no gt")
        yield ListedPair(number, *found)


def _from_table(path: str, lines: Sequence[str]) -> Iterator[ListedPair]:
    first = next((line for line in lines if line.strip()), "")
    columns: tuple[int, int] | None = None
    for number, cells in enumerate(csv.reader(lines, delimiter="\t" if "\t" in first else ","), 1):
        row = [cell.strip() for cell in cells]
        if not any(row):
            continue
        if columns is None:
            words = [cell.lower() for cell in row]
            columns = (words.index("pred"), words.index("gt")) if {*_COLUMNS} <= {*words} else None
            if columns is not None:
                continue
            columns = (0, 1)
            if len(row) != 2:
                raise _malformed(path, number, f"has {len(row)} columns and is no header")
        if len(row) <= max(columns) or not all(row[column] for column in columns):
            raise _malformed(path, number, "has no pred, or no gt")
        yield ListedPair(number, row[columns[0]], row[columns[1]])


def _malformed(path: str, number: int, said: str) -> InputError:
    return InputError(f"{path} row {number}: {said}", fix=_EXAMPLE)


def _refuse_repeats(listed: PairList) -> None:
    for side, noun in _NOUNS.items():
        rows: dict[str, int] = {}
        for pair in listed.rows:
            path = getattr(pair, side)
            if path in rows:
                raise listed.error(
                    pair,
                    f"the {noun} {path} is in row {rows[path]} already",
                    why="a pair is one prediction and one ground truth",
                )
            rows[path] = pair.row


def list_rule(
    listed: PairList, pred_keys: Sequence[str] | None, gt_keys: Sequence[str]
) -> NameRule:
    """The rule that pairs what is listed; all other paths have no name and are left aside.

    Listed paths are those of the two sides, or these behind one folder that all rows share
    (`out/a.png` where the predictions are `out`), or stems.

    Args:
        listed: the list.
        pred_keys: paths of predictions; None where they come down a stream.
        gt_keys: paths of ground truth.

    Raises:
        InputError: a listed path is not there; two rows mean one file.
    """
    gts = _resolve(listed, "gt", gt_keys)
    preds = None if pred_keys is None else _resolve(listed, "pred", pred_keys)
    shared = Counter(stem_of(key) for key in gts.values())
    names = {p.row: s if shared[s := stem_of(gts[p.row])] == 1 else gts[p.row] for p in listed.rows}
    of_gt = {gts[row]: name for row, name in names.items()}
    aside = f", {len(gt_keys) - len(of_gt)} ground truths not in it left aside"
    if preds is None:
        of_pred = _streamed(listed, names)
    else:
        of_pred = {preds[row]: name for row, name in names.items()}.get
        aside = f", {len(pred_keys or ()) - len(names)} predictions and{aside[1:]}"
    return NameRule(of_pred, of_gt.get, f"list {listed.path}{aside}", only=True)


def _streamed(listed: PairList, names: Mapping[int, str]) -> Callable[[str], str | None]:
    by_path = {_plain(pair.pred): names[pair.row] for pair in listed.rows}
    by_stem = {stem_of(path): name for path, name in by_path.items()}

    def name(path: str) -> str | None:
        return by_path.get(_plain(path)) or by_stem.get(stem_of(_plain(path)))

    return name


def _resolve(listed: PairList, side: str, keys: Sequence[str]) -> dict[int, str]:
    """The key that each row means on one side, by row."""
    find = _finder(keys)
    paths = {pair.row: _plain(getattr(pair, side)) for pair in listed.rows}
    prefix = next((p for p in _prefixes(paths[listed.rows[0].row], find)), "")
    found: dict[int, str] = {}
    used: dict[str, int] = {}
    for pair in listed.rows:
        path = paths[pair.row]
        key = find(path.removeprefix(prefix)) if path.startswith(prefix) else None
        if key is None:
            stated = getattr(pair, side)
            raise listed.error(
                pair,
                f"there is no {_NOUNS[side]} {stated}",
                why=f"paths are relative to the folder, such as {keys[0]}" if keys else "",
                fix=closest(path, keys) or "segcli eval --check PRED GT shows what is there",
            )
        if key in used:
            raise listed.error(pair, f"means {key}, as row {used[key]} does")
        found[pair.row], used[key] = key, pair.row
    return found


def _prefixes(path: str, find: Callable[[str], str | None]) -> Iterator[str]:
    parts = path.split("/")
    for start in range(len(parts)):
        if find("/".join(parts[start:])) is not None:
            yield "".join(f"{part}/" for part in parts[:start])


def _finder(keys: Sequence[str]) -> Callable[[str], str | None]:
    by_path = {_plain(key): key for key in keys}
    stems = Counter(stem_of(path) for path in by_path)
    by_stem = {stem_of(p): key for p, key in by_path.items() if stems[stem_of(p)] == 1}
    return lambda path: by_path.get(path) or by_stem.get(path)


def _plain(path: str) -> str:
    return normalize("NFC", posixpath.normpath(path))
