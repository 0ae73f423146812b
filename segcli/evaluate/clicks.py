"""Who clicks on an object, knowing its ground truth."""

from __future__ import annotations

from segcli.masks.points import corrective_click
from segcli.masks.rle import decode
from segcli.records import RLE

__all__ = ["Corrector"]


class Corrector:
    """Clicks on one object: first on its middle, then where its mask is most wrong.

    Args:
        target: the object; it has no ignored pixel.
        ignore: pixels that do not count and are never clicked.
    """

    def __init__(self, target: RLE, ignore: RLE | None = None) -> None:
        self._target = target
        self._ignore = ignore
        self._clicked: list[tuple[int, int]] = []

    def __call__(self, mask: RLE | None) -> tuple[int, int, int] | None:
        """The next click.

        Args:
            mask: what the model made of the clicks before; None before the first.

        Returns:
            x, y and label (1 inside, 0 outside); None where no error is left to click on.
        """
        # Dense masks are made anew each time: one an object would be held for all objects at once.
        truth = decode(self._target)
        wrong = truth if mask is None else truth ^ decode(mask)
        if self._ignore is not None:
            wrong = wrong & ~decode(self._ignore)
        click = corrective_click(wrong, truth, self._clicked)
        if click is not None:
            self._clicked.append(click[:2])
        return click
