"""The house, drawn from its imports: who imports whom, how often, and how much code each room holds.

Rooms and their order are import-linter's layers (pyproject.toml), the imports those that grimp finds in the
code. A row imports a column; layers go down, so every mark lies right of the diagonal, and one on its left
would be a way that turns back. `make map` writes the picture that docs/architecture.md shows.
"""

import argparse
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from pathlib import Path

import grimp

from benchmarks.pictures import drawing, small_text

ROOT = Path(__file__).parent.parent
PACKAGES = ("app", "bitlm")
CELL, LEFT, TOP, LINES, MARGIN = 21, 150, 110, 160, 18
LINES_PER_PX = 45


@dataclass(frozen=True)
class Room:
    """A part of a package that import-linter gives a layer.

    Attributes:
        name: With its package, as imported.
        layer: Its layer's number, from the top; rooms side by side in one layer import nothing of each other.
        lines: Of code, comments and docstrings.
    """

    name: str
    layer: int
    lines: int

    @property
    def short(self) -> str:
        """The name without the package."""
        return self.name.split(".", 1)[1]


def rooms(root: Path = ROOT) -> list[Room]:
    """Return the rooms from the top layer to the lowest, `app`'s first."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layered = {one["containers"][0]: one["layers"] for one in contracts if one["type"] == "layers"}
    places = [(package, layer) for package in PACKAGES for layer in layered[package]]
    return [
        Room(f"{package}.{name.strip()}", number, _lines(root / package / name.strip()))
        for number, (package, layer) in enumerate(places)
        for name in layer.split("|")
    ]


def imports(of: Sequence[Room]) -> Counter[tuple[str, str]]:
    """Return how many modules of one room are imported by modules of another, by (importer, imported).

    What a package's own `__init__` offers under its name is left out: that is the list of its public names.
    """
    graph = grimp.build_graph(*PACKAGES)
    room_of = {module: room.name for room in of for module in graph.modules if _is_in(module, room.name)}
    return Counter(
        (room_of[importer], room_of[imported])
        for importer in graph.modules & room_of.keys()
        for imported in graph.find_modules_directly_imported_by(importer) & room_of.keys()
        if room_of[importer] != room_of[imported]
    )


def picture(of: Sequence[Room], counts: Mapping[tuple[str, str], int]) -> str:
    """Return the matrix: a row a room, a column a room, a mark where the row imports the column."""
    place = {room.name: index for index, room in enumerate(of)}
    side = CELL * len(of)
    content = [*_bands(of, side), *_labels(of, side)]
    for (importer, imported), count in sorted(counts.items()):
        row, column = place[importer], place[imported]
        kind = "first" if importer.split(".")[0] == imported.split(".")[0] else "second"
        told = f"{importer} imports {imported}: {count}"
        content.append(
            f'  <circle class="{kind}-fill" cx="{_middle(LEFT, column):.1f}" cy="{_middle(TOP, row):.1f}" '
            f'r="{min(CELL / 2 - 1, 2 + 1.1 * sqrt(count)):.1f}"><title>{told}</title></circle>'
        )
    back = sum(place[importer] > place[imported] for importer, imported in counts)
    return drawing(
        LEFT + side + LINES + MARGIN,
        TOP + side + 3 * MARGIN,
        title="BitLM by its imports",
        description=f"{len(of)} rooms in layers; {len(counts)} pairs of which one imports the other, "
        f"{back} of them against the order of the layers",
        content=content,
    )


def _bands(of: Sequence[Room], side: int) -> list[str]:
    """Return lines between layers, the diagonal's cells, and a frame around each package."""
    drawn = [f'  <rect class="axis" fill="none" x="{LEFT}" y="{TOP}" width="{side}" height="{side}"/>']
    for index, (before, after) in enumerate(pairwise(of), start=1):
        if before.layer != after.layer:
            at = CELL * index
            kind = "grid" if _package(before) == _package(after) else "axis"
            drawn += [
                f'  <path class="{kind}" d="M{LEFT - 8} {TOP + at}h{side + 8}"/>',
                f'  <path class="{kind}" d="M{LEFT + at} {TOP - 8}v{side + 8}"/>',
            ]
    drawn += [
        f'  <rect class="filling" x="{LEFT + CELL * index + 1}" y="{TOP + CELL * index + 1}" '
        f'width="{CELL - 2}" height="{CELL - 2}" rx="3"/>'
        for index in range(len(of))
    ]
    return drawn


def _labels(of: Sequence[Room], side: int) -> list[str]:
    drawn = []
    for index, room in enumerate(of):
        across, down, length = _middle(LEFT, index), _middle(TOP, index), room.lines / LINES_PER_PX
        drawn += [
            f'  <text x="{LEFT - 10}" y="{down + 4:.1f}" text-anchor="end">{room.short}</text>',
            f'  <text transform="translate({across + 4:.1f} {TOP - 10}) rotate(-60)">{room.short}</text>',
            _bar(LEFT + side + 8, down - 5, length),
            small_text(LEFT + side + 14 + length, down + 4, f"{room.lines:,}", "start"),
        ]
    for package in PACKAGES:
        own = [index for index, room in enumerate(of) if _package(room) == package]
        middle = TOP + CELL * (own[0] + len(own) / 2)
        drawn.append(
            f'  <text class="title" text-anchor="middle" transform="translate(22 {middle:.1f}) rotate(-90)">'
            f"{package}</text>"
        )
    says = "A row imports a column: the larger the mark, the more modules; orange marks are app's of bitlm"
    drawn.append(small_text(LEFT, TOP + side + 26, says, "start"))
    drawn.append(small_text(LEFT + side + 8, TOP - 10, "lines", "start"))
    return drawn


def _bar(x: float, y: float, length: float) -> str:
    return f'  <rect class="filling" x="{x}" y="{y:.1f}" width="{length:.1f}" height="10" rx="2"/>'


def _lines(path: Path) -> int:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return sum(file.read_text(encoding="utf-8").count("\n") for file in files)


def _is_in(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def _package(room: Room) -> str:
    return room.name.split(".")[0]


def _middle(edge: int, index: int) -> float:
    return edge + CELL * (index + 0.5)


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "architecture.svg", metavar="SVG")
    options = parser.parse_args()
    found = rooms()
    options.output.write_text(picture(found, imports(found)), encoding="utf-8")
    print(f"{options.output}: {len(found)} rooms")


if __name__ == "__main__":
    main()
