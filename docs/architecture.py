"""Draw docs/images/architecture.svg from the code's own imports.

    python -m docs.architecture

A box is a folder (`app` is app.py with bot/opening.py), an arrow an import. An arrow that follows
from others is left out, and so are modules beside the folders, such as bot/errors.py. How high a
box stands follows from the imports; only its column is chosen here. A test draws it again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = Path(__file__).parent / "images" / "architecture.svg"

# Each box: its column, its colour, and what it is for. Colours stand out from light and from dark.
BOXES = {
    "app": (3.5, "#5b5f97", "puts it together"),
    "dialogs": (1, "#2a7f9e", "words and clicks"),
    "desk": (1, "#2a7f9e", "use cases"),
    "cards": (0, "#2a7f9e", "Adaptive Cards"),
    "teams": (2, "#a3582e", "Teams, both ways"),
    "webhook": (3, "#a3582e", "incidents posted"),
    "azure": (4, "#a3582e", "Sentinel, model, store"),
    "kusto": (5, "#a3582e", "checks queries"),
    "local": (6, "#a3582e", "SQLite"),
    "sandbox": (7, "#6b7280", "doubles to try it"),
    "ports": (3, "#3b7d4f", "what is asked of them"),
    "prompts": (1, "#3b7d4f", "texts, as data"),
    "domain": (3, "#3b7d4f", "values, pure functions"),
}
_STEP, _HIGH, _WIDE, _TALL, _EDGE = 146, 128, 134, 54, 8


def box_of(module: str) -> str | None:
    """The box that a module is drawn in, if any."""
    names = module.split(".")
    if names[0] == "app" or names[:2] == ["bot", "opening"]:
        return "app"
    name = names[1] if names[0] == "bot" and len(names) > 1 else names[0]
    return name if name in BOXES else None


def imported(path: Path) -> Iterator[str]:
    """Every module that a file of ours imports, by its full name."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = [*above, *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def imports() -> dict[str, set[str]]:
    """Which boxes each box imports."""
    found: dict[str, set[str]] = {box: set() for box in BOXES}
    folders = ("bot", "dialogs", "prompts", "sandbox")
    for path in [
        ROOT / "app.py",
        *(each for name in folders for each in (ROOT / name).rglob("*.py")),
    ]:
        source = box_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if source:
            targets = {box for module in imported(path) if (box := box_of(module))}
            found[source] |= targets - {source}
    return found


def reached(box: str, arrows: Mapping[str, set[str]]) -> set[str]:
    """All boxes that lie below one."""
    return {below for near in arrows[box] for below in {near} | reached(near, arrows)}


def reduced(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that do not follow from others."""
    return {
        box: near - {far for between in near for far in reached(between, arrows)}
        for box, near in arrows.items()
    }


def level(box: str, arrows: Mapping[str, set[str]]) -> int:
    """How many boxes lie on the longest way down from this one."""
    return max((1 + level(below, arrows) for below in arrows[box]), default=0)


def draw() -> str:
    """The picture as SVG."""
    arrows = reduced(imports())
    top = level("app", arrows)
    left = {box: _EDGE + column * _STEP for box, (column, _, _) in BOXES.items()}
    above = {box: _EDGE + (top - level(box, arrows)) * _HIGH for box in BOXES}
    width, height = _EDGE * 2 + 7 * _STEP + _WIDE, _EDGE * 2 + top * _HIGH + _TALL
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        ' font-family="system-ui, sans-serif" text-anchor="middle">',
        "<title>Casemate's parts, and which of them import which</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#8a93a3"/></marker></defs>',
    ]
    for box in BOXES:
        for below in sorted(arrows[box], key=list(BOXES).index):
            x1, y1 = left[box] + _WIDE / 2, above[box] + _TALL
            x2, y2 = left[below] + _WIDE / 2, above[below] - 2
            # Over to its column at once, then straight down: so it passes beside the boxes between.
            y3 = y1 + _HIGH - _TALL - 12
            lines.append(
                f'<path d="M{x1:g} {y1}C{x1:g} {y1 + 45} {x2:g} {y3 - 45} {x2:g} {y3}V{y2}"'
                ' fill="none" stroke="#8a93a3" stroke-width="1.6" marker-end="url(#tip)"/>'
            )
    for box, (_, colour, purpose) in BOXES.items():
        x, y = left[box], above[box]
        lines += [
            f'<rect x="{x:g}" y="{y}" width="{_WIDE}" height="{_TALL}" rx="8" fill="{colour}"/>',
            f'<text x="{x + _WIDE / 2:g}" y="{y + 23}" font-size="16" font-weight="600"'
            f' fill="#fff">{box}</text>',
            f'<text x="{x + _WIDE / 2:g}" y="{y + 42}" font-size="11" fill="#fff">{purpose}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    OUT.write_text(draw(), "utf-8")
