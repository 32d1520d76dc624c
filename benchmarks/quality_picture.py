"""The quality benchmark as a picture: SVG that is readable in light and dark, drawn from the kept figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log

from benchmarks.pictures import SERIES, drawing, key, path_of, small_text
from benchmarks.quality_record import MODELS, Figure

PANEL_WIDTH, PANEL_HEIGHT = 216, 300
LABEL_WIDTH, AXIS_WIDTH = 104, 36
TOP, BOTTOM, MARGIN = 118, 52, 12
LEGEND, LEGEND_LINE = 52, 17
EXPLAINED = (
    "bits per byte of held-out text, lower is better; points: finished runs,",
    "rings: the same while its counts adapt to the text, as the compressors' do,",
    "thin lines: estimates within the longest run",
)
LABEL_GAP = 15.0
TICKS = (1, 2, 5, 10, 20, 60)
CLASSES = dict(zip(MODELS, SERIES, strict=True))
ALSO_ON_TOP = 0.4
"""Bits per byte that a panel shows above its worst compressor."""


@dataclass(frozen=True)
class Scale:
    """Where minutes and bits per byte lie in a panel, whose upper left corner is (left, TOP).

    Attributes:
        left: The panel's left edge.
        first: Minutes at the left edge.
        last: Minutes at the right edge.
        least: Bits per byte at the lower edge.
        most: Bits per byte at the upper edge.
    """

    left: float
    first: float
    last: float
    least: float
    most: float

    @property
    def right(self) -> float:
        """The panel's right edge."""
        return self.left + PANEL_WIDTH

    def x(self, minutes: float) -> float:
        """Return where so many minutes are, on a logarithmic axis."""
        return self.left + PANEL_WIDTH * log(minutes / self.first) / log(self.last / self.first)

    def y(self, bits_per_byte: float) -> float:
        """Return where so many bits per byte are."""
        return TOP + PANEL_HEIGHT * (self.most - bits_per_byte) / (self.most - self.least)


def picture(figures: Sequence[Figure]) -> str:
    """Return one panel a corpus, side by side: budgets as points, compressors as lines across.

    Reference orders are left out; of several seeds the one measured last counts.
    """
    names = list(dict.fromkeys(figure.corpus for figure in figures))
    step = AXIS_WIDTH + PANEL_WIDTH + LABEL_WIDTH
    width, height = 2 * MARGIN + step * len(names), TOP + PANEL_HEIGHT + BOTTOM
    panels = [
        _panel([one for one in figures if one.corpus == name], MARGIN + AXIS_WIDTH + step * index, index)
        for index, name in enumerate(names)
    ]
    described = "; ".join(
        f"{one.corpus}, {one.side}, {_budget(one)}{one.bits_per_byte:.3f}{_adapting(one)}"
        for one in figures
        if _is_drawn(one)
    )
    return drawing(
        width,
        height,
        title="Bits per byte of held-out text after so many minutes",
        description=described,
        content=[*_legend(figures), *panels],
    )


def _budget(figure: Figure) -> str:
    return "" if figure.minutes is None else f"{figure.minutes:g} min: "


def _adapting(figure: Figure) -> str:
    adapting = figure.adapting_bits_per_byte
    return "" if adapting is None else f" ({adapting:.3f} adapting)"


def _is_drawn(figure: Figure) -> bool:
    return not figure.side.startswith("order ")


def _legend(figures: Sequence[Figure]) -> list[str]:
    there = {figure.side for figure in figures}
    lines, x = [], float(MARGIN + AXIS_WIDTH)
    for side in (side for side in MODELS if side in there):
        lines += key(x, 26, CLASSES[side], side)
        x += 34 + 7.2 * len(side) + 26
    lines += [
        small_text(MARGIN + AXIS_WIDTH, LEGEND + row * LEGEND_LINE, explained, "start")
        for row, explained in enumerate(EXPLAINED)
    ]
    return lines


def _panel(figures: Sequence[Figure], left: float, index: int) -> str:
    fixed = [one for one in figures if one.minutes is None and _is_drawn(one)]
    scale = _scale(figures, fixed, left)
    clip = f"panel-{index}"
    title = f"{figures[0].corpus}, {figures[0].corpus_bytes / 1e6:.1f} MB"
    lines = [
        f'  <clipPath id="{clip}">',
        f'    <rect x="{left:.1f}" y="{TOP - 6}" width="{PANEL_WIDTH + 6}" height="{PANEL_HEIGHT + 12}"/>',
        "  </clipPath>",
        f'  <text class="title" x="{left:.1f}" y="{TOP - 12}">{title}</text>',
        *_axes(scale),
        *_fixed_lines(fixed, scale),
        f'  <g clip-path="url(#{clip})">',
        *(line for side in reversed(MODELS) for line in _model_lines(figures, side, scale)),
        "  </g>",
    ]
    return "\n".join(lines)


