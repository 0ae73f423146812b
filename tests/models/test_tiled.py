"""Any model, tile by tile: the same as without where a picture fits, bounded memory where not."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers import blobs, environment
from scipy import ndimage

from segcli.errors import ConfigError
from segcli.masks.labels import segments_from_label_map
from segcli.models.tiled import Tiled, TileSettings

SIDE = 10_000
BIG = f"""
import json, resource, sys
import numpy as np
from scipy import ndimage
from segcli.masks.labels import segments_from_label_map
from segcli.models.tiled import Tiled, TileSettings

side = {SIDE}
image = np.zeros((side, side, 3), np.uint8)
expected = 0
for top in range(100, side - 600, 700):
    for left in range(100, side - 600, 700):
        image[top : top + 450, left : left + 450] = 200
        expected += 1
image[side - 80 : side - 40, 50 : side - 50] = 255
image[50 : side - 50, side - 80 : side - 40] = 255

def regions(part):
    assert part.shape[0] <= 1024 and part.shape[1] <= 1024
    return segments_from_label_map(ndimage.label(part[:, :, 0])[0])

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = Tiled(regions, TileSettings(1024, 128)).segment(image)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({{"more": (peak - before) * 1024, "picture": image.nbytes, "squares": expected,
    "areas": sorted(s.area for s in found), "total": int((image[:, :, 0] > 0).sum())}}))
"""


def regions(part: np.ndarray):
    return segments_from_label_map(ndimage.label(part.max(axis=2) > 100)[0])


def test_a_picture_that_fits_is_left_to_the_model():
    """One tile: exactly what the model says, object by object."""
    image = blobs(1, 64, 64)
    assert Tiled(regions, TileSettings(64, 8)).segment(image) == regions(image)


@pytest.mark.parametrize("shape", [(65, 64), (64, 300), (150, 171), (400, 70)])
def test_regions_are_those_of_the_whole_picture(shape):
    """Whatever the shape of the picture: as many objects, with the same masks."""
    image = blobs(2, *shape)
    found = Tiled(regions, TileSettings(64, 16)).segment(image)
    assert {s.mask for s in found} == {s.mask for s in regions(image)}
    assert len(found) == len(regions(image))


def test_only_so_many_are_kept_of_the_picture():
    """The limit is on the picture, not on each tile."""
    image = blobs(2, 150, 171)
    assert len(Tiled(regions, TileSettings(64, 16), most=2).segment(image)) == 2


def test_ten_thousand_pixels_square():
    """A picture of 300 MB takes less than a third of its own size more, and every square is one."""
    done = subprocess.run(
        [sys.executable, "-c", BIG], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["areas"][:-1] == [450 * 450] * found["squares"]
    assert sum(found["areas"]) == found["total"]
    assert found["more"] < found["picture"] / 3


@pytest.mark.parametrize(("tile", "overlap"), [(63, 8), (64, 7), (64, 32), (100, 50), (64, -1)])
def test_tiles_that_cannot_be_stitched_are_refused(tile, overlap):
    """Too small, or no overlap to match by, or one of half a tile or more."""
    with pytest.raises(ConfigError, match="--tile"):
        TileSettings(tile, overlap)
