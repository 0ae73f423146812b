"""`--check`: a dry look at both sides before a score is believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from segcli.errors import ItemError, SegcliError
from segcli.evaluate.check_report import CheckReport, Pairs, SideReport
from segcli.evaluate.looks import Look, SideLooks, look_at
from segcli.evaluate.name_hints import no_pairs
from segcli.evaluate.pair_looks import PairLook, PairLooks, compare, strays
from segcli.evaluate.pair_traps import lie_traps, name_traps, size_traps
from segcli.evaluate.pairing import index_names, rule_of, stream_rule_of
from segcli.evaluate.protocol import check_options, choose_protocol
from segcli.evaluate.resize import fit
from segcli.evaluate.result import Failure
from segcli.evaluate.settings import EvalSettings
from segcli.evaluate.side_traps import side_traps, value_traps
from segcli.evaluate.traps import ASKED_FOR, Finding, plural, protocol_reduced
from segcli.evaluate.views import view
from segcli.evaluate.workers import in_order
from segcli.formats.base import Source
from segcli.formats.files import spread
from segcli.formats.ndjson import StreamSource
from segcli.metrics import Protocol
from segcli.records import Segmentation

__all__ = ["check"]

_SIDES = ("predictions", "ground truth")
_STORED, _TURNED, _WHOLE = 50, 20, 10
_SHOWN_PAIRS = 3
_LEVELS = ("error", "warning", "note")


def check(
    pred: Source,
    gt: Source,
    settings: EvalSettings | None = None,
    *,
    on_item: Callable[[], None] | None = None,
) -> CheckReport:
    """Look at every file of both sides without scoring, and name what would mislead.

    Every file is read, several at once; as stored, pieces and turned masks are looked at in a
    sample. Memory does not grow with the number of images.

    Args:
        pred: the predictions; a stream is read once.
        gt: the ground truth.
        settings: as for `evaluate`.
        on_item: called after each pair, and each file without counterpart.

    Raises:
        UsageError: the protocol or the pairing rule does not fit the two sides.
        InputError: a side holds a name twice, or no prediction has ground truth.
    """
    settings = settings or EvalSettings()
    protocol = choose_protocol(pred, gt, settings.protocol)
    check_options(settings, protocol[0])
    work = _Work(pred, gt, replace(settings, protocol=protocol[0]), on_item)
    if isinstance(pred, StreamSource):
        work.look_at_stream()
    else:
        work.look_at_files()
    return work.finish(protocol)


@dataclass(frozen=True, slots=True)
class _Item:
    """A pair, or a file without its counterpart, and what of it is looked at closely."""

    pred: str | None
    gt: str | None
    close: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of one item."""

    item: _Item
    pred: Look | None = None
    gt: Look | None = None
    pair: PairLook | None = None
    failures: tuple[tuple[int, Failure], ...] = ()


