"""Fresh identifiers look like the old ones and are none of them."""

from __future__ import annotations

import re
import uuid

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from synthloom.tables.identifiers import escape, fresh, infer_pattern, pattern_of_whole, shape_of, tokenize

RNG = np.random.default_rng
UUIDS = [str(uuid.UUID(int=(i * 0x9E3779B97F4A7C15F39CC0605CEDC834) % 2**128, version=4)) for i in range(500)]
CASES = {
    "numbers": [str(i * 7 + 1000) for i in range(500)],
    "padded": [f"{i:04d}" for i in range(500)],
    "prefixed": [f"P{i:03d}" for i in range(500)],
    "year": [f"INV-2020-{i}" for i in range(500)],
    "codes": [f"{chr(65 + i % 26)}{chr(65 + i // 26 % 26)}-{i * 37 % 1000:03d}-x" for i in range(500)],
    "uuid": UUIDS,
    "uuid upper": [u.upper() for u in UUIDS],
    "uuid plain": [u.replace("-", "") for u in UUIDS],
    "uuid braces": ["{" + u + "}" for u in UUIDS],
    "hash": [f"{i * 0x9E3779B97F4A7C15 % 2**96:024x}" for i in range(500)],
    "mail": [f"user{i}@example.org" for i in range(500)],
    "web": [f"https://example.org/{i}" for i in range(500)],
    "names": [f"Smith{chr(97 + i % 26)}{chr(97 + i // 26)}, Jo" for i in range(500)],
    "all two-digit numbers": [f"x{i:02d}y" for i in range(100)],
    "unicode": [f"Ärzte-{i}-ß" for i in range(100)],
    "backslash": [f"A\\9{i:03d}\\" for i in range(100)],
    "huge": [str(4 * 10**19 + i) for i in range(100)],
    "one": ["only"],
    "blank": [""],
}


@pytest.mark.parametrize("name", list(CASES))
def test_fresh_ones_are_distinct_and_never_old_ones(name: str) -> None:
    old = CASES[name]
    pattern = infer_pattern(pd.Series(old, dtype=object))
    new = fresh(pattern, 5000, RNG(1))
    assert new.dtype == object
    assert len(set(new)) == 5000
    assert not set(new) & set(old)


@given(st.lists(st.text(st.characters(max_codepoint=300), max_size=6), min_size=1, max_size=80))
@settings(max_examples=150, deadline=None)
def test_no_old_one_comes_back_whatever_they_are(old: list[str]) -> None:
    new = fresh(infer_pattern(pd.Series(old, dtype=object)), 300, RNG(0))
    assert len(set(new)) == 300
    assert not set(new) & set(old)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=100, unique=True))
@settings(max_examples=100, deadline=None)
def test_no_old_one_comes_back_when_the_space_is_nearly_full(numbers: list[int]) -> None:
    old = [f"{chr(65 + i // 10)}{i % 10}z" for i in numbers]
    new = fresh(infer_pattern(pd.Series(old, dtype=object)), 300, RNG(0))
    assert not set(new) & set(old)


@pytest.mark.parametrize(
    ("name", "regex"),
    [
        ("numbers", r"\d{4,5}"),
        ("padded", r"\d{4}"),
        ("prefixed", r"P\d{3,4}"),
        ("year", r"INV-2020-\d{3,4}"),
        ("codes", r"[A-Z]{2}-\d{3}-[a-z]"),
        ("uuid", r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("uuid upper", r"[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[89AB][0-9A-F]{3}-[0-9A-F]{12}"),
        ("uuid plain", r"[0-9a-f]{32}"),
        ("uuid braces", r"\{[0-9a-f-]{36}\}"),
        ("hash", r"[0-9a-f]{24}"),
        ("mail", r"[a-z]+@example\.com"),
        ("web", r"https://example\.com/[a-z]+"),
        ("names", r"Smith[a-z]{2}, [A-Z][a-z]"),
    ],
)
def test_fresh_ones_have_the_shape_of_the_old(name: str, regex: str) -> None:
    for new in fresh(infer_pattern(pd.Series(CASES[name], dtype=object)), 200, RNG(1)):
        assert re.fullmatch(regex, new), new


def test_a_twin_of_a_twin_repeats_nothing_either() -> None:
    for old in CASES.values():
        first = fresh(infer_pattern(pd.Series(old, dtype=object)), 400, RNG(7))
        second = fresh(infer_pattern(pd.Series(first, dtype=object)), 400, RNG(7))
        assert not set(first) & set(second)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_whole_numbers_count_on_where_none_stands(numbers: list[int]) -> None:
    new = fresh(pattern_of_whole(np.array(numbers, dtype="int64")), 500, RNG(0))
    assert len({int(v) for v in new} - set(numbers)) == 500
    assert all(int(v) < 2**63 for v in new)


def test_the_same_seed_gives_the_same_ones() -> None:
    pattern = infer_pattern(pd.Series(CASES["codes"]))
    assert list(fresh(pattern, 50, RNG(3))) == list(fresh(pattern, 50, RNG(3)))
    assert list(fresh(pattern, 50, RNG(3))) != list(fresh(pattern, 50, RNG(4)))


@pytest.mark.parametrize("name", list(CASES))
def test_none_are_none(name: str) -> None:
    assert fresh(infer_pattern(pd.Series(CASES[name], dtype=object)), 0, RNG(0)).shape == (0,)


def test_a_pattern_keeps_no_value() -> None:
    for name, old in CASES.items():
        if name not in ("one", "blank"):
            template = infer_pattern(pd.Series(old, dtype=object)).template
            assert not any(v and v in template.replace("\\", "") for v in old), name


def test_literal_text_survives_a_template() -> None:
    text = r"Aa9\\x-A"
    assert "".join(choices for _, choices in tokenize(escape(text))) == text
    assert shape_of("Ab-1") == "Aa-9"


def test_a_million_take_little_time_and_stay_distinct() -> None:
    pattern = infer_pattern(pd.Series([f"K{i * 7919 % 10**6:06d}-{i % 7}" for i in range(1000)]))
    assert len(set(fresh(pattern, 200_000, RNG(0)))) == 200_000