def _scale(figures: Sequence[Figure], fixed: Sequence[Figure], left: float) -> Scale:
    budgets = [figure.minutes for figure in figures if figure.minutes is not None]
    values = [figure.bits_per_byte for figure in figures if _is_drawn(figure)]
    lowest = [one.adapting_bits_per_byte or one.bits_per_byte for one in figures if _is_drawn(one)]
    worst = max((one.bits_per_byte for one in fixed), default=max(values))
    most = ceil(10 * min(max(values), worst + ALSO_ON_TOP) + 0.5) / 10
    least = floor(10 * min(lowest) - 0.5) / 10
    first, last = min(budgets, default=1), max(budgets, default=60)
    return Scale(left, min(0.9, 0.9 * first), max(1.15 * last, 4 * first), least, most)


def _axes(scale: Scale) -> list[str]:
    base = TOP + PANEL_HEIGHT
    lines = []
    every = 0.2 if scale.most - scale.least < 2 else 0.5
    for number in range(ceil(scale.least / every), floor(scale.most / every) + 1):
        y = scale.y(number * every)
        lines += [
            f'  <path class="grid" d="M{scale.left:.1f} {y:.1f}H{scale.right:.1f}"/>',
            small_text(scale.left - 6, y + 4, f"{number * every:.1f}", "end"),
        ]
    for minutes in (tick for tick in TICKS if scale.first <= tick <= scale.last):
        x = scale.x(minutes)
        lines += [
            f'  <path class="grid" d="M{x:.1f} {TOP}V{base + 4}"/>',
            small_text(x, base + 18, str(minutes), "middle"),
        ]
    middle = scale.left + PANEL_WIDTH / 2
    return [
        *lines,
        f'  <path class="axis" d="M{scale.left:.1f} {base}H{scale.right:.1f}"/>',
        small_text(middle, base + 36, "minutes of training", "middle"),
    ]


def _fixed_lines(fixed: Sequence[Figure], scale: Scale) -> list[str]:
    """Return the compressors: a line across for each, and beside it a label clear of the others."""
    lines = []
    ordered = sorted(fixed, key=lambda one: -one.bits_per_byte)
    heights = spread([scale.y(one.bits_per_byte) for one in ordered], LABEL_GAP, TOP + PANEL_HEIGHT)
    for one, label in zip(ordered, heights, strict=True):
        y = scale.y(one.bits_per_byte)
        name = one.side.replace(" order ", "-")
        lines += [
            f'  <path class="fixed" d="M{scale.left:.1f} {y:.1f}H{scale.right:.1f}"/>',
            f'  <path class="leader" d="M{scale.right:.1f} {y:.1f}L{scale.right + 8:.1f} {label:.1f}"/>',
            small_text(scale.right + 12, label + 4, f"{name} {one.bits_per_byte:.2f}", "start"),
        ]
    return lines


def _model_lines(figures: Sequence[Figure], side: str, scale: Scale) -> list[str]:
    """Return a model's budgets as points on a line, and the estimates within its longest as a thin line."""
    trained = {one.minutes: one for one in figures if one.side == side and one.minutes is not None}
    if not trained:
        return []
    budgets = sorted(trained.items())
    name = CLASSES[side]
    curve = [(minutes, value) for minutes, value in budgets[-1][1].curve if minutes >= scale.first]
    points = [(minutes, one.bits_per_byte) for minutes, one in budgets]
    adapting = [
        (minutes, one.adapting_bits_per_byte)
        for minutes, one in budgets
        if one.adapting_bits_per_byte is not None
    ]
    return [
        f'    <path class="curve {name}" d="{_path(curve, scale)}"/>',
        f'    <path class="line {name}" d="{_path(points, scale)}"/>',
        *_circles(points, f"{name}-fill", scale),
        *([f'    <path class="adapting {name}" d="{_path(adapting, scale)}"/>'] if adapting else []),
        *_circles(adapting, f"ring {name}", scale),
    ]


def _circles(points: Sequence[tuple[float, float]], classes: str, scale: Scale) -> list[str]:
    return [
        f'    <circle class="{classes}" cx="{scale.x(minutes):.1f}" cy="{scale.y(value):.1f}" r="4"/>'
        for minutes, value in points
    ]


def _path(points: Sequence[tuple[float, float]], scale: Scale) -> str:
    return path_of([(scale.x(minutes), scale.y(value)) for minutes, value in points])


def spread(heights: Sequence[float], gap: float, lowest: float) -> list[float]:
    """Return rising heights moved as little as needed for neighbours to be `gap` apart, none below `lowest`.

    Neighbours that would touch form a group, which lies around the mean of where its members want to be.
    """
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _last(groups[-2], gap, lowest) + gap > _first(groups[-1], gap, lowest):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_first(group, gap, lowest) + gap * index for group in groups for index in range(len(group))]


def _first(group: Sequence[float], gap: float, lowest: float) -> float:
    extent = gap * (len(group) - 1)
    return min(sum(group) / len(group) - extent / 2, lowest - extent)


def _last(group: Sequence[float], gap: float, lowest: float) -> float:
    return _first(group, gap, lowest) + gap * (len(group) - 1)
