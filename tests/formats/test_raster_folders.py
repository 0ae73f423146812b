"""Folders of label maps and binary masks: what they are taken for, and the traps."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from segcli.errors import InputError, MaskError, OutputError
from segcli.formats import ReadOptions, files, open_source, survey
from segcli.formats.base import WriteOptions
from segcli.formats.files import read_raster
from segcli.formats.labels import FORMAT, save_label_map
from segcli.masks.rle import decode, segment_from_mask
from segcli.records import ImageRef, Segmentation

SQUARE = np.zeros((8, 9), np.uint8)
SQUARE[2:5, 3:7] = 1
TWO_BLOBS = SQUARE.copy()
TWO_BLOBS[6:, :2] = 2
SCATTERED = np.indices((8, 9)).sum(0).astype(np.uint8) % 4


def png(depth: int, rows: list[bytes], width: int) -> bytes:
    """A grey PNG of fewer than 8 bits, as Pillow cannot write it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, len(rows), depth, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def only(source) -> Segmentation:
    """The one result of a source."""
    ((_, result),) = source
    return result


@pytest.mark.parametrize(
    ("suffix", "values", "mode", "kind"),
    [
        (".png", SQUARE, "", "binary"),
        (".png", SQUARE * 255, "", "binary"),
        (".png", SQUARE * 255, "1", "binary"),
        (".png", SQUARE * 255, "RGB", "binary"),
        (".png", SQUARE * 255, "LA", "binary"),
        (".png", SQUARE * 255, "RGBA", "binary"),
        (".png", SQUARE.astype(np.uint16) * 65535, "", "binary"),
        (".png", SQUARE.astype(np.uint16) * 255, "", "binary"),
        (".npy", SQUARE.astype(bool), "", "binary"),
        (".npy", SQUARE, "", "binary"),
        (".bmp", SQUARE * 255, "", "binary"),
        (".gif", SQUARE * 255, "", "binary"),
        (".png", SQUARE * 0, "", "binary"),
        (".png", SQUARE.astype(np.uint16), "", "instance"),
        (".png", SQUARE.astype(np.uint16) * 0, "", "instance"),
        (".png", TWO_BLOBS.astype(np.uint16), "", "instance"),
        (".tif", TWO_BLOBS.astype(np.uint16), "", "instance"),
        (".tif", TWO_BLOBS.astype(np.int32) * 70000, "", "instance"),
        (".tif", TWO_BLOBS.astype(np.float32), "", "instance"),
        (".npy", TWO_BLOBS.astype(np.int64), "", "instance"),
        (".npy", TWO_BLOBS, "", "instance"),
        (".npy", TWO_BLOBS[None].astype(float), "", "instance"),
        (".png", TWO_BLOBS, "", "instance"),
        (".tif", TWO_BLOBS, "", "instance"),
        (".png", SCATTERED, "", "semantic"),
        (".png", TWO_BLOBS, "P", "semantic"),
    ],
)
def test_what_a_file_is_taken_for(tmp_path, save, suffix, values, mode, kind):
    """Every way a mask is stored is decoded to the values that were saved, and judged rightly."""
    save(tmp_path / f"x{suffix}", values, mode)
    source = open_source(tmp_path)
    result = only(source)
    assert (source.kind, result.labels.kind) == (kind, kind)
    assert f"1 {kind}" in source.description
    assert "--kind" in source.description
    assert source.keys() == [f"x{suffix}"]
    expected = values.squeeze() != 0 if kind == "binary" else values.squeeze()
    assert np.array_equal(result.labels.values, expected)
    assert (result.image.height, result.image.width) == (8, 9)
    assert result.segments == ()


def test_one_file_is_a_source_too(tmp_path, save):
    """A single mask file, not only a folder, can be evaluated."""
    save(tmp_path / "x.png", TWO_BLOBS.astype(np.uint16))
    save(tmp_path / "y.png", TWO_BLOBS.astype(np.uint16))
    assert open_source(tmp_path / "x.png").keys() == ["x.png"]


