"""Draw the README's pictures again: each is what a command gives with `--overlay`.

    python examples/pictures.py [KIND ...]

The pictures go to `examples/pictures/`: what the command was shown on the left, what `segcli`
drew on the right. On the left stands the prompt, where there is one; nothing else is added.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw

__all__ = ["KINDS", "Kind", "main"]

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "examples" / "pictures"
ROUGH = FOLDER / "rough.png"
COINS = "examples/images/coins_000002.png"
SCENE = "examples/panoptic/images/scene_700009.png"
WORDS = "examples/words/images/words_800500.png"

_QUALITY = 80
_GAP = 4
_MARK = (255, 0, 255)


@dataclass(frozen=True)
class Kind:
    """One kind of segmentation.

    Attributes:
        name: of its picture.
        command: what a user types, from the repository's root.
        picture: what it looks at.
    """

    name: str
    command: str
    picture: str


def _kind(name: str, picture: str, options: str = "") -> Kind:
    words = ["segcli predict", picture, f"-o out-{name}", options, "--overlay"]
    return Kind(name, " ".join(word for word in words if word), picture)


KINDS = (
    _kind("everything", "examples/images/nuclei_1.png"),
    _kind("points", COINS, "--each-point --point 156,187 --point 282,197 --point 175,28"),
    _kind(
        "boxes", "examples/images/shapes_000001.png", "--box 140,138,300,235 --box 28,164,100,244"
    ),
    _kind("mask", COINS, "--mask examples/pictures/rough.png"),
    _kind(
        "words",
        WORDS,
        '-m tiny-words --text "red thing" --text "white thing" --text bricks --text sky',
    ),
    _kind("panoptic", SCENE, "-m tiny-panoptic"),
    _kind("semantic", SCENE, "-m tiny-panoptic --task semantic"),
    _kind("instance", SCENE, "-m tiny-panoptic --task instance"),
)


def main(names: list[str]) -> None:
    """Run the commands and put their pictures together.

    Args:
        names: kinds to draw; none means all.
    """
    unknown = set(names) - {kind.name for kind in KINDS}
    if unknown:
        sys.exit(f"unknown kinds: {', '.join(sorted(unknown))}")
    FOLDER.mkdir(exist_ok=True)
    _draw_rough_mask()
    for kind in KINDS:
        if names and kind.name not in names:
            continue
        path = FOLDER / f"{kind.name}.jpg"
        _beside(_shown(kind), _answer(kind)).save(path, quality=_QUALITY, optimize=True)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def _draw_rough_mask() -> None:
    """A careless polygon on a coin, as a hand would draw it."""
    with Image.open(ROOT / COINS) as picture:
        mask = Image.new("1", picture.size)
    corners = [(133, 160), (172, 164), (184, 190), (166, 208), (141, 206), (128, 184)]
    ImageDraw.Draw(mask).polygon(corners, fill=1)
    mask.save(ROUGH, optimize=True)


def _answer(kind: Kind) -> Image.Image:
    """What the command draws."""
    _, *words = shlex.split(kind.command)
    with tempfile.TemporaryDirectory() as folder:
        words[words.index("-o") + 1] = folder
        subprocess.run([sys.executable, "-m", "segcli", *words], cwd=ROOT, check=True)  # noqa: S603
        (path,) = (Path(folder) / "overlay").rglob("*.png")
        with Image.open(path) as drawn:
            return drawn.convert("RGB")


def _shown(kind: Kind) -> Image.Image:
    """The picture, with what is asked for."""
    with Image.open(ROOT / kind.picture) as opened:
        picture = opened.convert("RGB")
    draw = ImageDraw.Draw(picture)
    words = shlex.split(kind.command)
    for option, value in pairwise(words):
        if option == "--point":
            x, y = map(int, value.split(","))
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_MARK, outline="white")
        elif option == "--box":
            x0, y0, x1, y1 = map(int, value.split(","))
            draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=_MARK, width=2)
        elif option == "--mask":
            with Image.open(ROOT / value) as mask:
                picture.paste(_MARK, mask=mask.convert("L").point(lambda v: v // 2))
    return picture


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures on white, side by side; the right one may be higher by its legend."""
    size = left.width + _GAP + right.width, max(left.height, right.height)
    sheet = Image.new("RGB", size, "white")
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width + _GAP, 0))
    return sheet


if __name__ == "__main__":
    main(sys.argv[1:])
