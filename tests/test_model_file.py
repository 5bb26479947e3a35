"""The model file: what comes back is what was saved, and nothing else is accepted."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthloom.domain.errors import ContractError, ModelFileError
from synthloom.model_file import ARRAYS, MANIFEST, MEMBER_LIMITS, SCHEMA, STATE, Manifest, ModelContents, pack, unpack
from synthloom.testing.example_tables import mixed

SCHEMA_OF_ALL = mixed(50).schema


def contents(arrays=None, meta=None):
    return ModelContents(
        method="cart", backend="native", params={"min_support": 5}, frame="pandas", schema=SCHEMA_OF_ALL,
        arrays={"a": np.arange(6.0)} if arrays is None else arrays,
        meta={"x": [1, None, "é"]} if meta is None else meta,
    )


def members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files, compress=zipfile.ZIP_DEFLATED):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compress) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


def test_what_comes_back_is_what_was_saved():
    arrays = {
        "zero-dimensional": np.array(3.5), "none": np.zeros((0, 4)), "yes": np.array([True, False]),
        "transposed": np.arange(6, dtype="uint16").reshape(2, 3).T, "nan": np.array([np.nan, np.inf], dtype="float32"),
        "big endian": np.arange(3, dtype=">i4"), "strided": np.arange(10)[::3],
    }
    back = unpack(pack(contents(arrays)))
    assert back.schema == SCHEMA_OF_ALL
    assert (back.method, back.backend, back.params, back.frame) == ("cart", "native", {"min_support": 5}, "pandas")
    assert back.meta == {"x": [1, None, "é"]}
    assert back.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back.arrays[name].shape == array.shape
        assert back.arrays[name].dtype == array.dtype.newbyteorder("=")
        assert np.array_equal(back.arrays[name], array, equal_nan=array.dtype.kind == "f")


def test_the_same_model_gives_the_same_bytes():
    assert pack(contents()) == pack(contents())


def test_arrays_that_compress_very_well_are_accepted_again():
    back = unpack(pack(contents({"zeros": np.zeros(4_000_000)})))
    assert back.arrays["zeros"].shape == (4_000_000,)


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.array([1j]), [1.0]])
def test_a_state_that_cannot_be_kept_is_the_methods_defect(array):
    with pytest.raises(ContractError, match="'odd'"):
        pack(contents({"odd": array}))


@pytest.mark.parametrize("meta", [{"x": float("nan")}, {"x": {1, 2}}, {"x": np.float32(1)}])
def test_a_state_that_is_not_json_is_the_methods_defect(meta):
    with pytest.raises(ContractError, match="JSON-safe"):
        pack(contents(meta=meta))


@pytest.mark.parametrize(("data", "words"), [
    (b"", "not a Synthloom model"), (b"hello", "not a Synthloom model"), (b"PK\x03\x04", "truncated"),
    (zipped({"a.txt": b"x"}), "no manifest"), (zipped({MANIFEST: b"{}", "a.txt": b"x"}), "members are"),
    (zipped(dict.fromkeys(MEMBER_LIMITS, b"{}")), "manifest says something else"),
    (zipped(dict.fromkeys(MEMBER_LIMITS, b"[1]")), "not a JSON object"),
    (zipped(dict.fromkeys(MEMBER_LIMITS, b"\xff\xfe")), "not JSON"),
    (zipped(dict.fromkeys(MEMBER_LIMITS, b"[" * 100000), zipfile.ZIP_STORED), "not JSON"),
])
def test_foreign_files_are_refused(data, words):
    with pytest.raises(ModelFileError, match=words):
        unpack(data)


def test_the_files_name_stands_in_the_message():
    with pytest.raises(ModelFileError, match=r"^model\.synthloom: "):
        unpack(b"hello", where="model.synthloom")


@pytest.mark.parametrize("name", [SCHEMA, STATE, ARRAYS])
def test_an_edited_member_is_found(name):
    files = members(pack(contents()))
    files[name] = files[name].replace(b"1", b"2", 1) if b"1" in files[name] else files[name] + b" "
    with pytest.raises(ModelFileError, match=f"{name} is not what was saved"):
        unpack(zipped(files))


@pytest.mark.parametrize("change", [{"method": "other"}, {"params": {"min_support": 1}}, {"sha256": "0" * 64}])
def test_an_edited_manifest_is_found(change):
    files = members(pack(contents()))
    files[MANIFEST] = json.dumps(json.loads(files[MANIFEST]) | change).encode()
    with pytest.raises(ModelFileError, match="manifest is not what was saved"):
        unpack(zipped(files))


def test_a_newer_file_says_what_wrote_it():
    files = members(pack(contents()))
    files[MANIFEST] = json.dumps(json.loads(files[MANIFEST]) | {"version": 2, "synthloom": "9.1"}).encode()
    with pytest.raises(ModelFileError, match=r"version 2.*reads up to 1.*9\.1"):
        unpack(zipped(files))


def test_a_manifest_with_other_fields_is_refused():
    files = members(pack(contents()))
    files[MANIFEST] = json.dumps(json.loads(files[MANIFEST]) | {"run": "os.system"}).encode()
    with pytest.raises(ModelFileError, match="manifest is not valid: run"):
        unpack(zipped(files))


def test_a_zip_bomb_is_refused_before_it_unpacks():
    files = members(pack(contents()))
    files[ARRAYS] = bytes(50_000_000)
    with pytest.raises(ModelFileError, match="zip bomb"):
        unpack(zipped(files))


def test_a_member_larger_than_any_model_needs_is_refused():
    files = members(pack(contents()))
    files[MANIFEST] = np.random.default_rng(0).bytes(MEMBER_LIMITS[MANIFEST] + 1)
    with pytest.raises(ModelFileError, match="more than any model needs"):
        unpack(zipped(files))


@pytest.mark.parametrize("name", [SCHEMA, ARRAYS])
def test_a_member_that_is_no_schema_or_no_arrays_is_refused_even_with_the_right_hash(name):
    import hashlib

    files = members(pack(contents()))
    files[name] = b'{"columns": 3}'
    manifest = json.loads(files[MANIFEST])
    manifest["members"][name] = {"size": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
    manifest["sha256"] = Manifest.model_validate(manifest).own_hash()
    files[MANIFEST] = json.dumps(manifest).encode()
    with pytest.raises(ModelFileError, match=r"not valid|cannot be read"):
        unpack(zipped(files))


WHOLE = pack(contents())


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(WHOLE) - 1))
def test_a_truncated_file_is_refused(cut):
    with pytest.raises(ModelFileError):
        unpack(WHOLE[:cut])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_nothing(position, change):
    data = bytearray(WHOLE)
    data[position] ^= change
    try:
        back = unpack(bytes(data))
    except ModelFileError:
        return
    assert back.schema == SCHEMA_OF_ALL
    assert back.meta == contents().meta
    assert np.array_equal(back.arrays["a"], np.arange(6.0))