def test_npz_holds_one_array(tmp_path):
    """One array is read; several are an error that names them."""
    np.savez(tmp_path / "x.npz", mask=TWO_BLOBS)
    assert np.array_equal(only(open_source(tmp_path)).labels.values, TWO_BLOBS)
    np.savez(tmp_path / "x.npz", mask=TWO_BLOBS, other=TWO_BLOBS)
    with pytest.raises(MaskError, match="2 arrays"):
        read_raster(tmp_path / "x.npz")


def test_pickles_are_never_loaded(tmp_path):
    """An .npy of Python objects could run code; it is refused."""
    np.save(tmp_path / "x.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(MaskError, match="cannot be decoded"):
        read_raster(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("depth", "row", "expected"), [(4, b"\x01\x23", [0, 1, 2, 3]), (2, b"\x1b", [0, 1, 2, 3])]
)
def test_grey_of_few_bits_is_not_stretched(tmp_path, depth, row, expected):
    """Pillow multiplies 2- and 4-bit greys to fill 8 bits; labels keep their stored values."""
    (tmp_path / "x.png").write_bytes(png(depth, [row], 4))
    assert read_raster(tmp_path / "x.png").values.tolist() == [expected]


def test_palette_indices_are_classes_not_colours(tmp_path, save):
    """A palette PNG gives its indices, whatever its colours are."""
    save(tmp_path / "x.png", np.array([[0, 1, 2, 3]], np.uint8), "P")
    assert only(open_source(tmp_path)).labels.values.tolist() == [[0, 1, 2, 3]]


def test_a_mask_in_the_alpha_channel(tmp_path):
    """A picture of one colour whose alpha is the mask is read from its alpha."""
    rgba = np.zeros((8, 9, 4), np.uint8)
    rgba[..., 3] = SQUARE * 255
    Image.fromarray(rgba).save(tmp_path / "x.png")
    source = open_source(tmp_path)
    assert "alpha" in source.description
    assert np.array_equal(only(source).labels.values, SQUARE)


def test_colours_without_a_colour_map_are_explained(tmp_path):
    """An RGB label picture is not turned into grey: the error says why it cannot be read."""
    Image.fromarray(np.stack([SQUARE * 200, SQUARE, SQUARE], -1)).save(tmp_path / "x.png")
    with pytest.raises(MaskError, match=r"x\.png: is a colour picture \(RGB\)") as error:
        read_raster(tmp_path / "x.png")
    assert "one channel" in error.value.why
    with pytest.raises(InputError) as refused:
        open_source(tmp_path)
    assert "colour picture" in refused.value.why


def test_photographs_among_masks_are_refused(tmp_path, save):
    """A folder that holds images and masks would pair the images; the fix names the way out."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    save(tmp_path / "images" / "x.png", noise)
    save(tmp_path / "masks" / "x.png", TWO_BLOBS)
    with pytest.raises(InputError, match="pictures that are none") as error:
        open_source(tmp_path)
    assert "folder that holds the masks" in error.value.fix
    assert open_source(tmp_path / "masks").keys() == ["x.png"]


def test_jpegs_beside_masks_are_left_out_and_said(tmp_path, save):
    """x.jpg beside x.png is the photograph of the mask."""
    save(tmp_path / "x.jpg", SQUARE * 255)
    save(tmp_path / "x.png", TWO_BLOBS.astype(np.uint16))
    source = open_source(tmp_path)
    assert source.keys() == ["x.png"]
    assert "1 JPEG photographs beside them left out" in source.description


def test_jpeg_and_antialiased_masks_are_explained(tmp_path, save):
    """In-between greys are never thresholded in silence: the values seen are named."""
    grey = np.zeros((40, 40), np.uint8)
    grey[10:30, 10:30] = 255
    grey[9, 10:30] = np.linspace(13, 240, 20).astype(np.uint8)
    save(tmp_path / "png" / "x.png", grey)
    save(tmp_path / "jpg" / "x.jpg", grey)
    for folder in ("png", "jpg"):
        source = open_source(tmp_path / folder)
        assert source.kind == "binary"
        assert "in-between greys" in source.description
        with pytest.raises(MaskError, match=r"not a binary mask: its values are 0, ") as error:
            only(source)
        assert "JPEG" in error.value.why
    forced = open_source(tmp_path / "png", ReadOptions(kind="binary"))
    with pytest.raises(MaskError, match="not a binary mask"):
        only(forced)


def test_a_label_map_saved_as_jpeg_is_refused(tmp_path, save):
    """JPEG changes labels; saying --kind semantic does not make them right."""
    save(tmp_path / "x.jpg", SQUARE * 100)
    with pytest.raises(MaskError, match="JPEG"):
        only(open_source(tmp_path, ReadOptions(kind="semantic")))


@pytest.mark.parametrize("kind", [None, "binary", "semantic", "instance"])
def test_ignore_255_on_0_255_masks_is_refused(tmp_path, save, kind):
    """The trap that scores 1.0 in other tools: ignoring 255 would leave background alone."""
    for name in ("x.png", "y.png"):
        save(tmp_path / name, SQUARE * 255)
    with pytest.raises(InputError, match="ignore index 255 would ignore every mask") as error:
        open_source(tmp_path, ReadOptions(kind=kind, ignore_index=255))
    assert "1.0" in error.value.why


def test_ignore_255_is_void_where_1_is_inside(tmp_path, save):
    """{0, 1, 255} with ignore index 255 is a binary mask with void pixels."""
    values = SQUARE.copy()
    values[0] = 255
    save(tmp_path / "x.png", values)
    source = open_source(tmp_path, ReadOptions(ignore_index=255))
    result = only(source)
    assert source.kind == "binary"
    assert np.array_equal(result.labels.values, SQUARE)
    assert np.array_equal(decode(result.ignore), values == 255)


def test_ignored_pixels_are_no_object(tmp_path, save):
    """In an instance map the ignored value is void, not one more instance."""
    values = TWO_BLOBS.astype(np.uint16)
    values[0] = 65535
    save(tmp_path / "x.png", values)
    result = only(open_source(tmp_path, ReadOptions(ignore_index=65535)))
    assert np.array_equal(result.labels.values, TWO_BLOBS)
    assert decode(result.ignore).sum() == 9
    assert only(open_source(tmp_path)).ignore is None


def test_the_user_overrides_what_was_taken(tmp_path, save):
    """--kind wins and is said to be the reason; {0, 255} becomes {0, 1}, never class 255."""
    save(tmp_path / "a" / "x.png", TWO_BLOBS.astype(np.uint16))
    source = open_source(tmp_path / "a", ReadOptions(kind="binary"))
    assert "--kind says so" in source.description
    assert np.array_equal(only(source).labels.values, TWO_BLOBS != 0)
    save(tmp_path / "b" / "x.png", SQUARE * 255)
    for kind in ("semantic", "instance"):
        result = only(open_source(tmp_path / "b", ReadOptions(kind=kind)))
        assert result.labels.kind == kind
        assert np.array_equal(result.labels.values, SQUARE)


def test_class_maps_whose_classes_are_of_one_piece_stay_semantic(tmp_path, save):
    """Organs are one piece each in every picture, but their number never varies."""
    for name in ("x.png", "y.png", "z.png"):
        save(tmp_path / name, TWO_BLOBS)
    assert open_source(tmp_path).kind == "semantic"
    save(tmp_path / "z.png", SQUARE)
    assert open_source(tmp_path).kind == "instance"


def test_a_few_ids_with_gaps_are_classes(tmp_path, save):
    """Objects are counted from 1; class 3 without class 2 is no count, however whole it is."""
    save(tmp_path / "x.png", np.where(TWO_BLOBS == 2, 3, TWO_BLOBS).astype(np.uint8))
    save(tmp_path / "y.png", SQUARE * 3)
    assert open_source(tmp_path).kind == "semantic"


def test_an_unexpected_value_among_binary_masks_is_an_error_of_that_file(tmp_path, save):
    """A file outside the sample that is not binary fails by itself, and is not misread."""
    for number in range(120):
        save(tmp_path / f"{number:03d}.png", SQUARE * 255)
    save(tmp_path / "001.png", TWO_BLOBS * 100)
    source = open_source(tmp_path)
    assert source.kind == "binary"
    assert source.read("000.png").labels.values.sum() == SQUARE.sum()
    with pytest.raises(MaskError, match="its values are 0, 100, 200"):
        source.read("001.png")


def test_a_changed_file_is_looked_at_again(tmp_path, save):
    """What is remembered about a file is forgotten when the file changes."""
    save(tmp_path / "x.png", SQUARE * 255)
    assert open_source(tmp_path).kind == "binary"
    save(tmp_path / "x.png", SCATTERED)
    assert open_source(tmp_path).kind == "semantic"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_exif_orientation_in_a_mask_is_refused(tmp_path, suffix):
    """A rotated mask against an upright image would score near 0 without a word."""
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / f"x{suffix}"
    Image.fromarray(SQUARE * 255).save(path, exif=exif)
    with pytest.raises(MaskError, match="EXIF orientation 6"):
        read_raster(path)
    exif[274] = 1
    Image.fromarray(SQUARE * 255).save(path, exif=exif)
    assert read_raster(path).values.shape == (8, 9)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy", ".npz", ".gif"])
@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_damaged_files_are_mask_errors(tmp_path, suffix, content):
    """Whatever a decoder raises becomes our error, naming the file."""
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(MaskError, match=r"x\..*cannot be decoded"):
        read_raster(path)


def test_a_truncated_picture_is_a_mask_error(tmp_path, save):
    """Half a PNG is not read as a mask with a black lower half."""
    noise = np.random.default_rng(0).integers(0, 9, (64, 64)).astype(np.uint8)
    path = save(tmp_path / "x.png", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MaskError, match="cannot be decoded"):
        read_raster(path)


def test_pages_fractions_and_axes_are_refused(tmp_path):
    """What is not one (H, W) map of whole numbers is an error, not a guess."""
    pages = [Image.fromarray(SQUARE), Image.fromarray(SQUARE)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    np.save(tmp_path / "half.npy", SQUARE * 0.5)
    np.save(tmp_path / "nan.npy", SQUARE * np.nan)
    np.save(tmp_path / "stack.npy", np.zeros((3, 8, 9)))
    for name, words in {
        "pages.tif": "2 pages",
        "half.npy": "not whole numbers",
        "nan.npy": "not whole numbers",
        "stack.npy": r"shape \(3, 8, 9\)",
    }.items():
        with pytest.raises(MaskError, match=words):
            read_raster(tmp_path / name)


@given(
    hnp.arrays(
        np.uint32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.sampled_from([0, 1, 255, 256, 65535]),
    )
)
def test_label_maps_survive_png(tmp_path_factory, values):
    """16-bit values come back exactly as they were written."""
    folder = tmp_path_factory.mktemp("png")
    path = save_label_map(values.astype(np.uint16), folder, "x")
    assert path.suffix == ".png"
    assert np.array_equal(read_raster(path).values, values)


def test_wide_label_maps_become_tiff(tmp_path):
    """Ids beyond 65535 are kept in 32 bits, and replace an earlier narrow file."""
    save_label_map(np.ones((2, 2), np.uint16), tmp_path, "a/x")
    path = save_label_map(np.array([[0, 70000]]), tmp_path, "a/x")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x.tif"]
    with Image.open(path) as picture:
        assert picture.tag_v2[339] == (1,)
    assert read_raster(path).values.tolist() == [[0, 70000]]
    for unfit in (-1, 2**31):
        with pytest.raises(OutputError, match=str(unfit)):
            save_label_map(np.array([[unfit]]), tmp_path, "y")


def test_the_overlap_option_reaches_the_label_map(tmp_path):
    """The overlap policy decides the written pixel; the value i is segment i, counted from 1."""
    large = segment_from_mask(np.ones((2, 3)), score=0.9)
    small = segment_from_mask(np.array([[1, 0, 0], [0, 0, 0]]), score=0.1)
    result = Segmentation(image=ImageRef("x.png", 2, 3), segments=(large, small))
    for overlap, corner in (("score", 1), ("small-on-top", 2), ("large-on-top", 1)):
        (path,) = FORMAT.write_image(result, tmp_path, "x", WriteOptions(overlap=overlap))
        values = read_raster(path).values
        assert values.dtype == np.uint16
        assert values.tolist() == [[corner, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_arrays_are_judged_by_their_values_not_their_type(tmp_path, save, dtype):
    """A class map in .npy is one whatever its type; values above 255 are object ids."""
    values = np.zeros((20, 20), dtype)
    values[2:6, 2:6], values[10:14, 2:6], values[2:6, 10:14], values[18, 18] = 1, 2, 2, 1
    for name in "ab":
        save(tmp_path / "classes" / f"{name}.npy", values)
        save(tmp_path / "ids" / f"{name}.npy", values.astype(np.int64) * 200)
    source = open_source(tmp_path / "classes")
    assert (source.kind, source.certain) == ("semantic", True)
    source = open_source(tmp_path / "ids")
    assert (source.kind, source.certain) == ("instance", True)
    assert "values above 255" in source.description


def test_white_is_a_class_where_other_files_hold_more(tmp_path, save):
    """A file of 0 and 255 alone, among class maps: 255 stays 255, as in the files beside it."""
    classes = np.zeros((20, 20), np.uint8)
    classes[2:6, 2:6], classes[10:14, 2:6], classes[2:6, 10:14], classes[18] = 1, 1, 2, 255
    white = np.zeros((20, 20), np.uint8)
    white[15:] = 255
    save(tmp_path / "some" / "a.png", classes)
    save(tmp_path / "some" / "b.png", white)
    save(tmp_path / "all" / "b.png", white)
    some = open_source(tmp_path / "some")
    assert some.kind == "semantic"
    assert np.array_equal(some.read("b.png").labels.values, white)
    whole = open_source(tmp_path / "all", ReadOptions(kind="semantic"))
    assert np.array_equal(whole.read("b.png").labels.values, white // 255)


def test_jpeg_masks_beside_other_masks_are_not_dropped(tmp_path, save):
    """A black and white JPEG is a mask, its greys are an error; photographs are left out."""
    mask = np.zeros((40, 40), np.uint8)
    mask[5:20, 5:20] = 255
    photograph = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    grey = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (40, 1))
    save(tmp_path / "a.png", mask)
    save(tmp_path / "b.jpg", mask)
    save(tmp_path / "a.jpg", mask)
    save(tmp_path / "c.jpg", photograph)
    save(tmp_path / "d.jpg", grey)
    source = open_source(tmp_path)
    assert source.keys() == ["a.png", "b.jpg"]
    assert "3 JPEG photographs" in source.description
    with pytest.raises(MaskError, match="is not a binary mask"):
        source.read("b.jpg")


def test_255_objects_are_no_antialiased_mask(tmp_path, save):
    """A label map with all 255 ids is one; a soft edge is still told."""
    ids = np.zeros((120, 120), np.uint8)
    for number in range(255):
        y, x = divmod(number, 17)
        ids[7 * y : 7 * y + 3, 7 * x : 7 * x + 3] = number + 1
    save(tmp_path / "ids" / "a.png", ids)
    source = open_source(tmp_path / "ids")
    assert source.kind == "instance"
    assert np.array_equal(source.read("a.png").labels.values, ids)
    soft = np.zeros((120, 120), np.uint8)
    soft[30:60, 30:60] = 255
    soft[30:60, 20:30] = np.linspace(20, 250, 10).astype(np.uint8)
    soft[30:60, 60:70] = np.linspace(245, 15, 10).astype(np.uint8)
    save(tmp_path / "soft" / "a.png", soft)
    assert "in-between greys" in open_source(tmp_path / "soft").description


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_what_is_said_does_not_depend_on_the_threads(tmp_path, save, suffix, monkeypatch):
    """The same verdict, a damaged file among the others or not, however many look at once."""
    for number in range(7):
        save(tmp_path / f"{number}{suffix}", TWO_BLOBS * (number + 1))
    (tmp_path / f"a{suffix}").write_bytes(b"damaged")
    said = set()
    for processors in (1, 2, None):
        survey._survey.cache_clear()
        monkeypatch.setattr(os, "cpu_count", lambda n=processors: n)
        said.add(open_source(str(tmp_path)).description)
    assert len(said) == 1


@given(st.text("aB./ ", min_size=1, max_size=6).filter(lambda name: not name.endswith("/")))
def test_suffixes_are_those_of_pathlib(name):
    """A file is known by its suffix alone, wherever it lies; dots at the end are none."""
    path = PurePosixPath(name)
    if path.name == name.rpartition("/")[2] and not name.endswith("."):
        assert files._parts(name) == (path.stem, path.suffix)
