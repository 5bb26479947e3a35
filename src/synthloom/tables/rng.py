"""Named streams of randomness: each purpose has its own, so that one more draw here changes nothing there."""

from __future__ import annotations

import hashlib

import numpy as np

from synthloom.domain.errors import UsageError


def child(seed: int, *names: str | int) -> np.random.Generator:
    """The random generator of a purpose, always the same for the same seed and names, on every machine.

    Args:
        seed: 0 or more.
        names: The purpose, such as ("attempt", 1, "fit"); 1 and "1" are different names.

    Raises:
        UsageError: The seed is negative.
    """
    if seed < 0:
        raise UsageError(f"the seed is {seed}.", do="Give a seed of 0 or more.")
    text = "\0".join(f"{type(name).__name__}:{name}" for name in names)
    words = np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype="<u4")
    return np.random.default_rng([int(seed), *words.tolist()])
