"""What whole numbers and words mean: identifier, code, category, text. Each decision comes with its reason."""

from __future__ import annotations

from collections import Counter

import numpy as np

from synthloom.domain.schema import Kind
from synthloom.tables.cells import Texts, matches, some
from synthloom.tables.identifiers import EMAIL, URL, UUID, shape_of
from synthloom.tables.words import says_code, says_identifier

NEARLY_UNIQUE = 0.98
"""Share of distinct cells from which a column of words counts as nearly unique."""
MOSTLY_UNIQUE = 0.5
"""The same for e-mail addresses, web addresses and UUIDs, which name somebody even where they repeat."""
MOST_CODES = 50
"""Whole numbers under a name that speaks of codes are labels up to this many distinct ones."""
MOST_WORDS = 5.0
LONG_TEXT = 50.0
"""From this many words, or characters, on average, varied cells are free text."""

Decision = tuple[Kind, str]


def decide_whole(name: str, values: np.ndarray, n_unique: int) -> Decision:
    """What a column of whole numbers is.

    Args:
        name: Column name.
        values: Filled cells in row order, int64, at least two distinct.
        n_unique: Distinct values among them.
    """
    n, low, high = len(values), int(values.min()), int(values.max())
    if n_unique == 2 and low == 0 and high == 1:
        return Kind.BOOLEAN, "only 0 and 1 occur"
    if n_unique == n and n >= 10:
        steps = np.diff(values)
        counts_on = bool((steps == 1).all())
        if counts_on or (high - low == n - 1 and n >= 100):
            return Kind.IDENTIFIER, "every cell is different and they count without a gap"
    if n_unique >= 0.99 * n and n >= 5 and says_identifier(name):
        return Kind.IDENTIFIER, "whole numbers that do not repeat, under a name that speaks of an identifier"
    if n_unique <= MOST_CODES and low >= -1 and n_unique <= n / 2 and says_code(name):
        return Kind.CATEGORY, f"{n_unique} whole numbers under a name that speaks of codes, not amounts"
    return Kind.INTEGER, "every filled cell is a whole number"


def decide_words(name: str, texts: Texts, n_filled: int) -> Decision:
    """What a column of words is: category, identifier or text (scales are recognised by the caller).

    Args:
        name: Column name.
        texts: Distinct filled texts, at least two.
        n_filled: Filled cells.
    """
    n_unique, share = len(texts), len(texts) / n_filled
    sample = some(texts, 1000)
    words = float(np.mean([len(t.split()) for t in sample]))
    length = float(np.mean([len(t) for t in sample]))
    if share >= 0.5 and (words >= MOST_WORDS or (length >= LONG_TEXT and words >= 2)) and n_unique >= 5:
        return Kind.TEXT, f"cells hold {words:.0f} words on average and {share:.0%} of them are different"
    address = _address(texts)
    if address and share >= MOSTLY_UNIQUE and n_unique >= 3:
        return Kind.IDENTIFIER, f"cells are {address} and {'do not' if share == 1 else 'rarely'} repeat"
    if share >= NEARLY_UNIQUE and n_unique >= 3:
        evidence = _identifier_evidence(name, sample)
        if evidence:
            return Kind.IDENTIFIER, f"cells do not repeat and {evidence}"
        if n_unique >= 10:
            return Kind.IDENTIFIER, "cells do not repeat, so they name single records"
    return Kind.CATEGORY, f"{n_unique} different words"


def _address(texts: Texts) -> str | None:
    for what, regex in (("UUIDs", UUID), ("e-mail addresses", EMAIL), ("web addresses", URL)):
        if matches(texts, regex).mean() > 0.95:
            return what
    return None


def _identifier_evidence(name: str, sample: list[str]) -> str | None:
    if says_identifier(name):
        return "the column's name speaks of an identifier"
    shapes = Counter(shape_of(t) for t in sample)
    top = sum(count for _, count in shapes.most_common(5))
    if len(sample) >= 10 and top >= 0.9 * len(sample) and any("9" in s for s, _ in shapes.most_common(5)):
        return "share a pattern of letters and digits"
    return None
