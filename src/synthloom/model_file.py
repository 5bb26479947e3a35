"""The model file: a zip of JSON and safetensors that keeps a fitted synthesizer. Reading it runs no code.

Members, in this order:

manifest.json       format, its version, who wrote it, method, backend, parameters, frame, and size and sha256 of each
                    other member; its own field `sha256` covers the manifest itself
schema.json         the schema the method works under: labels that too few records share stand as placeholders
state.json          what the method remembers, JSON-safe
arrays.safetensors  what the method remembers, as arrays

The hashes find damage and careless edits. They are no signature: whoever can write the file can write the hashes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synthloom.domain.errors import ContractError, ModelFileError, SynthloomError
from synthloom.domain.schema import Schema

FORMAT = "synthloom-model"
VERSION = 1
MANIFEST, SCHEMA, STATE, ARRAYS = "manifest.json", "schema.json", "state.json", "arrays.safetensors"

LARGEST_FILE = 2**33
"""Most bytes a model file may have."""
MEMBER_LIMITS = {MANIFEST: 2**20, SCHEMA: 2**26, STATE: 2**28, ARRAYS: 2**32}
"""Most bytes a member may unpack to."""
_RATIO_WRITTEN = 50  # what compresses better is stored as it is, so that an honest file never looks like a bomb
_RATIO_READ = 100
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same model gives the same bytes, whenever it is written


class _Member(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=0)
    sha256: str


class Manifest(BaseModel):
    """What a model file says about itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["synthloom-model"] = "synthloom-model"
    version: Literal[1] = 1
    synthloom: str = Field(description="Version of Synthloom that wrote the file.")
    method: str
    backend: str = "native"
    params: dict[str, Any] = Field(description="All parameters of the method, defaults too.")
    frame: Literal["pandas", "polars"] = Field("pandas", description="What kind of frame `sample` returns.")
    hidden: dict[str, list[int]] = Field(
        default_factory=dict, description="Column → positions among its labels that stand for labels not released."
    )
    members: dict[str, _Member]
    sha256: str = Field("", description="Hash of this manifest with this field empty, keys sorted, no spaces.")

    def own_hash(self) -> str:
        """The hash that `sha256` must hold."""
        return hashlib.sha256(_json(self.model_copy(update={"sha256": ""}).model_dump())).hexdigest()


@dataclass(frozen=True)
class ModelContents:
    """What a model file holds."""

    method: str
    backend: str
    params: dict[str, Any]
    frame: Literal["pandas", "polars"]
    schema: Schema
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    hidden: dict[str, tuple[int, ...]] = field(default_factory=dict)


def pack(contents: ModelContents) -> bytes:
    """A model as the bytes of its file; the same model gives the same bytes.

    Raises:
        ContractError: the method's state holds what the file cannot: object arrays, NaN in JSON, other types.
    """
    members = {
        SCHEMA: contents.schema.model_dump_json().encode(),
        STATE: _pack_state(contents),
        ARRAYS: _pack_arrays(contents),
    }
    manifest = Manifest(
        synthloom=importlib.metadata.version("synthloom"), method=contents.method, backend=contents.backend,
        params=contents.params, frame=contents.frame, hidden={k: list(v) for k, v in contents.hidden.items()},
        members={name: _Member(size=len(d), sha256=hashlib.sha256(d).hexdigest()) for name, d in members.items()},
    )
    manifest = manifest.model_copy(update={"sha256": manifest.own_hash()})
    return _zip({MANIFEST: _json(manifest.model_dump()), **members})


