"""A package that is put off is loaded by the first look into it, once, and is then the package itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

SHOUT = "import sys; sys.loads = getattr(sys, 'loads', 0) + 1\n"


def said(code: str, tmp_path: str) -> str:
    """What a process of its own prints, with a package `big` that counts how often it is loaded."""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path):
    package = tmp_path / "big"
    package.mkdir()
    (package / "__init__.py").write_text(
        f"{SHOUT}import time; time.sleep(.1)\nimport big.part\nfrom big.part import thing\n"
    )
    (package / "part.py").write_text("thing = 7\n")
    (tmp_path / "broken.py").write_text("import sys\nif not hasattr(sys, 'mended'): raise ValueError('no')\nx = 1\n")
    return tmp_path


def test_importing_loads_nothing_and_looking_loads_once(folder):
    code = """
import sys, threading
from synthloom.service.later import put_off
put_off("big"); put_off("no_such_package")
import big
before = getattr(sys, "loads", 0)
found = []
threads = [threading.Thread(target=lambda: found.append(big.thing)) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
import big as again
print(before, found, sys.loads, again.part.thing, "no_such_package" in sys.modules)
put_off("big")
import big as third
print(third is again)
"""
    assert said(code, folder) == "0 [7, 7, 7, 7, 7, 7, 7, 7] 1 7 False\nTrue"


def test_parts_of_it_and_names_out_of_it_can_be_imported(folder):
    code = """
import sys
from synthloom.service.later import put_off
put_off("big")
import big.part
from big import thing
print(big.part.thing, thing, sys.loads)
"""
    assert said(code, folder) == "7 7 1"


def test_a_package_that_breaks_breaks_where_it_is_looked_into_and_may_be_tried_again(folder):
    code = """
import sys
from synthloom.service.later import put_off
put_off("broken")
import broken
try:
    broken.x
except ValueError as error:
    print(error)
sys.mended = True
print(broken.x)
"""
    assert said(code, folder) == "no\n1"
