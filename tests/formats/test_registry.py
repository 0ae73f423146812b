"""The registry: names, and telling formats apart by what is on the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segcli.errors import ConfigError, InputError
from segcli.formats import (
    FORMATS,
    ReadOptions,
    get,
    get_writer,
    open_source,
    readable_names,
    writable_names,
)
from segcli.formats.base import Format, WriteOptions, stem_of
from segcli.formats.ndjson import to_line, to_record
from segcli.masks.labels import foreground, segments_of

WRITTEN = ["labels", "masks", "amg", "sa1b", "coco", "coco-dataset", "coco-panoptic", "yolo"]
WRITTEN += ["binary", "semantic", "labelme", "ndjson"]
READ_ONLY = ["cityscapes", "bsds"]
PATHS = ["x.jpg", "a/x.jpg", "a/b.c.d.png", "a b/ünï ☃.tif", "b/0000.png"]


def write(folder, name, results, options=None):
    """Write results in any format, as `predict` does."""
    writer, options = get(name), options or WriteOptions()
    if writer.write_dataset:
        file = folder / Path(writer.file_name).name
        return writer.write_dataset(iter(results), file, options)
    files = []
    for result in results:
        files += writer.write_image(result, folder, stem_of(result.image.key), options)
    return files


def test_every_format_is_registered_under_its_own_name():
    """The word a user types is the one the format gives itself, and each has a summary."""
    assert all(
        isinstance(f, Format) and f.name == name and f.summary for name, f in FORMATS.items()
    )
    assert list(writable_names()) == WRITTEN
    assert set(readable_names()) == {*WRITTEN, *READ_ONLY}
    assert get("coco").file_name == "coco.json"
    assert get("coco-dataset").file_name == "coco-dataset.json"


def test_an_unknown_name_gets_the_closest_match():
    """A typing error is answered with the name that was probably meant."""
    with pytest.raises(ConfigError, match="unknown format 'label'") as error:
        get("label")
    assert "labels" in error.value.fix


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_format_writes_is_told_apart_and_read_back(name, tmp_path, make_result):
    """Each format recognises its own output, with mirrored folders, dots, spaces and unicode."""
    results = [make_result(path) for path in PATHS]
    files = write(tmp_path / "out", name, results)
    assert len(set(files)) == len(files)
    assert all(file.is_file() for file in files)
    options = ReadOptions(image_sizes={r.image.path: (12, 17) for r in results})
    source = open_source(tmp_path / "out", options)
    assert source.format == name
    assert str(tmp_path / "out") in source.description
    stems = [stem_of(key) for key, _ in source]
    # COCO files go by image id, as the results were written.
    by_id = name in ("coco-dataset", "coco-panoptic")
    ordered = [stem_of(path) for path in PATHS] if by_id else sorted(stems)
    assert stems == ordered
    assert set(stems) == {stem_of(path) for path in PATHS}
    for key, read in source:
        assert stem_of(read.image.path) == stem_of(key)
        assert (read.image.height, read.image.width) == (12, 17)
        expected = foreground(results[0])
        if name == "yolo":
            assert (foreground(read) | expected).sum() - expected.sum() <= 12
        else:
            assert np.array_equal(foreground(read), expected)


@pytest.mark.parametrize("name", ["sa1b", "coco", "coco-dataset", "amg", "masks"])
def test_overlapping_masks_survive(name, tmp_path, make_result):
    """Formats that keep masks apart give back each mask exactly, holes and overlaps included."""
    result = make_result()
    write(tmp_path, name, [result])
    ((_, read),) = open_source(tmp_path)
    assert [s.mask for s in segments_of(read)] == [s.mask for s in result.segments]
    assert [s.area for s in segments_of(read)] == [s.area for s in result.segments]
    assert [s.box_xywh for s in segments_of(read)] == [s.box_xywh for s in result.segments]


@pytest.mark.parametrize("name", ["labels", "sa1b", "coco", "coco-dataset", "yolo", "binary"])
def test_an_image_without_segments_is_a_result_too(name, tmp_path, make_result):
    """No segment is written and read as no segment, not as a missing image."""
    write(tmp_path, name, [make_result(), make_result("none.jpg", segments=())])
    sizes = {"a/x.jpg": (12, 17), "none.jpg": (12, 17)}
    read = {stem_of(k): r for k, r in open_source(tmp_path, ReadOptions(image_sizes=sizes))}
    assert len(segments_of(read["none"])) == 0
    assert (read["none"].image.height, read["none"].image.width) == (12, 17)


@pytest.mark.parametrize("name", WRITTEN)
def test_writing_twice_gives_the_same_bytes(name, tmp_path, make_result):
    """Outputs hold no time and no chance, so two runs can be compared by their files."""
    results = [make_result(path) for path in PATHS]
    first = write(tmp_path / "1", name, results)
    second = write(tmp_path / "2", name, results)
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]


def test_a_folder_that_predict_wrote_is_read_from_its_records(tmp_path, make_result):
    """segments.ndjson is lossless, so it is preferred to the other outputs beside it."""
    (tmp_path / "segments.ndjson").write_text(to_line(to_record(make_result())), encoding="utf-8")
    write(tmp_path / "labels", "labels", [make_result()])
    write(tmp_path, "coco", [make_result()])
    assert open_source(tmp_path).format == "ndjson"
    assert open_source(tmp_path / "labels").format == "labels"
    assert open_source(tmp_path, format="coco").format == "coco"


@pytest.mark.parametrize("name", ["labels", "binary", "masks", "amg", "yolo"])
def test_unrelated_files_do_no_harm(name, tmp_path, make_result):
    """Notes, settings, hidden files and half-written files are not taken for masks."""
    write(tmp_path, name, [make_result()])
    (tmp_path / "README.md").write_text("# Masks")
    (tmp_path / "README.txt").write_text("Masks.")
    (tmp_path / "settings.json").write_text('{"a": 1}')
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / ".hidden.png").write_bytes(b"no picture")
    (tmp_path / "x.png.part").write_bytes(b"half")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "1.png").write_bytes(b"no picture")
    source = open_source(tmp_path)
    assert source.format == name
    assert len(source.keys()) == 1


def test_a_missing_path_and_an_empty_folder_are_input_errors(tmp_path):
    """Both are named as what they are."""
    with pytest.raises(InputError, match="no such file or folder"):
        open_source(tmp_path / "none")
    with pytest.raises(InputError, match="empty folder"):
        open_source(tmp_path)


def test_a_folder_without_masks_says_what_would_do(tmp_path):
    """Nothing fits: the known formats are listed and a fix is given."""
    (tmp_path / "README.md").write_text("# Nothing")
    with pytest.raises(InputError, match="no masks in a known format") as error:
        open_source(tmp_path)
    assert "labels" in error.value.why
    assert error.value.fix


def test_two_formats_in_one_folder_are_not_guessed_at(tmp_path, make_result):
    """Results and a dataset side by side: the user says which, and both are named."""
    write(tmp_path, "coco", [make_result()])
    write(tmp_path, "coco-dataset", [make_result()])
    with pytest.raises(InputError, match=r"coco\.json.* or .*coco-dataset\.json"):
        open_source(tmp_path)


def test_a_format_given_by_name_must_exist(tmp_path):
    """A wrong --format is a settings error, before anything is read."""
    with pytest.raises(ConfigError):
        open_source(tmp_path, format="cocoo")


@pytest.mark.parametrize("name", READ_ONLY)
def test_what_can_only_be_read_is_no_writer(name):
    """Asked for as an output, the formats that would do are named."""
    with pytest.raises(ConfigError, match="can be read but not written") as error:
        get_writer(name)
    assert "labels" in error.value.why
    assert get_writer("labels") is FORMATS["labels"]


@pytest.mark.parametrize("name", [*WRITTEN, *READ_ONLY])
def test_forcing_a_format_on_something_else_is_an_error_of_ours(name, tmp_path):
    """A format opened on a folder of notes raises InputError, not a Python error."""
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(InputError):
        open_source(tmp_path, format=name)


def test_importing_the_formats_loads_no_model_library():
    """The formats work without torch, transformers, typer or rich."""
    code = (
        "import sys, segcli.formats, segcli.masks.polygons;"
        "print([m for m in ('torch', 'transformers', 'typer', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