def unpack(data: bytes, *, where: str | None = None) -> ModelContents:
    """Read a model file's bytes.

    Args:
        data: The file's bytes.
        where: The file's name, for messages.

    Raises:
        ModelFileError: foreign, truncated, damaged, edited or newer, or it would unpack to far more than it is.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        if data[:2] == b"PK":
            _refuse("the file is truncated or damaged.", where, "Copy it again from where it was saved.")
        _refuse("this is not a Synthloom model.", where, "Give a file that Synthesizer.save or a run has written.")
    with archive:
        _check_members(archive, where)
        manifest = _read_manifest(_read(archive, MANIFEST, where), where)
        members = {name: _read(archive, name, where) for name in (SCHEMA, STATE, ARRAYS)}
    for name, content in members.items():
        declared = manifest.members.get(name)
        if declared is None or declared.sha256 != hashlib.sha256(content).hexdigest():
            _refuse(f"{name} is not what was saved: its hash differs.", where, "Don't trust it; copy the file again.")
    return ModelContents(
        method=manifest.method, backend=manifest.backend, params=manifest.params, frame=manifest.frame,
        schema=_read_schema(members[SCHEMA], where), arrays=_read_arrays(members[ARRAYS], where),
        meta=_read_json(members[STATE], STATE, where), hidden={k: tuple(v) for k, v in manifest.hidden.items()},
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def _pack_state(contents: ModelContents) -> bytes:
    try:
        return _json(contents.meta)
    except (TypeError, ValueError, RecursionError) as error:
        raise ContractError(f"its state is not JSON-safe: {error}.", where=f"method {contents.method}") from error


def _pack_arrays(contents: ModelContents) -> bytes:
    from safetensors.numpy import save

    tensors = {}
    for name, array in contents.arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            kind = getattr(array, "dtype", type(array).__name__)
            raise ContractError(
                f"state array {name!r} is {kind}; only arrays of booleans, integers and floats can be kept.",
                where=f"method {contents.method}",
            )
        tensors[name] = np.require(array.astype(array.dtype.newbyteorder("="), copy=False), requirements="C")
    return bytes(save(tensors))


def _zip(members: dict[str, bytes], stored: frozenset[str] = frozenset()) -> bytes:
    """The members as a zip: compressed, but for those in `stored` and those that compress suspiciously well."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            archive.writestr(info, data, compresslevel=3)
        dense = {i.filename for i in archive.infolist() if i.file_size > _RATIO_WRITTEN * i.compress_size}
    return _zip(members, frozenset(dense)) if dense else sink.getvalue()


def _refuse(what: str, where: str | None, do: str | None = None) -> NoReturn:
    raise ModelFileError(what, where=where, do=do) from None


def _check_members(archive: zipfile.ZipFile, where: str | None) -> None:
    names = archive.namelist()
    if MANIFEST not in names:
        _refuse("this zip is not a Synthloom model: it has no manifest.json.", where)
    if sorted(names) != sorted(MEMBER_LIMITS):
        _refuse(f"members are {sorted(names)[:8]}, not {sorted(MEMBER_LIMITS)}.", where, "Don't trust it.")
    for item in archive.infolist():
        if item.file_size > MEMBER_LIMITS[item.filename]:
            _refuse(f"{item.filename} would unpack to {item.file_size} bytes, more than any model needs.", where)
        if item.file_size > _RATIO_READ * max(item.compress_size, 2**10):
            _refuse(f"{item.filename} would unpack to over {_RATIO_READ} times its size: a zip bomb.", where)
        if item.flag_bits & 0x1:
            _refuse(f"{item.filename} is encrypted.", where, "Unpack it with its password and zip it again without.")


def _read(archive: zipfile.ZipFile, name: str, where: str | None) -> bytes:
    try:
        return archive.read(name)  # never more than the size checked above: zipfile stops there
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError, zipfile.zlib.error):  # type: ignore[attr-defined]
        _refuse(f"{name} is damaged or truncated.", where, "Copy the file again from where it was saved.")


def _read_json(data: bytes, name: str, where: str | None) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        _refuse(f"{name} is not JSON.", where)
    if not isinstance(value, dict):
        _refuse(f"{name} is not a JSON object.", where)
    return value


def _read_manifest(data: bytes, where: str | None) -> Manifest:
    value = _read_json(data, MANIFEST, where)
    if value.get("format") != FORMAT:
        _refuse("this zip is not a Synthloom model: its manifest says something else.", where)
    version = value.get("version")
    if isinstance(version, int) and version > VERSION:
        _refuse(
            f"the model has format version {version}, this release reads up to {VERSION}.", where,
            f"Update Synthloom (the file was written by {value.get('synthloom')}).",
        )
    try:
        manifest = Manifest.model_validate(value)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        _refuse(f"the manifest is not valid: {fields}.", where)
    if manifest.sha256 != manifest.own_hash():
        _refuse("the manifest is not what was saved: its hash differs.", where, "Don't trust it; copy the file again.")
    return manifest


def _read_schema(data: bytes, where: str | None) -> Schema:
    try:
        return Schema.model_validate_json(data)
    except (ValidationError, SynthloomError):
        _refuse("the schema in it is not valid.", where)


def _read_arrays(data: bytes, where: str | None) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(data))
    except (SafetensorError, KeyError, ValueError, TypeError):
        _refuse("the arrays in it cannot be read.", where)
