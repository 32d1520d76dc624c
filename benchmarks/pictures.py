"""What pictures of figures share: colours that are readable in light and dark, text, lines."""

from collections.abc import Sequence

SERIES = ("first", "second", "third")
"""Classes of the lines, by their place; `-fill` behind one is its colour as a filling."""

STYLE = """
    .paper { fill: #fbfbf9; stroke: #d8d8d2; }
    .grid { stroke: #e4e4de; } .axis { stroke: #8a8a84; } .filling { fill: #cfcfc8; }
    text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24241f; }
    .title { font-size: 14px; font-weight: 600; } .small { fill: #5c5c55; }
    .fixed { stroke: #8a8a84; stroke-dasharray: 5 4; } .leader { stroke: #8a8a84; fill: none; }
    .line { fill: none; stroke-width: 2.5; } .curve { fill: none; stroke-width: 1; opacity: .6; }
    .adapting { fill: none; stroke-width: 1.5; stroke-dasharray: 2 3; }
    .ring { stroke-width: 1.5; fill: none; } .range { stroke-width: 1.5; fill: none; opacity: .7; }
    .first { stroke: #2e7d4f; } .first-fill { fill: #2e7d4f; }
    .second { stroke: #b3541e; } .second-fill { fill: #b3541e; }
    .third { stroke: #3b6fb5; } .third-fill { fill: #3b6fb5; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #191b1f; stroke: #34373d; }
      .grid { stroke: #2a2d33; } .axis { stroke: #7d828b; } .filling { fill: #454a52; }
      text { fill: #ececea; } .small { fill: #b3b6bb; }
      .fixed, .leader { stroke: #7d828b; }
      .first { stroke: #6cc492; } .first-fill { fill: #6cc492; }
      .second { stroke: #ee9a63; } .second-fill { fill: #ee9a63; }
      .third { stroke: #6ea0e0; } .third-fill { fill: #6ea0e0; }
    }"""


def drawing(width: float, height: float, *, title: str, description: str, content: Sequence[str]) -> str:
    """Return an SVG document: a sheet, and title and description for those who cannot see it."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
            f'     width="{width}" height="{height}" role="img" aria-labelledby="title description">',
            f'  <title id="title">{title}</title>',
            f'  <desc id="description">{description}.</desc>',
            f"  <style>{STYLE}\n  </style>",
            f'  <rect class="paper" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="10"/>',
            *content,
            "</svg>\n",
        ]
    )


def key(x: float, y: float, series: str, name: str) -> list[str]:
    """Return a legend's entry: a piece of the line with a point on it, and its name."""
    return [
        f'  <path class="line {series}" d="M{x:.0f} {y:.0f}h26"/>',
        f'  <circle class="{series}-fill" cx="{x + 13:.0f}" cy="{y:.0f}" r="4"/>',
        f'  <text x="{x + 34:.0f}" y="{y + 4:.0f}">{name}</text>',
    ]


def small_text(x: float, y: float, text: str, anchor: str) -> str:
    """Return a label; `anchor` is start, middle or end."""
    return f'  <text class="small" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def path_of(places: Sequence[tuple[float, float]]) -> str:
    """Return the `d` of a line through these places; a line of nothing where there are none."""
    return "M" + "L".join([f"{x:.1f} {y:.1f}" for x, y in places] or ["0 0"])
