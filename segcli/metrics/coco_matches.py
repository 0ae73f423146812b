"""COCO's matching over masks, done by hotcoco: many images and classes in one call.

Which detection matches which object is settled as images arrive, so masks need not be kept. Whether
classes count is known at the end only, where the first object without one may come last. Until then
images wait to be matched as one class, which takes longer than all classes do one by one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, islice
from typing import Any

from hotcoco import StreamingEval

from segcli.metrics.coco_curves import Curves, curves_of

__all__ = ["EVERY_CLASS", "ByCategory", "CodedImage", "Guess", "Matches", "Truth"]

EVERY_CLASS = None

_IMAGES_AT_ONCE = 64
_MOST_FRESH = 1 << 22
_CLASSES_AT_ONCE = 32
_MOST_WAITING = 1 << 26
_ROW_BYTES = 160

Truth = tuple[str, "int | None", float, bool]
"""Counts of an RLE, category, area and whether it is a crowd."""
Guess = tuple[str, "int | None", float]
"""Counts of an RLE, category and score."""
ByCategory = dict["int | None", list[dict[str, Any]]]
_Batch = tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]


@dataclass(eq=False)
class CodedImage:
    """The objects of one image as hotcoco takes them.

    Attributes:
        index: position of the image, by which ties are settled.
        height: rows.
        width: columns.
        truths: true objects in the order of their file.
        guesses: predicted objects, likewise.
        void: pixels that do not count, a crowd of each class, or None.
    """

    index: int
    height: int
    width: int
    truths: Sequence[Truth]
    guesses: Sequence[Guess]
    void: Truth | None = None

    @property
    def size(self) -> dict[str, int]:
        """Rows and columns by COCO's names."""
        return {"height": self.height, "width": self.width}

    @cached_property
    def _shape(self) -> list[int]:
        return [self.height, self.width]

    @property
    def record(self) -> dict[str, int]:
        """The image as COCO has it."""
        return {"id": self.index + 1, **self.size}

    @property
    def text(self) -> int:
        """About how many bytes of memory the objects take."""
        texts = [len(row[0]) for row in self.truths] + [len(row[0]) for row in self.guesses]
        return sum(texts) + _ROW_BYTES * len(texts)

    @property
    def categories(self) -> set[int | None]:
        """Categories of both sides, and None for objects without."""
        return {row[1] for row in self.truths} | {row[1] for row in self.guesses}

    @cached_property
    def gt(self) -> ByCategory:
        """Annotations by category, and all of them under None."""
        groups = _grouped((c, self.annotation(row, 1)) for row in self.truths for c in [row[1]])
        if self.void is not None:
            present = self.categories | ({EVERY_CLASS} if self.truths or self.guesses else set())
            for category in present:
                groups.setdefault(category, []).append(self.annotation(self.void, 1))
        return groups

    @cached_property
    def pred(self) -> ByCategory:
        """Detections by category, and all of them under None."""
        return _grouped((c, self.detection(row, 1)) for row in self.guesses for c in [row[1]])

    def annotation(self, row: Truth, category: int, number: int = 1) -> dict[str, Any]:
        """A true object as COCO has it; numbers start at 1, as 0 would stand for no match."""
        counts, _, area, crowd = row
        return {
            "id": number,
            "image_id": self.index + 1,
            "category_id": category,
            "iscrowd": int(crowd),
            "area": area,
            "segmentation": {"size": self._shape, "counts": counts},
        }

    def put(self, batch: _Batch, block: int) -> None:
        """Add the objects of a block of classes, whose places in it count from 1."""
        first, behind = block * _CLASSES_AT_ONCE, (block + 1) * _CLASSES_AT_ONCE
        # Written out, as calls for each object would take longer than the objects themselves.
        image, shape, shift = self.index + 1, self._shape, first - 1
        truths = self.truths
        if self.void is not None:
            counts, _, area, crowd = self.void
            truths = [*truths, *((counts, c, area, crowd) for c in self.categories)]
        truths = [row for row in truths if row[1] is not None and first <= row[1] < behind]
        batch[1].extend(
            {
                "id": number,
                "image_id": image,
                "category_id": (category or 0) - shift,
                "iscrowd": int(crowd),
                "area": area,
                "segmentation": {"size": shape, "counts": counts},
            }
            for number, (counts, category, area, crowd) in enumerate(truths, len(batch[1]) + 1)
        )
        batch[2].extend(
            {
                "image_id": image,
                "category_id": category - shift,
                "score": score,
                "segmentation": {"size": shape, "counts": counts},
            }
            for counts, category, score in self.guesses
            if category is not None and first <= category < behind
        )

    def detection(self, row: Guess, category: int) -> dict[str, Any]:
        """A predicted object as COCO has it."""
        counts, _, score = row
        return {
            "image_id": self.index + 1,
            "category_id": category,
            "score": score,
            "segmentation": {"size": self._shape, "counts": counts},
        }


