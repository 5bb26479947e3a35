"""The page's style sheets, scripts and pictures."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

TYPES = {
    ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@cache
def assets() -> dict[str, bytes]:
    """The files under static/, and the colours of charts on dark screens, which are the report's."""
    from synthloom.reports.heatmaps import dark_cells_css

    folder = files("synthloom.http.page").joinpath("static")
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.name[path.name.rfind("."):] in TYPES}
    charts = files("synthloom.reports").joinpath("templates", "charts_dark.css").read_text(encoding="utf-8")
    dark = f"@media screen and (prefers-color-scheme: dark) {{\n{charts}{dark_cells_css()} }}\n"
    return found | {"charts-dark.css": dark.encode()}


@cache
def asset_version() -> str:
    """Changes with every asset: browsers may keep them for good."""
    digest = hashlib.sha256()
    for _, content in sorted(assets().items()):
        digest.update(content)
    return digest.hexdigest()[:12]
