"""HDF5 files are read only as they were written: any cut and any flipped bit is found."""

import os
import stat

import h5py
import numpy as np
import pytest

from aevb import results
from aevb.core import files
from aevb.core.errors import UserError


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "some.h5"
    with files.new_h5(path) as file:
        file["values"] = np.arange(300.0)
        file.attrs["name"] = "some"
    return path


def test_what_was_written_is_read_and_other_programs_can_read_it_too(written, tmp_path):
    for opened in (files.open_h5(written), h5py.File(written)):
        with opened as file:
            np.testing.assert_array_equal(file["values"][:], np.arange(300.0))
    plain = tmp_path / "plain.h5"
    with h5py.File(plain, "w") as file:
        file["values"] = [1.0]
    with files.open_h5(plain) as file:
        assert file["values"][0] == 1


def test_any_flipped_bit_and_any_cut_is_found(written):
    content, draw = written.read_bytes(), np.random.default_rng(0)
    places = [*range(files.BLOCK), *draw.integers(files.BLOCK, len(content), 300)]
    damaged = [
        content[:at] + bytes([content[at] ^ 1 << draw.integers(8)]) + content[at + 1 :]
        for at in places
    ]
    damaged += [
        content[:length] for length in (0, 1, files.BLOCK, *draw.integers(0, len(content), 30))
    ] + [content + b"\0"]
    for bad in damaged:
        written.write_bytes(bad)
        with pytest.raises(OSError, match="not those that were written"), files.open_h5(written):
            pass
    with pytest.raises(UserError, match=r"some.h5 is damaged .*delete it and run again"):
        results.read_run(written)


def test_what_is_no_file_is_not_replaced(tmp_path):
    """A device, say: root could."""
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        said = "is a folder or a device, which no file replaces"
        with pytest.raises(UserError, match=said), files.atomic(place):
            pytest.fail("begun")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
