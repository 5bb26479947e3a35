"""Fresh identifiers: shaped like those of the table, never one of them, without keeping any of them.

A pattern's space is disjoint from the values it was inferred from by construction: a sequence starts above the
largest number, a UUID carries a version digit that no value carries, and every value drawn from a template starts
with characters that no value starts with (or, for e-mail and web addresses, ends in a domain that no value ends in).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synthloom.domain.errors import TableError
from synthloom.domain.schema import IdentifierPattern
from synthloom.tables.cells import Texts, matches, some, text_cells, to_bool

UUID = r"\{?[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}\}?"
EMAIL = r"[^@\s]+@[^@\s]+\.[^@\s]+"
URL = r"https?://\S+"
_CLASSES = {"9": "0123456789", "A": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "a": "abcdefghijklmnopqrstuvwxyz"}
_DOMAINS = ("example.org", "example.com", "example.net", "synthetic.example", "twin.example")
_VERSIONS = "48579136abcdef02"
_LARGEST_SEQUENCE = 2**62


def infer_pattern(values: pd.Series) -> IdentifierPattern:
    """How to make fresh identifiers that look like `values` and are none of them.

    Args:
        values: One column of identifiers, missing cells included or not; turned to text cell by cell.

    Returns:
        A pattern whose space is disjoint from `values`. It holds no value: at most the characters all values share
        and a start that no value has.
    """
    filled = values.dropna()
    return pattern_of(text_cells(filled if filled.dtype != object else filled.map(str)).texts)


def pattern_of(texts: Texts) -> IdentifierPattern:
    """`infer_pattern` of distinct texts."""
    if len(texts) == 0:
        return IdentifierPattern()
    if matches(texts, UUID).all():
        return _uuid_pattern(texts)
    if matches(texts, EMAIL).mean() > 0.95:
        return IdentifierPattern(style="pattern", template=f"aaaaaaaa@{escape(_unseen_domain(texts))}")
    if matches(texts, URL).mean() > 0.95:
        return _url_pattern(texts)
    return _sequence(texts) or _template(texts)


def pattern_of_whole(values: np.ndarray) -> IdentifierPattern:
    """A sequence of whole numbers that are none of `values` (int64, at least one)."""
    largest = int(values.max())
    if largest < _LARGEST_SEQUENCE:
        return IdentifierPattern(style="sequence", start=_round_above(largest))
    ordered = np.unique(np.append(values, 0))
    ordered = ordered[ordered >= 0]
    widest = int(np.argmax(np.diff(ordered)))
    return IdentifierPattern(style="sequence", start=int(ordered[widest]) + 1)


def _round_above(largest: int) -> int:
    """A round number above the largest, so that the sequence does not tell it: two leading digits, then zeros."""
    unit: int = 10 ** max(len(str(max(largest, 0))) - 2, 1)
    return max((largest // unit + 1) * unit, 1) + 1


def _uuid_pattern(texts: Texts) -> IdentifierPattern:
    """A version digit (the 13th hexadecimal digit) that no value has; the template keeps the way of writing."""
    plain = pc.replace_substring_regex(pc.utf8_lower(texts), r"[-{}]", "")
    seen = set(pc.unique(pc.utf8_slice_codeunits(plain, 12, 13)).to_pylist())
    free = [v for v in _VERSIONS if v not in seen]
    if not free:
        return _template(texts)
    flags = [f"version={free[0]}"]
    if to_bool(pc.match_substring_regex(texts, "[A-F]")).any():
        flags.append("upper")
    if not to_bool(pc.match_substring(texts, "-")).any():
        flags.append("plain")
    if to_bool(pc.starts_with(texts, "{")).all():
        flags.append("braces")
    return IdentifierPattern(style="uuid", template=" ".join(flags))


def _unseen_domain(texts: Texts) -> str:
    lower = pc.utf8_lower(texts)
    for domain in _DOMAINS:
        if not to_bool(pc.match_substring(lower, domain)).any():
            return domain
    number = 1
    while to_bool(pc.match_substring(lower, f"twin{number}.example")).any():
        number += 1
    return f"twin{number}.example"


def _url_pattern(texts: Texts) -> IdentifierPattern:
    scheme = "https://" if to_bool(pc.starts_with(texts, "https")).any() else "http://"
    return IdentifierPattern(style="pattern", template=f"{escape(scheme + _unseen_domain(texts))}/aaaaaaaa")


def _sequence(texts: Texts) -> IdentifierPattern | None:
    """A shared prefix followed by a whole number: counts on from the largest."""
    first = texts[0].as_py()
    prefix = first.rstrip("0123456789") if first[-1:].isdigit() else None
    if prefix is None or len(first) - len(prefix) > 18 or not to_bool(pc.starts_with(texts, prefix)).all():
        return None
    digits = pc.utf8_slice_codeunits(texts, len(prefix), None)
    if not matches(digits, r"[0-9]{1,18}").all():
        return None
    largest = int(pc.max(pc.cast(digits, pa.int64())).as_py())
    lengths = set(pc.unique(pc.binary_length(digits)).to_pylist())
    padded = to_bool(pc.match_substring_regex(digits, "^0[0-9]")).any()
    width = max(lengths) if padded else 0
    if largest >= _LARGEST_SEQUENCE:
        return None
    return IdentifierPattern(style="sequence", start=_round_above(largest), width=width, prefix=prefix)


def shape_of(text: str) -> str:
    """A text's template: digits become 9, letters A or a, the rest stays (escaped where it must be)."""
    out = []
    for char in text:
        if char.isascii() and char.isdigit():
            out.append("9")
        elif char.isalpha():
            out.append("A" if char.isupper() else "a")
        else:
            out.append("\\\\" if char == "\\" else char)
    return "".join(out)


