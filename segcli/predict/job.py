"""The loop: decode the next pictures, run the model, write the last ones, all at once, in order."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from segcli.errors import ImageError, ItemError
from segcli.images import Picture, decode_image
from segcli.inputs import InputImage
from segcli.predict.plan import Item
from segcli.records import ImageRef, Segment, Segmentation

__all__ = ["Job", "Sink", "run"]

_log = logging.getLogger(__name__)

# Pictures decoded ahead of the model, and results waiting to be written behind it: each is one
# more picture in memory.
_AHEAD = 1
_BEHIND = 1

_Segment = Callable[[npt.NDArray[np.uint8]], tuple[Segment, ...]]


class Sink(Protocol):
    """Where results go: a folder, or nowhere but down the pipe."""

    def commit(
        self, item: Item, pixels: npt.NDArray[np.uint8], result: Segmentation
    ) -> dict[str, Any]:
        """Keep a result and return its record."""

    def commit_error(self, item: Item, error: ItemError) -> dict[str, Any]:
        """Keep a failure and return its record."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to run.

    Attributes:
        segment: the model: (H, W, 3) uint8 RGB → segments.
        model_name: how the model is called in records.
        sink: where results go.
        apply_exif: turn pictures upright.
        annotate: adds what is known of the classes to a result; None: there are none.
        answer: segments of a picture where each is asked something of its own; takes
            the place of `segment`.
    """

    segment: _Segment | None
    model_name: str
    sink: Sink
    apply_exif: bool = True
    annotate: Callable[[Segmentation], Segmentation] | None = None
    answer: Callable[[InputImage, npt.NDArray[np.uint8]], tuple[Segment, ...]] | None = None

    def segments(self, image: InputImage, pixels: npt.NDArray[np.uint8]) -> tuple[Segment, ...]:
        """Run the model on a picture."""
        if self.answer is not None:
            return self.answer(image, pixels)
        assert self.segment is not None
        return self.segment(pixels)


def run(job: Job, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
    """Segment every item and yield its record as soon as it is kept, in the order given.

    An item that fails yields an error record and the others go on.

    Raises:
        WriteError: results cannot be kept, which ends the run.
    """
    reading: deque[Future[_Decoded]] = deque()
    writing: deque[Future[dict[str, Any]]] = deque()
    waiting = iter(items)
    reader = ThreadPoolExecutor(1, "segcli-read")
    writer = ThreadPoolExecutor(1, "segcli-write")
    try:
        for item in _first(waiting, _AHEAD):
            reading.append(reader.submit(_decode, item, job.apply_exif))
        while reading:
            decoded = reading.popleft().result()
            for item in _first(waiting, 1):
                reading.append(reader.submit(_decode, item, job.apply_exif))
            writing.append(writer.submit(_keep, job, decoded, _segmented(job, decoded)))
            while len(writing) > _BEHIND or (writing and writing[0].done()):
                yield writing.popleft().result()
        while writing:
            yield writing.popleft().result()
    finally:
        reader.shutdown(cancel_futures=True)
        writer.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Decoded:
    item: Item
    size_bytes: int
    sha256: str
    picture: Picture | None
    error: ItemError | None


def _first(items: Iterator[Item], count: int) -> Iterator[Item]:
    for _ in range(count):
        item = next(items, None)
        if item is None:
            return
        yield item


def _decode(item: Item, apply_exif: bool) -> _Decoded:
    image = item.image
    try:
        data = image.read()
        picture = decode_image(data, image.source, page=image.page or 0, apply_exif=apply_exif)
    except ItemError as error:
        return _Decoded(item, 0, "", None, error)
    except OSError as error:
        failure = ImageError(f"{image.source}: cannot be read", why=str(error))
        return _Decoded(item, 0, "", None, failure)
    return _Decoded(item, len(data), hashlib.sha256(data).hexdigest(), picture, None)


def _segmented(job: Job, decoded: _Decoded) -> Segmentation | ItemError:
    if decoded.picture is None:
        return decoded.error or ImageError("unreadable")
    image, picture = decoded.item.image, decoded.picture
    try:
        segments = job.segments(image, picture.pixels)
    except ItemError as error:
        return error
    except Exception as error:  # noqa: BLE001 (one picture must never stop the others)
        _log.debug("the model failed on %s", image.key, exc_info=True)
        return ItemError(
            f"{image.source}: the model failed", why=f"{type(error).__name__}: {error}"
        )
    height, width = picture.pixels.shape[:2]
    reference = ImageRef(
        path=image.path,
        height=height,
        width=width,
        source=image.source,
        page=image.page,
        size_bytes=decoded.size_bytes,
        sha256=decoded.sha256,
        exif_orientation=picture.exif_orientation,
        conversion=picture.conversion,
    )
    result = Segmentation(reference, segments, model=job.model_name)
    return job.annotate(result) if job.annotate else result


def _keep(job: Job, decoded: _Decoded, outcome: Segmentation | ItemError) -> dict[str, Any]:
    if isinstance(outcome, ItemError) or decoded.picture is None:
        assert isinstance(outcome, ItemError)
        return job.sink.commit_error(decoded.item, outcome)
    return job.sink.commit(decoded.item, decoded.picture.pixels, outcome)
