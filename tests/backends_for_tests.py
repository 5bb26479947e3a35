"""A real second interpreter that runs the tests' own host, as the backends synthcity and sdv."""

from __future__ import annotations

import site
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from synthloom.backends.sdv import Sdv
from synthloom.backends.specs import Limits
from synthloom.backends.synthcity import SynthCity
from synthloom.registry import Backends

NO_LIMITS = Limits()
HOST = Path(__file__).with_name("backend_host_for_tests.py")


@cache
def other_python() -> Path:
    """An environment of its own that borrows the packages of this one, but for Synthloom itself."""
    folder = Path(mkdtemp(prefix="synthloom-other-"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    return folder / "bin" / "python"


@cache
def city(limits: Limits = NO_LIMITS) -> SynthCity:
    return SynthCity(limits, python=other_python(), host=HOST)


@cache
def sdv(limits: Limits = NO_LIMITS) -> Sdv:
    return Sdv(limits, python=other_python(), host=HOST)


def desk(order: tuple[str, ...] = ("synthcity", "native", "sdv"), limits: Limits = NO_LIMITS, **more) -> Backends:
    return Backends(order=order, others={"synthcity": city(limits), "sdv": sdv(limits)}, **more)
