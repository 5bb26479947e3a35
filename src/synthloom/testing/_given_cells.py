"""Promises of methods that take given cells into account: conditions and missing cells."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synthloom.domain.errors import CancelledError, ContractError, ParamsError
from synthloom.domain.event import Event, Progress, ignore
from synthloom.tables.canonical import check_canonical
from synthloom.testing._promises import Subject, check_rows, equal, promises
from synthloom.testing._suite import Broken, expect
from synthloom.testing.example_tables import Example, mixed

GIVEN_CELLS = promises()


@GIVEN_CELLS("under conditions every fixed cell stands as it was asked for, missing ones too, whatever the column.")
def _keeps_conditions(subject: Subject) -> None:
    if not subject.method.info.conditional:
        return
    example = mixed()
    fitted = subject.fit(example)
    n = 60
    chosen = example.table.sample(n, random_state=np.random.RandomState(3)).reset_index(drop=True)
    names = [c.name for c in example.schema.modelled]
    for fixed in (*([name] for name in names), ["region", "income"], ["lab", "lab_day", "grade", "seen"], names):
        conditions = chosen[fixed].copy()
        rows = fitted.sample(n, np.random.default_rng(12), conditions)
        expect(equal(conditions, chosen[fixed]), "the conditions themselves have changed")
        check_rows(rows, example.schema, n)
        for name in fixed:
            kept = rows[name].equals(conditions[name])
            expect(kept, f"column {name!r} is not as asked for (fixed: {', '.join(fixed)})")
    none = fitted.sample(0, np.random.default_rng(12), chosen[["region"]].iloc[:0])
    expect(len(none) == 0, "0 rows under conditions are not 0 rows")


@GIVEN_CELLS(
    "where it is marked `imputes`, cells missing in modelled columns are filled, by the seed, and all else stays as it "
    "is; where it is not, asking for that is a ParamsError."
)
def _imputes(subject: Subject) -> None:
    example = mixed()
    fitted = subject.fit(example)
    gappy = _with_gaps(example)
    if not subject.method.info.imputes:
        try:
            fitted.impute(gappy, np.random.default_rng(13))
        except ParamsError:
            return
        raise Broken("it fills cells, though it is not marked as able to")
    before, heard = gappy.copy(), list[Event]()
    filled = fitted.impute(gappy, np.random.default_rng(13), heard.append)
    expect(equal(gappy, before), "the table itself has changed")
    expect(len(filled) == len(gappy) and filled.index.equals(gappy.index), "rows are lost, added or moved")
    try:
        check_canonical(filled, example.schema)
    except ContractError as error:
        raise Broken(error.text()) from None
    for column in example.schema:
        own, made = gappy[column.name], filled[column.name]
        if column.kind.is_modelled:
            expect(not made.isna().any(), f"column {column.name!r}: {made.isna().sum()} cells are still missing")
        stands = own.notna() if column.kind.is_modelled else pd.Series(True, index=own.index)
        expect(own[stands].equals(made[stands]), f"column {column.name!r}: cells that were given have changed")
    check_rows(filled.reset_index(drop=True), example.schema, len(filled), suppressed=True)
    expect(equal(filled, fitted.impute(gappy, np.random.default_rng(13))), "the same seed fills in others")
    expect(not equal(filled, fitted.impute(gappy, np.random.default_rng(14))), "another seed fills in the same")
    expect(equal(filled, fitted.impute(filled, np.random.default_rng(15))), "a table without gaps has changed")
    expect(len(fitted.impute(gappy.iloc[:0], np.random.default_rng(13))) == 0, "0 rows become more")
    told = [e.fraction for e in heard if isinstance(e, Progress)]
    expect(told and told == sorted(told) and told[-1] >= 0.9, "progress is not told up to the end")
    try:
        fitted.impute(gappy, np.random.default_rng(13), ignore, lambda: True)
    except CancelledError:
        return
    raise Broken("it does not ask whether it is cancelled")


def _with_gaps(example: Example) -> pd.DataFrame:
    """The example with a third of the modelled cells taken out, all of them in the first rows."""
    rng = np.random.default_rng(4)
    gappy = example.table.copy()
    for column in example.schema.modelled:
        gone = (rng.random(len(gappy)) < 1 / 3) | (np.arange(len(gappy)) < 5)
        gappy[column.name] = gappy[column.name].mask(gone)
    return gappy
