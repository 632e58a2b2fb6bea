"""Draws the two icons of the Teams app from their SVG: `.venv/bin/python manifest/icons.py`."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
# Sizes that Teams demands (docs: microsoftteams/platform/concepts/build-and-test/apps-package).
SIZES = {"color": 192, "outline": 32}
_BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def draw() -> None:
    """Write color.png and outline.png; what a drawing leaves open stays transparent."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_BROWSER)
        for name, size in SIZES.items():
            page = browser.new_page(viewport={"width": size, "height": size})
            drawing = (HERE / f"{name}.svg").read_text("utf-8")
            page.set_content(
                f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{drawing}"
            )
            page.screenshot(path=HERE / f"{name}.png", omit_background=True)
        browser.close()


if __name__ == "__main__":
    draw()
