"""What every conformance suite is made of: promises, each with the test that it is kept, and holding to all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from synthloom.domain.errors import ContractError

Ground = TypeVar("Ground")
C = TypeVar("C")


class Broken(Exception):  # noqa: N818  # it never leaves the suite
    """A promise that was not kept; says what was found."""


def expect(kept: object, found: str) -> None:
    """Say what was found unless the promise was kept."""
    if not kept:
        raise Broken(found)


class Promises(Generic[Ground, C]):
    """Promises in the order they are tested; a decorator that takes the promise adds a test.

    Args:
        make: Makes a check of a name, a promise and a test, which is given what it tests.
    """

    def __init__(self, make: Callable[[str, str, Callable[[Ground], None]], C]) -> None:
        self._make = make
        self.checks: list[C] = []

    def __call__(self, promise: str) -> Callable[[Callable[[Ground], None]], Callable[[Ground], None]]:
        """Add the decorated test of a promise, one sentence."""
        def keep(test: Callable[[Ground], None]) -> Callable[[Ground], None]:
            self.checks.append(self._make(test.__name__.strip("_"), promise, test))
            return test

        return keep


def hold(checks: Sequence[C], run: Callable[[C], None]) -> None:
    """Run all checks.

    Raises:
        ContractError: names every promise that is not kept, with what was found.
    """
    broken = []
    for check in checks:
        try:
            run(check)
        except ContractError as error:
            broken.append(error.text())
    if broken:
        raise ContractError(f"{len(broken)} of {len(checks)} promises are not kept:\n" + "\n".join(broken))
