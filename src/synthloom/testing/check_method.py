"""The conformance suite for methods: every method, ours or another package's, passes it.

    from synthloom.testing.check_method import check_method
    check_method(MyMethod)

or, one test for each promise:

    @pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.name)
    def test_my_method(check):
        check.run(MyMethod)
"""

from __future__ import annotations

import gc
import json
import random
import time
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import annotated_types
import numpy as np
import pandas as pd

from synthloom.domain.errors import CancelledError, FitError, ParamsError
from synthloom.domain.event import Event, Progress, ignore, never
from synthloom.domain.guarantee import NoGuarantee, PrivacyGuarantee
from synthloom.methods.contract import MethodParams
from synthloom.registry import check_params
from synthloom.synthesizer import Synthesizer
from synthloom.tables.canonical import to_float
from synthloom.testing._given_cells import GIVEN_CELLS
from synthloom.testing._promises import AnyMethod, Check, Subject, check_rows, equal, promises
from synthloom.testing._suite import Broken, expect, hold
from synthloom.testing.example_tables import (
    EXTREME_DAY,
    EXTREME_NUMBER,
    RARE_LABEL,
    mixed,
    odd,
    with_single_records,
)

PATIENCE = 1.0
"""Seconds within which a cancel must be noticed."""
_OWN = promises()


def check_method(method: AnyMethod, *, params: Mapping[str, Any] | None = None) -> None:
    """Hold a method to all promises.

    Args:
        method: Its class.
        params: Parameters to test it with, such as fewer epochs.

    Raises:
        ContractError: names every promise that is not kept, with what was found.
    """
    hold(METHOD_CHECKS, lambda check: check.run(method, params))


@_OWN("it says what it is: a name, a title, a summary and a source, and every parameter is described.")
def _declares_itself(subject: Subject) -> None:
    info, fields = subject.method.info, subject.method.Params.model_fields
    for name in ("name", "title", "summary", "paper"):
        expect(getattr(info, name).strip(), f"info.{name} is empty")
    expect(info.name == info.name.lower() and " " not in info.name, f"{info.name!r} is not one lower-case word")
    expect(issubclass(subject.method.Params, MethodParams), "Params is no MethodParams")
    for name, entry in fields.items():
        expect(entry.description, f"parameter {name} has no description")
        expect(not entry.is_required(), f"parameter {name} has no default")


@_OWN("a misspelt, ill-typed or out-of-bounds parameter is a ParamsError that names it.")
def _refuses_bad_params(subject: Subject) -> None:
    def refused(name: str, value: Any) -> None:
        try:
            subject.method.make_params({name: value})
        except ParamsError as error:
            expect(name in error.text(), f"the error on {name}={value!r} does not name it: {error.text()}")
        else:
            raise Broken(f"{name}={value!r} is accepted")

    refused("no_such_parameter", 1)
    for name, entry in subject.method.Params.model_fields.items():
        refused(name, object())
        for bound in entry.metadata:
            if isinstance(bound, (annotated_types.Ge, annotated_types.Gt)):
                refused(name, _beyond(bound.ge, -1) if isinstance(bound, annotated_types.Ge) else bound.gt)
            if isinstance(bound, (annotated_types.Le, annotated_types.Lt)):
                refused(name, _beyond(bound.le, 1) if isinstance(bound, annotated_types.Le) else bound.lt)


def _beyond(limit: Any, step: int) -> Any:
    return limit + step


@_OWN("each privacy level stands for valid parameter values.")
def _knows_privacy_levels(subject: Subject) -> None:
    for level in ("low", "default", "high"):
        try:
            check_params(subject.method, subject.method.privacy_params(level))
        except ParamsError as error:
            raise Broken(f"level {level}: {error.text()}") from None


@_OWN("a budget of seconds and a device become valid parameter values, or none.")
def _knows_its_limits(subject: Subject) -> None:
    method = subject.method
    for values in (method.budget_params(0.5), method.budget_params(3600.0), method.device_params("cpu")):
        try:
            check_params(method, values)
        except ParamsError as error:
            raise Broken(f"{values}: {error.text()}") from None