def _template(texts: Texts) -> IdentifierPattern:
    """The most frequent shape, with a start that no value has."""
    hexadecimal = matches(texts, r"[0-9a-f]{12,}|[0-9A-F]{12,}").all()
    sample = some(texts, 1000)
    shape = Counter(map(shape_of, sample)).most_common(1)[0][0]
    common = _shared_start(texts)
    tokens = tokenize(shape)
    if hexadecimal:
        tokens = [("9", _CLASSES["9"])] * len(sample[0])
    tokens = [("\\" + char, char) for char in common] + tokens[len(common) :]
    free = [k for k, (_, choices) in enumerate(tokens) if len(choices) > 1]
    if len(free) < 2:
        tokens += [("9", _CLASSES["9"])] * 6
        free = [k for k, (_, choices) in enumerate(tokens) if len(choices) > 1]
    for position in free:
        start = _unseen_start(texts, [choices for _, choices in tokens[: position + 1]])
        if start is not None:
            rest = "".join(code for code, _ in tokens[position + 1 :])
            return IdentifierPattern(style="pattern", template=escape(start) + rest)
    longest = int(pc.max(pc.utf8_length(texts)).as_py())
    return IdentifierPattern(style="pattern", template="9" * (longest + 1))


def _shared_start(texts: Texts) -> str:
    """The characters before the first digit, when all values share them ("INV-" of "INV-2020-1")."""
    first = texts[0].as_py()
    low, high = 0, min(len(first), 32)
    while low < high:
        middle = (low + high + 1) // 2
        if to_bool(pc.starts_with(texts, first[:middle])).all():
            low = middle
        else:
            high = middle - 1
    shared = first[:low]
    while shared and shared[-1].isdigit():
        shared = shared[:-1]
    return shared if len(texts) > 1 else ""


def _unseen_start(texts: Texts, choices: list[str]) -> str | None:
    """A start made of one character out of each of `choices` that no text begins with, or None when all are taken."""
    length = len(choices)
    taken = set(pc.unique(pc.utf8_slice_codeunits(texts, 0, length)).to_pylist())
    total = int(np.prod([float(len(c)) for c in choices]))
    if total > 50 * (len(taken) + 1):  # plenty are free: a fixed walk finds one soon
        step = 0
        while True:
            start = _nth([(c, c) for c in choices], (step * 7919 + 4) % total)
            if start not in taken:
                return start
            step += 1
    for number in range(total - 1, -1, -1):
        start = _nth([(c, c) for c in choices], number)
        if start not in taken:
            return start
    return None


def _nth(tokens: list[tuple[str, str]], number: int) -> str:
    out = []
    for _, choices in reversed(tokens):
        number, place = divmod(number, len(choices))
        out.append(choices[place])
    return "".join(reversed(out))


def escape(text: str) -> str:
    """Literal text as a template."""
    return "".join("\\" + char if char in "9Aa\\" else char for char in text)


