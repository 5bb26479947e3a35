"""Words that tables are written in: missing cells, truth, scales, and names that say what a column is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

MISSING_ALWAYS = frozenset({"", "na", "n/a", "#n/a", "n.a.", "nan", "null", "#null!", "<na>", "nat", "<null>", "\\n"})
"""Spellings (trimmed, lower case) that mean a missing cell in every column."""

MISSING_AMONG_VALUES = frozenset(
    {"none", "-", "--", "---", "?", "??", ".", "..", "...", "…", "–", "—", "missing", "unknown", "not available", "nil"}
)
"""Spellings that mean a missing cell only where the other cells are numbers, times, truth values or identifiers.

In a column of words they stay labels: a census that writes "?" or "None" gets it back as it was.
"""

_TRUTH = (
    ("false", "true"), ("f", "t"), ("no", "yes"), ("n", "y"), ("off", "on"), ("nein", "ja"), ("n", "j"), ("nee", "ja"),
    ("non", "oui"), ("n", "o"), ("no", "si"), ("no", "sí"), ("não", "sim"), ("nao", "sim"), ("nej", "ja"),
    ("nie", "tak"), ("falsch", "wahr"), ("faux", "vrai"), ("falso", "verdadero"), ("falso", "vero"), ("0", "1"),
    ("0.0", "1.0"),
)

_SCALES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("very low", "lowest"), ("low",), ("medium low",), ("medium", "mid", "middle", "moderate", "average", "normal"),
     ("medium high",), ("high",), ("very high", "highest")),
    (("none", "absent", "no"), ("minimal",), ("mild", "slight"), ("moderate",), ("severe",),
     ("very severe", "critical")),
    (("never",), ("rarely", "seldom"), ("sometimes", "occasionally"), ("often", "frequently"), ("always",)),
    (("strongly disagree",), ("disagree",), ("neutral", "neither agree nor disagree"), ("agree",), ("strongly agree",)),
    (("very poor", "very bad"), ("poor", "bad"), ("fair", "average", "ok"), ("good",), ("very good",), ("excellent",)),
    (("xxs",), ("xs",), ("s",), ("m",), ("l",), ("xl",), ("xxl", "2xl"), ("xxxl", "3xl")),
    (("tiny",), ("small",), ("medium",), ("large",), ("extra large", "huge")),
    (("very dissatisfied",), ("dissatisfied",), ("neutral",), ("satisfied",), ("very satisfied",)),
    (("i",), ("ii",), ("iii",), ("iv",), ("v",), ("vi",)),
)

_ID_WORDS = frozenset(
    {"id", "uid", "uuid", "guid", "nr", "no", "num", "number", "key", "index", "idx", "pk", "rowid", "oid"}
)
_COUNT_WORDS = frozenset({"nr", "no", "num", "number", "index"})
_CODE_WORDS = frozenset(
    {
        "code", "codes", "type", "types", "class", "classes", "cluster", "region", "regions", "zip", "zipcode",
        "postcode", "postal", "plz", "sector", "category", "cat", "systems", "browser", "channel", "segment",
        "group", "gender", "sex", "race", "ethnicity", "status", "country", "state", "department", "dept",
        "branch", "store", "product", "sku", "icd", "naics", "soc", "sic", "fips", "zone", "district", "ward",
        "cohort", "arm", "treatment", "site", "center", "centre",
    }
)
_TIME_WORDS = frozenset({"date", "day", "dt", "dob", "birth", "birthdate", "birthday", "timestamp", "datum"})
_RANGE = re.compile(
    r"(?:(\d+(?:\.\d+)?)\s*(?:-|–|to|\.\.)\s*(\d+(?:\.\d+)?))|(?:(?:<|<=|≤|under )\s*(\d+))"
    r"|(?:(?:>|>=|≥|over )\s*(\d+))|(?:(\d+)\s*\+)"
)


def name_words(name: str) -> list[str]:
    """The words of a column name: `customerId`, `customer_id` and `Customer ID` all give customer, id."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return [w.lower() for w in re.split(r"[^A-Za-z0-9]+|(?<=[A-Za-z])(?=\d)", spaced) if w]


def says_identifier(name: str) -> bool:
    """Whether a column name speaks of an identifier (`id`, `order_no`, an unnamed index)."""
    words = name_words(name)
    return not words or words[0] == "unnamed" or words[-1] in _ID_WORDS or words[0] in ("id", "uuid")


def says_code(name: str) -> bool:
    """Whether a column name speaks of codes, so that whole numbers in it are labels (`region`, `traffic_type`)."""
    words = name_words(name)
    return bool(words) and words[-1] in _CODE_WORDS | _ID_WORDS - _COUNT_WORDS


def says_time(name: str) -> bool:
    """Whether a column name speaks of a date."""
    words = name_words(name)
    return bool(words) and (words[-1] in _TIME_WORDS or words[0] in _TIME_WORDS or words[-1] == "at")


def truth_labels(labels: Sequence[str]) -> tuple[str, str] | None:
    """(false, true) as spelt, if the two labels are a known pair of truth words in one letter case; else None."""
    if len(labels) != 2:
        return None
    plain = {label.strip().lower(): label for label in labels}
    for false, true in _TRUTH:
        if set(plain) == {false, true}:
            return plain[false], plain[true]
    return None


def truth_value(label: str) -> bool | None:
    """What a truth word says by itself, in any letter case; None: it is none."""
    word = label.strip().lower()
    if any(word == false for false, _ in _TRUTH):
        return False
    return True if any(word == true for _, true in _TRUTH) else None


def scale_order(labels: Iterable[str]) -> tuple[str, ...] | None:
    """The labels in the order of a scale everybody knows (low/medium/high, I/II/III, 18-24/25-34/65+); else None."""
    labels = list(labels)
    plain = {re.sub(r"[\s_-]+", " ", label.strip().lower()): label for label in labels}
    if len(plain) != len(labels) or len(labels) < 2:
        return None
    for scale in _SCALES:
        place = {word: k for k, words in enumerate(scale) for word in words}
        ranks = [place.get(word, -1) for word in plain]
        enough = len(labels) >= 3 or set(plain) == {"low", "high"}
        if enough and min(ranks) >= 0 and len(set(ranks)) == len(ranks):
            return tuple(label for _, label in sorted(zip(ranks, plain.values(), strict=True)))
    return _range_order(labels)


def _range_order(labels: list[str]) -> tuple[str, ...] | None:
    if len(labels) < 3:
        return None
    spans = []
    for label in labels:
        match = _RANGE.fullmatch(label.strip().lower())
        if not match:
            return None
        low, high, below, above, plus = match.groups()
        if low is not None:
            spans.append((float(low), float(high), label))
        elif below is not None:
            spans.append((float("-inf"), float(below), label))
        else:
            spans.append((float(above or plus), float("inf"), label))
    spans.sort()
    ascending = all(low <= high for low, high, _ in spans)
    apart = all(left[1] <= right[0] for left, right in pairwise(spans))
    return tuple(label for _, _, label in spans) if ascending and apart else None
