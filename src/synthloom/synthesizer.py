"""A method with a table's schema: what a person fits, samples from, saves and loads."""

from __future__ import annotations

import copy
import os
import secrets
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from synthloom.domain.errors import (
    ContractError,
    ModelFileError,
    OutputError,
    ParamsError,
    UnknownNameError,
    UsageError,
)
from synthloom.domain.event import Cancelled, Emit, ignore, never
from synthloom.domain.guarantee import Guarantee
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.schema import Schema, SchemaOverrides
from synthloom.methods.contract import Conditions, Method, MethodParams
from synthloom.model_file import LARGEST_FILE, ModelContents, pack, unpack
from synthloom.tables.canonical import check_canonical
from synthloom.tables.dataset import Dataset
from synthloom.tables.frames import Library, library_of
from synthloom.tables.gaps import Filled, as_any, fill_gaps, filled_polars, find_gaps, frame_as_given
from synthloom.tables.raw import RawTable
from synthloom.tables.release import Hidden, hide_rare_labels, recast, released_schema
from synthloom.tables.restore import restore
from synthloom.tables.restore_polars import restore_polars
from synthloom.tables.rng import child
from synthloom.tables.sequences import rows_notice
from synthloom.tables.shares import Shares, fixed_cells

if TYPE_CHECKING:
    import polars

_LEAST_SUPPORT = 2  # every method promises not to release what one record alone holds
Resolve = Callable[[str], type[Method[Any]]]