@dataclass(slots=True)
class Matches:
    """Matches of all images so far: class by class, as one class, or both.

    Attributes:
        blocks: evaluators of up to 32 classes each, by the number of the block; those of two runs
            have the same classes and so can be merged. Empty once classes do not count.
        as_one: the evaluator that takes all objects as one class, or None before it is needed.
        fresh: images not matched yet.
        fresh_text: about the bytes of memory that those take.
        waiting: images that `blocks` has and `as_one` does not.
        held: about the bytes of memory that those waiting take.
        known: curves that were asked for since the last image.
    """

    blocks: dict[int, Any] = field(default_factory=dict)
    as_one: Any = None
    fresh: list[CodedImage] = field(default_factory=list)
    fresh_text: int = 0
    waiting: list[CodedImage] = field(default_factory=list)
    held: int = 0
    known: dict[int | None, Curves] | None = None

    def add(self, other: Matches, images: Iterable[CodedImage], *, named: bool) -> None:
        """Add matches of other images, and images to be matched.

        Args:
            other: what was matched elsewhere; it is not changed.
            images: further images.
            named: False when an object without category was met, so that classes do not count.
        """
        self.known = None
        if named:
            for number, block in other.blocks.items():
                self.blocks[number] = _merged(self.blocks.get(number), block)
        if other.as_one is not None:
            self.as_one = _merged(self.as_one, other.as_one)
        self.waiting += other.waiting
        self.held += other.held
        further = [*other.fresh, *images]
        self.fresh += further
        self.fresh_text += sum(image.text for image in further)
        full = len(self.fresh) >= _IMAGES_AT_ONCE or self.fresh_text >= _MOST_FRESH
        if not named or full:
            self.match(named=named)

    def match(self, *, named: bool) -> None:
        """Match what is left to be matched class by class, or else as one class."""
        if named:
            for some in _batches(self.fresh):
                self._match_classes(some)
        else:
            self.blocks = {}
        self.waiting += self.fresh
        self.held += self.fresh_text
        self.fresh, self.fresh_text = [], 0
        if not named or self.as_one is not None or self.held > _MOST_WAITING:
            self._match_as_one()

    def _match_classes(self, images: Sequence[CodedImage]) -> None:
        batches: dict[int, _Batch] = {}
        for image in images:
            for number in _blocks(image.categories):
                batch = batches.setdefault(number, ([], [], []))
                batch[0].append(image.record)
                image.put(batch, number)
        for number, batch in batches.items():
            if number not in self.blocks:
                self.blocks[number] = _evaluator(_CLASSES_AT_ONCE)
            self.blocks[number].update(*batch)

    def _match_as_one(self) -> None:
        if self.as_one is None and self.waiting:
            self.as_one = _evaluator(1)
        for some in _batches(self.waiting):
            self.as_one.update(*_as_one(some))
        self.waiting, self.held = [], 0

    def curves(self, categories: Iterable[int] | None) -> dict[int | None, Curves]:
        """Precision and recall of each of the categories, or of all objects as one class.

        Args:
            categories: all that were met, or None: as one class.
        """
        if self.known is None:
            if categories is not None:
                self.match(named=True)
                self.known = dict(self._by_class(sorted(categories)))
            else:
                self.match(named=False)
                as_one = self.as_one
                self.known = {} if as_one is None else {EVERY_CLASS: curves_of(_finished(as_one))}
        return self.known

    def _by_class(self, categories: Sequence[int]) -> Iterator[tuple[int, Curves]]:
        for number, some in groupby(categories, lambda c: c // _CLASSES_AT_ONCE):
            if number not in self.blocks:
                continue
            found = _finished(self.blocks[number])
            for category in some:
                slot = category % _CLASSES_AT_ONCE
                precision = found["precision"][:, :, slot : slot + 1]
                recall = found["recall"][:, slot : slot + 1]
                yield category, curves_of({"precision": precision, "recall": recall})


def _blocks(categories: Iterable[int | None]) -> set[int]:
    """The numbers of the blocks that classes are in."""
    named = [category for category in categories if category is not None]
    return {category // _CLASSES_AT_ONCE for category in named}


def _as_one(images: Iterable[CodedImage]) -> _Batch:
    """Objects as one class come by category, as pycocotools takes them with `useCats = 0`."""
    batch: _Batch = ([], [], [])
    for image in images:
        if image.truths or image.guesses:
            batch[0].append(image.record)
            truths = sorted(image.truths, key=_category)
            for row in truths if image.void is None else [*truths, image.void]:
                batch[1].append(image.annotation(row, 1, len(batch[1]) + 1))
            batch[2].extend(image.detection(row, 1) for row in sorted(image.guesses, key=_category))
    return batch


def _category(row: Truth | Guess) -> int:
    return row[1] or 0


def _grouped(rows: Iterable[tuple[int | None, dict[str, Any]]]) -> ByCategory:
    groups: ByCategory = {}
    for category, coded in sorted(rows, key=lambda row: row[0] or 0):
        groups.setdefault(EVERY_CLASS, []).append(coded)
        if category is not None:
            groups.setdefault(category, []).append(coded)
    return groups


def _batches(images: Iterable[CodedImage]) -> Iterator[list[CodedImage]]:
    left = iter(images)
    while some := list(islice(left, _IMAGES_AT_ONCE)):
        yield some


def _evaluator(classes: int) -> Any:  # noqa: ANN401 (hotcoco ships no types)
    return StreamingEval([{"id": n + 1, "name": str(n)} for n in range(classes)], "segm")


def _merged(mine: Any, other: Any) -> Any:  # noqa: ANN401 (the same)
    return copy.copy(other) if mine is None else StreamingEval.merge([mine, other])


def _finished(evaluator: Any) -> Any:  # noqa: ANN401 (the same)
    # Finishing an evaluator closes it, and more images may follow.
    done = copy.copy(evaluator).finalize()
    done.accumulate()
    return done.eval
