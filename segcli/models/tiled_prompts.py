"""Large pictures: each object asked for is answered in a part of the picture around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from segcli.masks.rle import decode, encode, segment_from_rle
from segcli.masks.stitching import in_picture
from segcli.masks.tiles import Rectangle, Tile, tiles_over
from segcli.models.tiled import TileSettings
from segcli.records import Prompt, Segment

__all__ = ["TiledPrompts"]


@dataclass(frozen=True, slots=True)
class TiledPrompts:
    """A promptable model that is shown one part of a picture at a time.

    Objects share tiles, each of which is encoded once. Tiles overlap by half, so that an object is
    asked for where at least a quarter of a tile lies around the middle of what was given; where
    that does not fit a tile, it gets a part of the picture for itself.

    Attributes:
        inner: the model: (h, w, 3) uint8 RGB and prompts → segments, as many for each prompt.
        settings: how large a tile is, and how much lies around an object that fits none.
    """

    inner: Callable[[npt.NDArray[np.uint8], Sequence[Prompt]], tuple[Segment, ...]]
    settings: TileSettings

    def answer(
        self, image: npt.NDArray[np.uint8], prompts: Sequence[Prompt]
    ) -> tuple[Segment, ...]:
        """Masks of the objects asked for in one (H, W, 3) uint8 RGB image, in their order.

        An object that is larger than its tile is cut off there; a box around it makes room.
        """
        height, width = image.shape[:2]
        size = self.settings.tile
        if height <= size and width <= size:
            return self.inner(image, prompts)
        tiles = tiles_over(height, width, size, size // 2)
        places: dict[Rectangle, list[int]] = {}
        for number, prompt in enumerate(prompts):
            place = _place(prompt, tiles, self.settings.overlap, height, width)
            places.setdefault(place, []).append(number)
        found: dict[int, tuple[Segment, ...]] = {}
        for place, numbers in places.items():
            part = np.ascontiguousarray(image[place.top : place.bottom, place.left : place.right])
            segments = self.inner(part, [_in_part(prompts[n], place) for n in numbers])
            each = len(segments) // len(numbers)
            moved = [in_picture(segment, place, height, width) for segment in segments]
            for i, number in enumerate(numbers):
                found[number] = tuple(moved[i * each : (i + 1) * each])
        return tuple(s for number in range(len(prompts)) for s in found[number])


def _place(
    prompt: Prompt, tiles: Sequence[Tile], margin: int, height: int, width: int
) -> Rectangle:
    """The part of the picture where a prompt is asked."""
    left, top, right, bottom = _extent(prompt)
    x = min(max((left + right) / 2, 0), width - 1)
    y = min(max((top + bottom) / 2, 0), height - 1)
    (tile,) = (
        t.area for t in tiles if t.core.left <= x < t.core.right and t.core.top <= y < t.core.bottom
    )
    if tile.left <= left and tile.top <= top and right <= tile.right and bottom <= tile.bottom:
        return tile
    return Rectangle(
        min(tile.left, max(int(left) - margin, 0)),
        min(tile.top, max(int(top) - margin, 0)),
        max(tile.right, min(-int(-right // 1) + margin, width)),
        max(tile.bottom, min(-int(-bottom // 1) + margin, height)),
    )


def _extent(prompt: Prompt) -> tuple[float, float, float, float]:
    """The xyxy box around all that was given."""
    boxes = [(x, y, x + 1, y + 1) for x, y, _ in prompt.points]
    if prompt.box_xyxy is not None:
        boxes.append(prompt.box_xyxy)
    if prompt.mask is not None:
        x, y, across, down = segment_from_rle(prompt.mask).box_xywh
        boxes.append((x, y, x + across, y + down))
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _in_part(prompt: Prompt, place: Rectangle) -> Prompt:
    """The same prompt in pixels of a part of the picture that holds all of it."""
    box, mask = prompt.box_xyxy, prompt.mask
    left, top = place.left, place.top
    return replace(
        prompt,
        points=tuple((x - left, y - top, label) for x, y, label in prompt.points),
        box_xyxy=box and (box[0] - left, box[1] - top, box[2] - left, box[3] - top),
        mask=mask and encode(decode(mask)[top : place.bottom, left : place.right]),
    )