class Synthesizer:
    """Learns a table and draws new rows from it.

    Made by `create_synthesizer`. The table is not kept: what is kept is what `save` writes.

    Attributes:
        backend: Who implements the method.
    """

    def __init__(self, method: Method[Any], *, backend: str | None = None) -> None:
        self._method = method
        self.backend = backend or type(method).backend
        self._schema: Schema | None = None
        self._working = Schema(columns=())
        self._hidden: Hidden = {}
        self._library: Library = "pandas"

    @property
    def method(self) -> str:
        """The method's name."""
        return self._method.info.name

    @property
    def params(self) -> MethodParams:
        """The method's parameters, defaults included."""
        return self._method.params  # type: ignore[no-any-return]

    @property
    def privacy_settings(self) -> dict[str, Any]:
        """The parameters that a privacy level sets, with their values here."""
        names = type(self._method).privacy_params("default")
        return {name: value for name, value in self.params.model_dump(mode="json").items() if name in names}

    @property
    def privacy_level(self) -> PrivacyLevel | None:
        """The privacy level whose settings these are; None where they are nobody's."""
        return privacy_level(type(self._method), self.params.model_dump())

    @property
    def is_fitted(self) -> bool:
        """Whether it has learnt a table."""
        return self._schema is not None

    @property
    def schema(self) -> Schema:
        """What the columns are, without labels that too few records share; a UsageError before `fit`."""
        return self._fitted_schema()

    @property
    def guarantee(self) -> Guarantee:
        """What is promised about privacy; a UsageError before `fit`."""
        self._fitted_schema()
        return self._method.guarantee()

    def fit(
        self,
        data: pd.DataFrame | polars.DataFrame | RawTable | Dataset,
        *,
        schema: Schema | None = None,
        overrides: SchemaOverrides | None = None,
        seed: int = 0,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> Self:
        """Learn a table.

        Args:
            data: A pandas or polars frame, a table as read, or a dataset whose cells are canonical already.
            schema: What the columns are; None: inferred.
            overrides: What a person says about columns, over what is inferred.
            seed: Same seed, same machine, same model.
            emit: Hears of progress.
            cancelled: Asked often; when true, CancelledError is raised.

        Raises:
            TableError, SchemaError: the table or the schema cannot be used.
            FitError: the method cannot learn from it.
            CancelledError: cancelled; what was fitted before stays.
        """
        dataset = _to_dataset(data, schema, overrides, emit)
        if dataset.schema.sequence is not None and not type(self._method).sequences:
            emit(rows_notice(self.method, dataset.schema))
        return self.fit_canonical(
            dataset.frame, dataset.schema, child(seed, "fit"), emit, cancelled, library=dataset.library
        )

    def fit_canonical(
        self, table: pd.DataFrame, schema: Schema, rng: np.random.Generator,
        emit: Emit = ignore, cancelled: Cancelled = never, *, library: Library = "pandas",
    ) -> Self:
        """Learn a canonical table; for callers that have one and their own source of randomness."""
        check_canonical(table, schema)
        method = type(self._method)(self._method.params)
        working_table, working, hidden = hide_rare_labels(table, schema, self._min_support())
        self._method = method.fit(working_table, working, rng, emit, cancelled)
        self._remember(working, hidden, library)
        return self

    def _remember(self, working: Schema, hidden: Hidden, library: Library) -> None:
        self._working, self._hidden, self._library = working, hidden, library
        self._schema = released_schema(working, hidden)

    def _min_support(self) -> int:
        return self._method.label_support or _LEAST_SUPPORT

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        conditions: Mapping[str, Any] | pd.DataFrame | polars.DataFrame | None = None,
        shares: Shares | None = None,
        temperature: float | None = None,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> Any:
        """Draw rows.

        Args:
            n: Rows, 0 or more.
            seed: Same seed, same machine, same rows.
            conditions: Cells to fix: column name → a value, or n values; or a frame of n rows or of 1. Values as in
                the table itself.
            shares: Columns to rebalance: column name → value → share of the rows, such as
                `{"income": {">50K": 0.5, "<=50K": 0.5}}`; None as a value asks for missing cells. The other columns
                follow, as under conditions.
            temperature: Below 1 likely values become likelier, above 1 rarer ones do, for methods that have that
                parameter; None: as it was fitted.
            emit: Hears of progress.
            cancelled: Asked often; when true, CancelledError is raised.

        Returns:
            Frame of n rows with the source's columns and dtypes; polars if a polars frame was fitted.

        Raises:
            UsageError: not fitted, a negative n, or conditions or shares that cannot be met or that the method does
                not know.
            ParamsError: the method has no temperature, or it is out of bounds.
        """
        schema = self._fitted_schema()
        n = _check_rows(n)
        if conditions is not None or shares is not None:
            self._check_conditional()
        if conditions is not None and not isinstance(conditions, (Mapping, pd.DataFrame)):
            conditions = _to_pandas(conditions)
        fixed = fixed_cells(n, schema, conditions, shares, child(seed, "shares"))
        table = self.sample_canonical(n, child(seed, "sample"), fixed, emit, cancelled, temperature=temperature)
        return self.restored(table)

    def restored(self, table: pd.DataFrame) -> Any:
        """Canonical rows as a frame with the source's columns and dtypes; polars if a polars frame was fitted."""
        return (restore_polars if self._library == "polars" else restore)(table, self._fitted_schema())

    def sample_canonical(
        self, n: int, rng: np.random.Generator, conditions: Conditions | None = None,
        emit: Emit = ignore, cancelled: Cancelled = never, *, temperature: float | None = None,
    ) -> pd.DataFrame:
        """Draw `n` rows as a canonical table; `conditions` canonical too, n rows."""
        schema = self._fitted_schema()
        if conditions is not None:
            self._check_conditional()
            conditions = recast(conditions, self._working)
        method = self._method if temperature is None else self._at(temperature)
        table = method.sample(_check_rows(n), rng, conditions, emit, cancelled)
        check_canonical(table, self._working)
        if len(table) != n:
            raise ContractError(f"{len(table)} rows were drawn, not {n}.", where=f"method {self.method}")
        return recast(table, schema)

    def impute(
        self,
        data: pd.DataFrame | polars.DataFrame,
        *,
        seed: int = 0,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> Any:
        """Fill a table's missing cells, each drawn given the other cells of its row.

        Args:
            data: A frame with the modelled columns of the table that was fitted; other columns are passed through.
            seed: Same seed, same machine, same cells.
            emit: Hears of progress.
            cancelled: Asked often; when true, CancelledError is raised.

        Returns:
            The same frame, pandas or polars, with all rows, columns and given cells as they are, labels that the
            model does not know among them. A column keeps its dtype where that can hold what was drawn. Cells stay
            missing where the column is not modelled, or where no value of it may be released.

        Raises:
            UsageError: not fitted.
            ParamsError: the method cannot fill missing cells.
            TableError: a column is missing, or a cell cannot be read as what its column is.
        """
        given = as_any(data)
        frame = _to_pandas(given)
        filled = self.impute_raw(frame_as_given(frame), child(seed, "impute"), emit, cancelled)
        if library_of(given) == "polars":
            return filled_polars(given, filled)
        return filled.raw.frame.set_axis(frame.index)

    def impute_raw(
        self, raw: RawTable, rng: np.random.Generator, emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> Filled:
        """Fill a table as read; for callers that want its cells as they are spelt."""
        schema = self._fitted_schema()
        self._check_imputes()
        gaps = find_gaps(raw, schema, self._working, self._hidden, cancelled)
        drawn = self._method.impute(gaps.table, rng, emit, cancelled)
        check_canonical(drawn, self._working)
        if len(drawn) != len(gaps.table):
            raise ContractError(f"{len(drawn)} rows are not {len(gaps.table)}.", where=f"method {self.method}")
        return fill_gaps(gaps, drawn, schema)

    @property
    def savable(self) -> bool:
        """Whether `save` can write it; not where the model lives in a backend's interpreter."""
        return type(self._method).savable

    @property
    def peak_memory_mb(self) -> float | None:
        """Most memory that a backend's processes have used for it, in MB; None: it works in this process."""
        return self._method.peak_memory_mb

    def close(self) -> None:
        """Let go of what a backend holds for it (its interpreter); it cannot sample afterwards. Others hold nothing."""
        self._method.close()

    def to_bytes(self) -> bytes:
        """The model file's bytes; the same model gives the same bytes.

        Raises:
            UsageError: not fitted, or the model lives in a backend's interpreter and cannot be saved.
        """
        self._fitted_schema()
        if not self.savable:
            raise UsageError(
                f"a model of the backend {self.backend} cannot be saved: it would be a pickle, which runs code when "
                "it is read.", where=f"synthesizer {self.method}",
                do="Draw the rows you need while it is there, or fit the method with backend native.",
            )
        arrays, meta = self._method.state()
        params = self._method.params.model_dump(mode="json")
        return pack(ModelContents(
            self.method, self.backend, params, self._library, self._working, arrays, meta, self._hidden,
        ))

    def save(self, path: str | Path) -> Path:
        """Write the model file; whoever looks finds the whole new file or what was there before, never a half.

        Raises:
            OutputError: it cannot be written there.
        """
        target = Path(path)
        data = self.to_bytes()
        try:
            _write_atomically(target, data)
        except OSError as error:
            raise OutputError(
                f"the model cannot be written: {error.strerror or error}.", where=str(target),
                do="Choose a folder that exists and that you may write to.",
            ) from error
        return target

    @classmethod
    def from_bytes(cls, data: bytes, resolve: Resolve, *, where: str | None = None) -> Self:
        """A fitted synthesizer out of a model file's bytes.

        Args:
            data: The bytes.
            resolve: Finds a method's class by its name; only what it knows can be loaded.
            where: The file's name, for messages.

        Raises:
            ModelFileError: foreign, damaged, edited, newer, or its method is unknown here.
        """
        contents = unpack(data, where=where)
        try:
            kind = resolve(contents.method)
            params = kind.make_params(contents.params)
            method = kind.from_state(params, contents.schema, contents.arrays, contents.meta)
        except UnknownNameError as error:
            raise ModelFileError(
                f"its method {contents.method!r} is not installed here.", where=where, do=error.do
            ) from None
        except ParamsError as error:
            raise ModelFileError(f"its parameters are not the method's: {error.what}", where=where) from None
        except (KeyError, IndexError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
            raise ModelFileError(
                f"the method {contents.method} cannot use the state in it.", where=where,
                do="The file was not written by this version of the method.",
            ) from error
        self = cls(method, backend=contents.backend)
        self._remember(contents.schema, contents.hidden, contents.frame)
        return self

    @classmethod
    def load(cls, path: str | Path, resolve: Resolve) -> Self:
        """A fitted synthesizer out of a model file; errors as in `from_bytes`."""
        try:
            if Path(path).stat().st_size > LARGEST_FILE:
                raise ModelFileError("it is larger than any model.", where=str(path))
            data = Path(path).read_bytes()
        except OSError as error:
            raise ModelFileError(
                f"it cannot be read: {error.strerror or error}.", where=str(path),
                do="Give the model.synthloom that a run wrote, and see that you may read it.",
            ) from error
        return cls.from_bytes(data, resolve, where=str(path))

    def __repr__(self) -> str:
        columns = f", fitted on {len(self._schema)} columns" if self._schema is not None else ", not fitted"
        return f"<Synthesizer {self.method} ({self.backend}){columns}>"

    def _fitted_schema(self) -> Schema:
        if self._schema is None:
            raise UsageError("this is not fitted yet.", where=f"synthesizer {self.method}", do="Call fit first.")
        return self._schema

    def _check_imputes(self) -> None:
        if not self._method.info.imputes:
            raise ParamsError(
                "this method cannot fill missing cells.", where=f"method {self.method}",
                do="Choose a method that is marked as imputing in `synthloom methods`, such as autoregressive.",
            )

    def _at(self, temperature: float) -> Method[Any]:
        """The fitted method at another temperature."""
        kind = type(self._method)
        if "temperature" not in kind.Params.model_fields:
            raise ParamsError(
                "this method has no temperature.", where=f"method {self.method}",
                do="Leave it out, or choose a method that has that parameter, such as autoregressive.",
            )
        method = copy.copy(self._method)
        method.params = kind.make_params(self.params.model_dump() | {"temperature": temperature})
        return method

    def _check_conditional(self) -> None:
        if not self._method.info.conditional:
            raise UsageError(
                "this method cannot sample under conditions.", where=f"method {self.method}",
                do="Leave conditions out, or choose a method that is marked conditional in `synthloom methods`.",
            )


def privacy_level(
    method: type[Method[Any]], params: Mapping[str, Any], apart_from: Collection[str] = ()
) -> PrivacyLevel | None:
    """The highest privacy level whose settings stand in `params`; None when there is none.

    Args:
        method: The method.
        params: Parameter values.
        apart_from: Parameters not to look at.
    """
    for level in ("high", "default", "low"):
        values = {k: v for k, v in method.privacy_params(level).items() if k not in apart_from}
        if values and all(k in params and params[k] == v for k, v in values.items()):
            return level
    return None


def _check_rows(n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
        raise UsageError(f"n={n!r}: a number of rows is a whole number from 0 on.")
    return int(n)


def _to_dataset(data: Any, schema: Schema | None, overrides: SchemaOverrides | None, emit: Emit) -> Dataset:
    from synthloom.tables.coerce import coerce
    from synthloom.tables.infer import frame_to_raw, infer_schema

    if schema is not None and overrides is not None:
        raise UsageError("a schema and overrides were both given.", do="Give one: overrides change what is inferred.")
    if isinstance(data, Dataset):
        if schema is not None or overrides is not None:
            raise UsageError("a dataset has its schema already.", do="Leave schema and overrides out, or give a frame.")
        return data
    raw = data if isinstance(data, RawTable) else frame_to_raw(_to_pandas(data))
    schema = infer_schema(raw, overrides, emit) if schema is None else schema
    return Dataset(coerce(raw, schema), schema, raw.name, raw.sha256, library_of(data))


def _to_pandas(data: Any) -> pd.DataFrame:
    from synthloom.tables.frames import to_pandas

    frame: pd.DataFrame = to_pandas(data)
    return frame


def _write_atomically(target: Path, data: bytes) -> None:
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        with os.fdopen(handle, "wb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(part, target)
    except BaseException:  # raised again: no half-written file stays, on Ctrl-C either
        part.unlink(missing_ok=True)
        raise