@_OWN("the same seed gives the same rows, fitted and sampled anew or again, and another seed gives others.")
def _repeats_by_seed(subject: Subject) -> None:
    example = mixed()
    first, second = subject.fit(example), subject.fit(example)
    rows = first.sample(300, np.random.default_rng(9))
    expect(equal(rows, second.sample(300, np.random.default_rng(9))), "two fits with one seed give others")
    expect(equal(rows, first.sample(300, np.random.default_rng(9))), "sampling again with one seed gives others")
    expect(not equal(rows, first.sample(300, np.random.default_rng(10))), "another seed gives the same rows")
    again = first.fit(example.table, example.schema, np.random.default_rng(5)).sample(300, np.random.default_rng(9))
    expect(equal(rows, again), "fitting the same object again gives others: something is left of the first fit")


@_OWN("randomness comes from the generators given alone: the global ones are not touched.")
def _leaves_global_randomness(subject: Subject) -> None:
    before, numpy_before = random.getstate(), np.random.get_state(legacy=False)
    subject.fit(mixed(300)).sample(50, np.random.default_rng(1))
    expect(random.getstate() == before, "the state of `random` has changed")
    expect(_same(np.random.get_state(legacy=False), numpy_before), "the state of `numpy.random` has changed")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return all(_same(one[key], other[key]) for key in one)
    return bool(np.array_equal(one, other))


@_OWN("rows have exactly the schema's columns and dtypes, a RangeIndex, and values the columns can hold.")
def _keeps_the_schema(subject: Subject) -> None:
    example = mixed()
    check_rows(subject.fit(example).sample(500, np.random.default_rng(2)), example.schema, 500)


@_OWN("odd tables give rows all the same, or where that is hopeless a FitError that says why.")
def _takes_odd_tables(subject: Subject) -> None:
    for example in odd():
        try:
            rows = subject.fit(example).sample(40, np.random.default_rng(3))
        except FitError as error:
            expect(example.may_refuse, f"{example.name}: refused: {error.text()}")
            continue
        except Exception as error:  # whatever it is, it is a broken promise, and here it gets its name
            raise Broken(f"{example.name}: {type(error).__name__}: {error}") from error
        try:
            check_rows(rows, example.schema, 40, suppressed=example.may_refuse)
        except Broken as broken:
            raise Broken(f"{example.name}: {broken}") from None


@_OWN("0 rows and 1 row can be sampled.")
def _samples_none_and_one(subject: Subject) -> None:
    example = mixed(400)
    fitted = subject.fit(example)
    for n in (0, 1):
        check_rows(fitted.sample(n, np.random.default_rng(4)), example.schema, n)


@_OWN("cells are missing as often as in the table, and together where they are missing together.")
def _keeps_missingness(subject: Subject) -> None:
    example = mixed(2000)
    rows = subject.fit(example).sample(4000, np.random.default_rng(6))
    real, made = example.table.isna(), rows.isna()
    for name in real:
        share = float(real[name].mean())
        allowed = 0.015 + 4 * np.sqrt(share * (1 - share) * (1 / 2000 + 1 / 4000))
        found = float(made[name].mean())
        expect(abs(found - share) <= allowed, f"column {name!r}: {found:.3f} are missing, {share:.3f} in the table")
    apart = float((made["lab"] != made["lab_day"]).mean())
    expect(apart <= 0.02, f"two columns always missing together are apart in {apart:.3f} of the rows")


