"""Draw docs/images/report.png, the README's picture: three pages of a report beside each other.

    make run
    python docs/picture.py results/gbsg2/report.pdf 1 5 8

The numbers are the pages to show (verdict, columns, privacy). Needs pdftoppm (Poppler) and Pillow.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from PIL import Image, ImageDraw

TARGET = Path(__file__).parent / "images" / "report.png"
GAP, WIDTH, SHOWN = 24, 1700, 0.93  # pixels, pixels, share of each page's height (the foot is left out)


def page(pdf: str, number: int) -> Image.Image:
    """One page of a PDF at 96 dots per inch."""
    command = ["pdftoppm", "-r", "96", "-png", "-f", str(number), "-l", str(number), pdf]
    drawn = subprocess.run(command, capture_output=True, check=True)  # noqa: S603
    return Image.open(io.BytesIO(drawn.stdout)).convert("RGB")


def main(pdf: str, *numbers: str) -> None:
    """Draw the picture."""
    pages = [page(pdf, int(number)) for number in numbers]
    width, height = pages[0].width, int(pages[0].height * SHOWN)
    sheet = Image.new("RGB", ((width + GAP) * len(pages) + GAP, height + 2 * GAP), "#e9ecef")
    pen = ImageDraw.Draw(sheet)
    for place, one in enumerate(pages):
        left = GAP + place * (width + GAP)
        sheet.paste(one.crop((0, 0, width, height)), (left, GAP))
        pen.rectangle((left, GAP, left + width - 1, GAP + height - 1), outline="#c9cfd6")
    small = sheet.resize((WIDTH, sheet.height * WIDTH // sheet.width), Image.Resampling.LANCZOS)
    colours = small.quantize(256, method=Image.Quantize.FASTOCTREE, kmeans=8, dither=Image.Dither.NONE)
    colours.save(TARGET, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
