"""What needs no learning, measured beside the model: superpixels, discs, a threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.morphology import disk, opening
from skimage.segmentation import felzenszwalb

Mask = NDArray[np.bool_]

SCALES = (50, 200, 800)
ONE_SCALE = 200
RADII = (3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 65, 80, 100, 130)


def superpixels(image: NDArray[np.uint8]) -> dict[int, NDArray[np.int64]]:
    """Felzenszwalb segmentations, (H, W) region ids for each scale in SCALES."""
    return {s: felzenszwalb(image, scale=s, sigma=0.8, min_size=20) for s in SCALES}


def region_under(regions: NDArray[np.int64], point: tuple[int, int]) -> Mask:
    """The region that holds a (row, column) pixel, as a mask."""
    return regions == regions[point]


def disc(shape: tuple[int, int], point: tuple[int, int], radius: float) -> Mask:
    """Pixels within `radius` of a (row, column) pixel."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - point[0]) ** 2 + (x - point[1]) ** 2 <= radius**2


def disc_ious(mask: Mask, point: tuple[int, int]) -> NDArray[np.float64]:
    """IoU of a mask with the disc round a point, for each of RADII."""
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    distance = np.hypot(y - point[0], x - point[1])
    # Ring k holds the pixels that lie within radius k but not within the one before.
    ring = np.searchsorted(RADII, distance)
    inside = np.bincount(ring.ravel(), minlength=len(RADII) + 1)[:-1].cumsum()
    both = np.bincount(ring[mask], minlength=len(RADII) + 1)[:-1].cumsum()
    return both / (np.count_nonzero(mask) + inside - both)


def ellipse(shape: tuple[int, int], box: tuple[int, int, int, int]) -> Mask:
    """The ellipse that touches all sides of a half-open box (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = box
    y, x = np.ogrid[: shape[0], : shape[1]]
    across = (2 * x + 1 - x0 - x1) / (x1 - x0)
    down = (2 * y + 1 - y0 - y1) / (y1 - y0)
    return across**2 + down**2 <= 1


def otsu_objects(image: NDArray[np.uint8]) -> list[Mask]:
    """Otsu's threshold, opening with a disc of radius 1, connected components of 10 pixels or more.

    The rarer side of the threshold is taken for the objects.
    """
    grey = image.astype(np.float32).mean(-1)
    if grey.min() == grey.max():
        return []
    bright = grey > threshold_otsu(grey)
    found = opening(bright if bright.mean() <= 0.5 else ~bright, disk(1))
    components = label(found, connectivity=1)
    sizes = np.bincount(components.ravel())
    return [components == i for i in range(1, len(sizes)) if sizes[i] >= 10]


def superpixel_objects(regions: NDArray[np.int64]) -> list[Mask]:
    """All regions of a segmentation as masks, the largest (background) left out."""
    ids = np.unique(regions)
    sizes = ndimage.sum_labels(np.ones(regions.shape), regions, ids)
    return [regions == i for i in ids[sizes < sizes.max()]]