@dataclass(slots=True)
class _Work:
    """One look under way."""

    pred: Source
    gt: Source
    settings: EvalSettings
    on_item: Callable[[], None] | None
    rule: str = ""
    looks: tuple[SideLooks, SideLooks] = field(default_factory=lambda: (SideLooks(), SideLooks()))
    pairs: PairLooks = field(default_factory=PairLooks)
    examples: list[tuple[str, str]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=lambda: [0, 0])
    fatal: bool = False
    keys: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    left: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    empty: int = 0

    def look_at_files(self) -> None:
        """Pair everything first, then read several files at once."""
        rule = rule_of(self.pred, self.gt, self.settings.match, self.settings.listed)
        self.rule = rule.words
        preds, gts = rule.preds(self.pred.keys()), rule.gts(self.gt.keys())
        self.keys = preds, gts
        of_pred = index_names(preds, rule.pred, _SIDES[0])
        of_gt = index_names(gts, rule.gt, _SIDES[1])
        self._note_failed(rule.pred, of_gt)
        pairs = [(of_pred[name], key) for name, key in of_gt.items() if name in of_pred]
        matched = {pred for pred, _ in pairs}, {gt for _, gt in pairs}
        failed = {failure.gt for failure in self.failures}
        self.left[0].extend(key for key in preds if key not in matched[0])
        self.left[1].extend(key for key in gts if key not in matched[1] and key not in failed)
        if not pairs and not self.failures and self.left[0]:
            raise no_pairs(preds, gts, rule.words)
        items = [_Item(*pair) for pair in pairs]
        items += [_Item(key, None) for key in self.left[0]]
        items += [_Item(None, key) for key in self.left[1]]
        for seen in in_order(self._look, _closely(items), self.settings.workers):
            self._add(seen)
        self._take_as_empty()

    def look_at_stream(self) -> None:
        """Look at each prediction as it arrives."""
        keys = list(self.gt.keys())
        rule = stream_rule_of(keys, self.settings.match, self.settings.listed)
        self.rule = rule.words
        waiting = index_names(keys, rule.gt, _SIDES[1])
        self.keys = [], rule.gts(keys)
        arriving = iter(self.pred)
        while True:
            try:
                key, pred = next(arriving)
            except StopIteration:
                break
            except SegcliError as error:
                self._add(_Seen(_Item("", None), failures=((0, _failure(error, None, None)),)))
                continue
            name = rule.pred(key)
            if name is None and rule.only:
                continue
            gt_key = None if name is None else waiting.pop(name, None)
            self.keys[0].append(key)
            if gt_key is None:
                self.left[0].append(key)
            close = frozenset({"turned"} if self.pairs.pairs < _TURNED else ())
            self._add(self._look(_Item(key, gt_key, close), pred))
            del pred
        self._note_failed(rule.pred, waiting)
        nameless = [key for key in self.keys[1] if rule.gt(key) is None]
        for gt_key in (*waiting.values(), *nameless):
            self.left[1].append(gt_key)
            self._add(self._look(_Item(None, gt_key)))
        self._take_as_empty()

    def _note_failed(self, name_of: Callable[[str], str | None], gts: dict[str, str]) -> None:
        """Images that the predictions say could not be segmented."""
        for key in self.pred.failed:
            name = name_of(key) or key
            said = f"{key}: could not be segmented"
            why = "its record in the predictions is an error record"
            self.unreadable[0] += 1
            self.failures.append(Failure(name, key, gts.pop(name, None), said, why))
            self.fatal = True

    @property
    def _takes_empty(self) -> bool:
        """COCO results list detections: an image without any is simply not there."""
        missing = self.settings.missing
        return missing == "empty" or (self.pred.format == "coco" and missing != "skip")

    def _take_as_empty(self) -> None:
        if self._takes_empty:
            self.empty = len(self.left[1])
            self.left[1].clear()

    def _look(self, item: _Item, pred: Segmentation | None = None) -> _Seen:
        ours = self._read(0, item) if pred is None else self._viewed(0, item, lambda: pred)
        theirs = self._read(1, item)
        found = enumerate((ours, theirs))
        failures = tuple((n, side) for n, side in found if isinstance(side, Failure))
        options = {"stored": "stored" in item.close, "whole": "whole" in item.close}
        keys = item.pred or "", item.gt or ""
        pair = None
        if isinstance(ours, Segmentation) and isinstance(theirs, Segmentation):
            pair = compare(keys, ours, theirs, turned="turned" in item.close)
            pair = replace(pair, stray=self._strays(ours, theirs))
        return _Seen(
            item,
            look_at(keys[0], ours, **options) if isinstance(ours, Segmentation) else None,
            look_at(keys[1], theirs, **options) if isinstance(theirs, Segmentation) else None,
            pair,
            failures,
        )

    def _strays(
        self, pred: Segmentation, gt: Segmentation
    ) -> tuple[dict[int, int], dict[int, int]]:
        classes = self.settings.scored_classes
        if self.settings.protocol != "semantic" or classes is None:
            return {}, {}
        try:
            fitted, _ = fit(pred, gt, self.settings.resize_pred)
        except ItemError:
            return {}, {}
        names = classes.names
        return strays(fitted, gt, lambda v: v in names)

    def _read(self, number: int, item: _Item) -> Segmentation | Failure | None:
        key = (item.pred, item.gt)[number]
        source = (self.pred, self.gt)[number]
        return None if key is None else self._viewed(number, item, lambda: source.read(key))

    def _viewed(
        self, number: int, item: _Item, read: Callable[[], Segmentation]
    ) -> Segmentation | Failure:
        try:
            return view(read(), self.settings, truth=number == 1)
        except SegcliError as error:
            return _failure(error, item.pred, item.gt)

    def _add(self, seen: _Seen) -> None:
        if self.on_item is not None:
            self.on_item()
        for number, look in enumerate((seen.pred, seen.gt)):
            if look is not None:
                self.looks[number].add(look)
        for number, failure in seen.failures:
            self.unreadable[number] += 1
            self.failures.append(failure)
            alone = seen.item.gt is None or (seen.item.pred is None and not self._takes_empty)
            self.fatal |= not alone or self.settings.missing == "error"
        if seen.pair is not None:
            self.pairs.add(seen.pair)
            if len(self.examples) < _SHOWN_PAIRS:
                self.examples.append((seen.pair.pred, seen.pair.gt))

    def finish(self, protocol: tuple[Protocol, str]) -> CheckReport:
        """Judge the sums."""
        sources = self.pred, self.gt
        found = [*self._unreadable(), *self._findings(protocol)]
        pred, gt = (
            SideReport.of(source, looks, n)
            for source, looks, n in zip(sources, self.looks, self.unreadable, strict=True)
        )
        return CheckReport(
            *protocol,
            looked_at=f"all files; values as stored in {self.looks[0].sampled} predictions and "
            f"{self.looks[1].sampled} ground truths, turned masks in "
            f"{self.pairs.views.get('', (0, 0))[1]} pairs",
            pred=pred,
            gt=gt,
            pairing=Pairs(
                self.rule,
                tuple(self.left[0]),
                tuple(self.left[1]),
                self.empty,
                tuple(self.examples),
                self.pairs,
            ),
            findings=tuple(sorted(found, key=lambda finding: _LEVELS.index(finding.level))),
            failures=tuple(self.failures),
        )

    def _findings(self, protocol: tuple[Protocol, str]) -> Iterator[Finding]:
        sources, settings = (self.pred, self.gt), self.settings
        yield from name_traps(self.keys, self.left, self.pairs.pairs, settings)
        yield from size_traps(self.pairs, settings)
        yield from lie_traps(self.pairs, protocol[0])
        yield from value_traps(settings, protocol[0], sources, self.looks, self.pairs)
        for number, side in enumerate(_SIDES):
            yield from side_traps(side, sources[number], self.looks[number], self.looks[1 - number])
        if protocol[1] != ASKED_FOR and protocol[0] != self.gt.kind:
            yield protocol_reduced(protocol, self.gt.kind)
        if self.empty:
            yield Finding(
                "taken-as-empty",
                "note",
                f"{plural(self.empty, 'ground truth')} without prediction, scored as if nothing "
                "was predicted",
                "COCO results list no empty image"
                if self.settings.missing != "empty"
                else "--missing empty says so",
            )

    def _unreadable(self) -> Iterator[Finding]:
        if not self.failures:
            return
        first = self.failures[0]
        preds, gts = self.unreadable
        yield Finding(
            "unreadable",
            # What has no counterpart is not read where unmatched files may be left out.
            "error" if self.fatal else "warning",
            f"{plural(preds, 'prediction')} and {plural(gts, 'ground truth')} cannot be read, "
            f"first: {first.error}",
            first.why or "they are not scored, and eval exits with 3",
            first.fix,
        )


def _closely(items: Sequence[_Item]) -> Iterator[_Item]:
    """Items with what is looked at closely in a sample of them."""
    numbers = [str(number) for number in range(len(items))]
    samples = {
        name: frozenset(spread(numbers, most))
        for name, most in (("stored", _STORED), ("turned", _TURNED), ("whole", _WHOLE))
    }
    for number, item in zip(numbers, items, strict=True):
        close = frozenset(name for name, chosen in samples.items() if number in chosen)
        yield replace(item, close=close)


def _failure(error: SegcliError, pred: str | None, gt: str | None) -> Failure:
    name = pred or gt or error.message
    return Failure(name, pred, gt, error.message, error.why, error.fix)
