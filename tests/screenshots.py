"""The pictures of results in the README, of reports/index.html and two figures: python -m tests.screenshots

Refuses a report that shows anybody who exists.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

from facerec import params
from facerec.catalog import entries
from facerec.core import FacerecError, atomic_file
from tests import browser

PAGE = Path("reports/index.html")
IMAGES = Path("docs/images")
SHOTS: dict[str, tuple[int, int, browser.Scheme, float]] = {
    "report_wide.png": (1600, 1400, "light", 1),
    "report_narrow.png": (390, 844, "dark", 2),
}
"""Name -> width, height, scheme and device pixels a pixel."""
FIGURES = {"roc.png": "verification_roc.png", "cmc.png": "synth_megaface_cmc.png"}
"""Name -> which of reports/figures it is."""


def main() -> None:
    executable = browser.find()
    if executable is None or not PAGE.is_file():
        raise FacerecError(f"It takes Chromium and {PAGE}: install chromium, run `dvc repro`.")
    real = [name for name in params.load_params().download if entries.load_entry(name).generator is None]
    if real:
        raise FacerecError(f"{PAGE} is about {', '.join(real)}; pictures for the README show rendered faces only.")
    with browser.launched(executable) as chromium:
        for name, (width, height, scheme, scale) in SHOTS.items():
            with browser.opened(chromium, PAGE, width, height, scheme, scale) as (page, _):
                write(page.screenshot(), IMAGES / name)
    for name, figure in FIGURES.items():
        write((PAGE.parent / "figures" / figure).read_bytes(), IMAGES / name)


def write(screenshot: bytes, path: Path) -> None:
    """Keep 256 colours, which these pages hardly exceed, and so a quarter of the bytes."""
    with Image.open(io.BytesIO(screenshot)) as picture:
        reduced = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    with atomic_file(path) as temporary:
        reduced.save(temporary, "png", optimize=True)


if __name__ == "__main__":
    try:
        main()
    except FacerecError as error:
        sys.exit(f"error: {error}")
