"""What the page brings along."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path

from synthloom.http.page.assets import assets
from synthloom.http.page.look import environment

DOCS = Path(__file__).parents[2] / "docs"


def test_htmx_is_the_one_whose_checksum_is_written_down() -> None:
    page = (DOCS / "web-page.md").read_text(encoding="utf-8")
    found = re.search(r"^([0-9a-f]{64})  (htmx-[0-9.]+\.min\.js)$", page, re.MULTILINE)
    assert found is not None
    assert hashlib.sha256(assets()[found[2]]).hexdigest() == found[1]
    assert b"Zero-Clause BSD" in assets()["htmx-LICENSE.txt"]


def test_templates_hold_no_script_and_no_style_of_their_own() -> None:
    folder = files("synthloom.http.page").joinpath("templates")
    names = [path.name for path in folder.iterdir()]
    assert len(names) > 10
    for name in names:
        environment().get_template(name)
        text = folder.joinpath(name).read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|hx-on|javascript:", text), name
        assert "http://" not in text.replace("http://www.w3.org", ""), name
        assert "https://" not in text, name
        assert "|safe" not in text, name


def test_everything_that_templates_name_is_there() -> None:
    folder = files("synthloom.http.page").joinpath("templates")
    for path in folder.iterdir():
        for name in re.findall(r'/static/([^"?]+)', path.read_text(encoding="utf-8")):
            assert name in assets(), name
