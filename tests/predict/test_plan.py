"""Names of results: mirrored, and never shared by two pictures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from segcli.inputs import InputImage
from segcli.predict.plan import plan_items


def stems(*paths: str) -> list[str]:
    return [item.stem for item in plan_items([InputImage(p, p) for p in paths])]


def test_mirrored():
    """Equal names in different folders stay in different folders."""
    assert stems("a/1.jpg", "b/1.jpg") == ["a/1", "b/1"]


def test_same_stem_keeps_the_suffix():
    """x.jpg and x.png do not collide, nor do names that differ in case only."""
    assert stems("x.jpg", "x.png", "y.png") == ["x.jpg", "x.png", "y"]
    assert stems("X.jpg", "x.png") == ["X.jpg", "x.png"]
    assert stems("x.jpg", "x.png", "x.jpg.png") == ["x.jpg", "x.png", "x.jpg.png"]


def test_pages():
    """Pages of one file get names of their own."""
    images = [InputImage("x.tif", "x.tif", page) for page in (0, 1)]
    assert [i.stem for i in plan_items(images)] == ["x_page0", "x_page1"]


names = st.sampled_from(["x", "X", "x.jpg", "x.png", "x.jpg.png", "x.png.jpg", "X.PNG", ".x"])
paths = st.lists(st.tuples(st.sampled_from(["", "d/", "e/"]), names), unique=True, max_size=12)


@given(paths)
def test_no_two_pictures_share_a_name(parts):
    """Whatever the files are called, every result has a path of its own."""
    found = stems(*sorted({folder + name for folder, name in parts}))
    assert len({f.casefold() for f in found}) == len(found)