@_OWN(f"a cancel is noticed within {PATIENCE:g} s, wherever it comes, as a CancelledError.")
def _cancels(subject: Subject) -> None:
    example = mixed(3000)
    fitted = subject.fit(example)

    def fit(cancelled: Callable[[], bool]) -> None:
        subject.fit(example, cancelled=cancelled)

    def sample(cancelled: Callable[[], bool]) -> None:
        fitted.sample(3000, np.random.default_rng(7), None, ignore, cancelled)

    for stage, work in (("fit", fit), ("sample", sample)):
        pauses = [_pauses(work) for _ in range(2)]
        calls = len(pauses[0]) - 1
        expect(calls > 0, f"{stage} never asks whether it is cancelled")
        longest = min(float(p.max()) for p in pauses)
        expect(longest <= PATIENCE, f"{stage} does not ask for {longest:.1f} s")
        for point in sorted({int(k) for k in np.linspace(1, calls, 6)}):
            spent = _seconds_after_cancel(stage, work, point)
            spent = spent if spent <= PATIENCE else min(spent, _seconds_after_cancel(stage, work, point))
            expect(spent <= PATIENCE, f"{stage} went on for {spent:.1f} s after call {point}")


_Work = Callable[[Callable[[], bool]], None]


def _pauses(work: _Work) -> np.ndarray:
    """Seconds between start, calls of `cancelled` and end. Measured twice: a busy machine makes pauses of its own."""
    asked = [time.perf_counter()]

    def cancelled() -> bool:
        asked.append(time.perf_counter())
        return False

    work(cancelled)
    return np.diff([*asked, time.perf_counter()])


