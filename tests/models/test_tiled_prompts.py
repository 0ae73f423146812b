"""Objects asked for in large pictures: each in a part around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from segcli.masks.rle import decode, encode, segment_from_mask
from segcli.models.tiled import TileSettings
from segcli.models.tiled_prompts import TiledPrompts
from segcli.records import Prompt

HEIGHT, WIDTH, TILE = 300, 420, 100


class Regions:
    """Answers with the region under the first point, or with what a box or a mask holds."""

    def __init__(self, each: int = 1) -> None:
        self.each = each
        self.parts: list[tuple[int, ...]] = []

    def __call__(self, image, prompts):
        self.parts.append(image.shape[:2])
        labels = ndimage.label(image[:, :, 0])[0]
        found = []
        for prompt in prompts:
            mask = np.zeros(labels.shape, bool)
            if prompt.points:
                x, y, _ = prompt.points[0]
                mask = labels == labels[int(y), int(x)]
            elif prompt.box_xyxy:
                x0, y0, x1, y1 = (int(v) for v in prompt.box_xyxy)
                mask[y0:y1, x0:x1] = labels[y0:y1, x0:x1] > 0
            elif prompt.mask:
                mask = decode(prompt.mask)
            fields = {"prompt_points": prompt.points, "prompt_box_xyxy": prompt.box_xyxy}
            point = prompt.points[0][:2] if prompt.points else None
            answer = segment_from_mask(mask, id=prompt.id, point_xy=point, **fields)
            found += [replace(answer, score=number / 10) for number in range(self.each)]
        return tuple(found)


@pytest.fixture
def picture():
    """Squares of 20 pixels, 30 apart, and one large object."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for top in range(5, 270, 30):
        for left in range(5, 270, 30):
            image[top : top + 20, left : left + 20] = 255
    image[20:280, 300:400] = 255
    return image


def test_points_give_the_objects_of_the_whole_picture(picture):
    """Whatever tile answers: masks and prompts are the picture's, in the order asked."""
    squares = [(x + 10.0, y + 10.0) for y in range(5, 270, 30) for x in range(5, 270, 30)]
    order = np.random.default_rng(0).permutation(len(squares))
    prompts = [Prompt(((*squares[i], 1),), id=int(i)) for i in order]
    model = Regions()
    found = TiledPrompts(model, TileSettings(TILE, 16)).answer(picture, prompts)
    assert found == Regions()(picture, prompts)
    assert set(model.parts) == {(TILE, TILE)}
    assert len(model.parts) <= 5 * 7


def test_what_fits_no_tile_gets_a_part_of_its_own(picture):
    """A box, a mask or points wider than a tile: asked where all of it and a margin are seen."""
    box = (295.0, 15.0, 405.0, 285.0)
    mask = encode((picture[:, :, 0] > 0) & (np.arange(WIDTH) >= 300))
    far = Prompt(((350.5, 25.0, 1), (350.0, 275.0, 1)))
    prompts = [Prompt(box_xyxy=box), Prompt(mask=mask), far]
    model = Regions()
    found = TiledPrompts(model, TileSettings(TILE, 16)).answer(picture, prompts)
    assert [s.mask for s in found[:2]] == [mask, mask]
    assert found[0].prompt_box_xyxy == box
    assert found[2].prompt_points == far.points
    assert all(rows >= 250 for rows, _ in model.parts)
    assert all(columns < WIDTH for _, columns in model.parts)


def test_several_masks_of_an_object_stay_together(picture):
    """Three masks a prompt, asked in different tiles, come in the order of the prompts."""
    prompts = [Prompt(((x, y, 1),), id=i) for i, (x, y) in enumerate([(255, 255), (15, 15)])]
    found = TiledPrompts(Regions(3), TileSettings(TILE, 16)).answer(picture, prompts)
    assert [s.id for s in found] == [0, 0, 0, 1, 1, 1]
    assert [s.score for s in found] == [0, 0.1, 0.2] * 2


def test_every_pixel_can_be_asked_for(picture):
    """Corners and edges of the picture lie in some tile."""
    points = [(0, 0), (WIDTH - 1, 0), (0, HEIGHT - 1), (WIDTH - 1, HEIGHT - 1), (210, 150)]
    prompts = [Prompt(((float(x), float(y), 1),)) for x, y in points]
    found = TiledPrompts(Regions(), TileSettings(TILE, 16)).answer(picture, prompts)
    assert [s.point_xy for s in found] == points
    assert all(decode(s.mask)[y, x] for s, (x, y) in zip(found, points, strict=True))


def test_a_picture_that_fits_is_left_to_the_model(picture):
    """One tile, or nothing asked: the model itself answers, or need not."""
    prompts = [Prompt(((15.0, 15.0, 1),))]
    model = Regions()
    whole = TiledPrompts(model, TileSettings(420, 16))
    assert whole.answer(picture, prompts) == Regions()(picture, prompts)
    assert model.parts == [(HEIGHT, WIDTH)]
    assert TiledPrompts(Regions(), TileSettings(TILE, 16)).answer(picture, []) == ()