def tokenize(template: str) -> list[tuple[str, str]]:
    """A template as (code, characters it stands for) per position."""
    out, k = [], 0
    while k < len(template):
        char = template[k]
        if char == "\\" and k + 1 < len(template):
            out.append((template[k : k + 2], template[k + 1]))
            k += 2
            continue
        out.append((char, _CLASSES.get(char, char)))
        k += 1
    return out


def fresh(pattern: IdentifierPattern, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` distinct identifiers out of a pattern's space.

    Args:
        pattern: From `infer_pattern`.
        n: How many.
        rng: Source of randomness; a sequence uses none.

    Returns:
        Object array of str, shape (n,), all different. Where the template has room for fewer than `n`, digits are
        added at its end.
    """
    if pattern.style == "sequence":
        numbers = np.arange(pattern.start, pattern.start + n).astype(str).astype(object)
        padded = np.char.zfill(numbers.astype(str), pattern.width) if pattern.width and n else numbers
        return np.asarray(pattern.prefix + padded.astype(object), dtype=object)
    if pattern.style == "uuid":
        return _fresh_uuids(pattern.template.split(), n, rng)
    return _fresh_texts(pattern.template, n, rng)


def _fresh_uuids(flags: list[str], n: int, rng: np.random.Generator) -> np.ndarray:
    version = next((f.removeprefix("version=") for f in flags if f.startswith("version=")), "4")
    digits = np.array(list("0123456789abcdef"))[rng.integers(0, 16, size=(n, 32))]
    digits[:, 12] = version
    digits[:, 16] = np.array(list("89ab"))[rng.integers(0, 4, size=n)]
    if "upper" in flags:
        digits = np.char.upper(digits)
    plain = digits.view("U32")[:, 0] if n else np.empty(0, "U32")
    if "plain" not in flags:
        cuts = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
        parts = [np.ascontiguousarray(digits[:, a:b]).view(f"U{b - a}")[:, 0] for a, b in cuts] if n else [plain]
        plain = parts[0]
        for part in parts[1:]:
            plain = np.char.add(np.char.add(plain, "-"), part)
    words = plain.astype(object)
    return np.asarray("{" + words + "}" if "braces" in flags else words, dtype=object)


def _fresh_texts(template: str, n: int, rng: np.random.Generator) -> np.ndarray:
    tokens = tokenize(template)
    sizes = [len(choices) for _, choices in tokens]
    while np.prod(np.array(sizes, dtype=float)) < n:
        tokens.append(("9", _CLASSES["9"]))
        sizes.append(10)
    places = _distinct_places(sizes, n, rng)
    columns: list[Any] = [np.array(list(choices))[places[:, k]] for k, (_, choices) in enumerate(tokens)]
    letters = np.column_stack(columns) if n else np.empty((0, len(tokens)), "U1")
    if not len(tokens) or not n:
        return np.array([""] * n, dtype=object)
    return np.ascontiguousarray(letters).view(f"U{len(tokens)}")[:, 0].astype(object)


def _distinct_places(sizes: list[int], n: int, rng: np.random.Generator) -> np.ndarray:
    """n different rows of places below `sizes`, shape (n, len(sizes))."""
    room = float(np.prod(np.array(sizes, dtype=float)))
    if room < 2**62:
        numbers = _distinct_numbers(int(np.prod(np.array(sizes, dtype="int64"))), n, rng)
        places = np.empty((n, len(sizes)), dtype="int64")
        for k in range(len(sizes) - 1, -1, -1):
            numbers, places[:, k] = np.divmod(numbers, sizes[k])
        return places
    places = np.column_stack([rng.integers(0, size, size=n) for size in sizes])
    while len(np.unique(places, axis=0)) < n:  # about one chance in 2**62 / n²
        places = np.column_stack([rng.integers(0, size, size=n) for size in sizes])
    return places


def _distinct_numbers(room: int, n: int, rng: np.random.Generator) -> np.ndarray:
    if n > room:
        raise TableError(f"the identifier pattern has room for {room} values, not {n}.")
    if room <= 4 * n or room < 100_000:
        return rng.permutation(room)[:n]
    numbers = np.unique(rng.integers(0, room, size=n + n // 8 + 16))
    while len(numbers) < n:
        numbers = np.unique(np.concatenate([numbers, rng.integers(0, room, size=n)]))
    return rng.permutation(numbers)[:n]
