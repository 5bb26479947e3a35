"""The shop on SQLite and on PostgreSQL, with a worker inside or without."""

from __future__ import annotations

import os

import pytest
from child_for_tests import Odd
from shop_for_tests import HERE, Inside, Shop, settings_for

from synthloom import registry


@pytest.fixture(scope="module", autouse=True)
def _path():
    """Children find these tests' modules."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parent)])
    yield
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module", autouse=True)
def _odd():
    """The tests' method is asked for here, too; not by tests of other folders."""
    registry._found().methods["odd"] = Odd
    yield
    del registry._found().methods["odd"]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shop(request, tmp_path_factory):
    """A shop with a worker inside, that a module's tests share."""
    url = None
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").new_database()
    made = Shop(settings_for(tmp_path_factory.mktemp("shop"), url, worker_warm=True))
    with Inside(made):
        yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_shop(request, tmp_path):
    """A shop without a worker."""
    url = request.getfixturevalue("postgres_database") if request.param == "postgres" else None
    made = Shop(settings_for(tmp_path, url))
    yield made
    made.close()