def _seconds_after_cancel(stage: str, work: _Work, point: int) -> float:
    """Let `cancelled` turn true at its `point`-th call; seconds until CancelledError."""
    calls, since = 0, 0.0

    def cancelled() -> bool:
        nonlocal calls, since
        calls += 1
        if calls == point:
            since = time.perf_counter()
        return calls >= point

    try:
        work(cancelled)
    except CancelledError:
        return time.perf_counter() - since
    if 0 < calls < point:  # looks are spread over time, so there may be fewer of them than there were: an earlier one
        return _seconds_after_cancel(stage, work, (calls + 1) // 2)
    raise Broken(f"{stage} was cancelled at call {point} and went on to its end")


@_OWN("fit and sample tell their progress, never backwards, up to the end.")
def _tells_progress(subject: Subject) -> None:
    example, heard = mixed(), list[Event]()
    fitted = subject.fit(example, emit=heard.append)
    told = {"fit": list(heard)}
    heard.clear()
    fitted.sample(500, np.random.default_rng(8), None, heard.append, never)
    told["sample"] = list(heard)
    for step, events in told.items():
        own = [e.fraction for e in events if isinstance(e, Progress)]
        expect(own, f"{step} tells no progress")
        expect({e.step for e in events if isinstance(e, Progress)} == {step}, f"{step} names another step")
        expect(own == sorted(own), f"progress of {step} goes backwards")
        expect(own[-1] >= 0.9, f"progress of {step} ends at {own[-1]:.2f}")


@_OWN("what is saved and loaded samples the same rows and promises the same; saving again gives the same file.")
def _survives_the_model_file(subject: Subject) -> None:
    example = mixed()
    before = Synthesizer(subject.new()).fit_canonical(example.table, example.schema, np.random.default_rng(5))
    arrays, meta = before._method.state()
    for name, array in arrays.items():
        plain = isinstance(array, np.ndarray) and array.dtype.kind in "biuf"
        expect(plain, f"state array {name!r} is not of plain numbers")
    try:
        json.dumps(meta, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Broken(f"state values are not JSON-safe: {error}") from None
    data = before.to_bytes()
    after = Synthesizer.from_bytes(data, lambda _name: subject.method)
    rows = [s.sample_canonical(300, np.random.default_rng(9)) for s in (before, after)]
    expect(equal(*rows), "the loaded one samples other rows")
    expect(before.guarantee == after.guarantee, "the loaded one promises something else")
    expect(before.params == after.params, "the loaded one has other parameters")
    expect(after.to_bytes() == data, "saving the loaded one gives another file")


@_OWN("fit leaves the table as it was.")
def _leaves_the_table_alone(subject: Subject) -> None:
    example, copy = mixed(), mixed()
    subject.fit(example).sample(20, np.random.default_rng(1))
    expect(equal(example.table, copy.table) and example.table.index.equals(copy.table.index), "the table has changed")


@_OWN("the fitted method keeps nothing of the table: no reference to it and no view of its memory.")
def _lets_the_data_go(subject: Subject) -> None:
    example = mixed()
    schema, table = example.schema, example.table.copy()
    fitted = subject.new().fit(table, schema, np.random.default_rng(5))
    columns = [(c.name, to_float(table[c.name], c.kind)) for c in schema if c.kind.is_numeric]
    memory = [table[c].to_numpy() for c in table if table[c].dtype.kind in "fmM"]
    for item in _reachable(fitted):
        if isinstance(item, (pd.DataFrame, pd.Series)):
            expect(len(item) != len(table), f"a pandas {type(item).__name__} as long as the table is kept")
        if isinstance(item, np.ndarray) and item.size:
            expect(not any(np.may_share_memory(item, own) for own in memory), "an array kept is a view of the table")
            for name, values in columns:
                expect(not _is_copy(item, values), f"an array kept is a copy of the column {name!r}")
    ghost = weakref.ref(table)
    del table, example, memory
    gc.collect()
    expect(ghost() is None, "the table is still alive after fit")


def _is_copy(array: np.ndarray, values: np.ndarray) -> bool:
    if array.shape != values.shape or array.dtype.kind not in "fiu":
        return False
    return bool(np.array_equal(array, values, equal_nan=array.dtype.kind == "f"))


def _reachable(start: object) -> Iterator[object]:
    """Everything an object holds on to, without modules, classes and what functions share with their module."""
    seen, queue = set(), [start]
    while queue:
        item = queue.pop()
        if id(item) in seen or isinstance(item, (type, types.ModuleType, str, bytes, int, float)):
            continue
        seen.add(id(item))
        yield item
        if isinstance(item, types.FunctionType):
            queue += [cell.cell_contents for cell in item.__closure__ or ()] + list(item.__defaults__ or ())
        else:
            queue += gc.get_referents(item)


@_OWN("no value that a single record holds is kept or comes out: rare labels, extremes and identifiers.")
def _protects_single_records(subject: Subject) -> None:
    example = with_single_records()
    fitted = subject.fit(example)
    arrays, meta = fitted.state()
    text = json.dumps(meta, ensure_ascii=False)
    ids = set(example.table["id"])
    expect(RARE_LABEL not in text, "the state holds the label of one record")
    expect(not any(i in text for i in list(ids)[:50]), "the state holds identifiers")
    expect(str(EXTREME_NUMBER) not in text, "the state holds the number of one record")
    day = float(EXTREME_DAY.astype("int64")) / 1e6
    for name, array in arrays.items():
        for extreme in (EXTREME_NUMBER, day):
            held = array.dtype.kind == "f" and (array == extreme).any()
            expect(not held, f"state array {name!r} holds an extreme of one record")
    rows = fitted.sample(6000, np.random.default_rng(11))
    expect(not (rows["label"] == RARE_LABEL).any(), "the label of one record is sampled")
    expect((rows["number"] < EXTREME_NUMBER).all(), "the largest number, one record's, is reached")
    expect((rows["day"] < EXTREME_DAY).all(), "the latest day, one record's, is reached")
    expect(not ids & set(rows["id"]), "identifiers of the table are sampled")


@_OWN("its guarantee is a formal one if and only if it is marked `dp`, and without one it names its rules.")
def _says_what_it_promises(subject: Subject) -> None:
    guarantee = subject.fit(mixed(400)).guarantee()
    if subject.method.info.dp:
        expect(isinstance(guarantee, PrivacyGuarantee), "a method marked dp gives no formal guarantee")
    else:
        expect(isinstance(guarantee, NoGuarantee) and guarantee.rules, "the rules it keeps are not named")


METHOD_CHECKS: tuple[Check, ...] = (*_OWN.checks, *GIVEN_CELLS.checks)
"""Every promise, in the order they are tested."""
