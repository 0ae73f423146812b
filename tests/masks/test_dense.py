"""A mask kept as pixels is the RLE that it would be encoded to."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as hnp

from segcli.masks import dense
from segcli.masks.dense import DenseRLE
from segcli.masks.rle import decode, encode
from segcli.records import RLE

MASK = np.eye(3, 5, dtype=bool)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)))
def test_it_is_the_encoded_mask(mask):
    """Equal from either side, of one hash, of the same fields, and decoded to the same pixels."""
    kept, coded = DenseRLE(mask), encode(mask)
    assert kept == coded
    assert coded == kept
    assert hash(kept) == hash(coded)
    assert repr(kept) == repr(coded)
    assert dataclasses.asdict(kept) == dataclasses.asdict(coded)
    np.testing.assert_array_equal(decode(kept), mask)


def test_it_is_encoded_once_and_only_when_asked_for(monkeypatch):
    """Who needs the pixels does not pay for the string."""
    encoded = []
    monkeypatch.setattr(dense, "encode", lambda mask: encoded.append(1) or encode(mask))
    kept = DenseRLE(MASK)
    assert (kept.height, kept.width, encoded) == (3, 5, [])
    assert kept.counts == kept.counts == encode(MASK).counts
    assert encoded == [1]


def test_it_differs_from_other_masks():
    """Another mask, another size, or no mask at all."""
    assert DenseRLE(MASK) != encode(~MASK)
    assert DenseRLE(MASK) != DenseRLE(MASK.T)
    assert DenseRLE(MASK) != "mask"


def test_copies_are_ordinary():
    """Another process gets the string, not the pixels."""
    for twin in (pickle.loads(pickle.dumps(DenseRLE(MASK))), copy.deepcopy(DenseRLE(MASK))):
        assert type(twin) is RLE
        assert twin == encode(MASK)
