"""The λ experiment as a picture: one panel a figure, one line a λ, from 0 to where it was set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import fmean
from typing import Any

from benchmarks.pictures import SERIES, drawing, key, path_of, small_text

Twin = Mapping[str, Any]
WIDTH, HEIGHT, GAP, MARGIN = 168, 200, 58, 46
TOP, BOTTOM = 96, 54
LEGEND, EXPLAINED = 28, 56
NAMES = dict(zip("KCS", SERIES, strict=True))


@dataclass(frozen=True)
class Panel:
    """One figure.

    Attributes:
        title: What it is.
        of: Takes it from a twin.
        ticks: Values with a line across; the first and the last are the panel's edges.
        logarithmic: Whether the axis is.
    """

    title: str
    of: Callable[[Twin], float]
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def y(self, value: float) -> float:
        """Return where a value lies, one beyond an edge on the edge."""
        place = log if self.logarithmic else float
        least, most = self.ticks[0], self.ticks[-1]
        share = (place(min(max(value, least), most)) - place(least)) / (place(most) - place(least))
        return TOP + HEIGHT * (1 - share)


def picture(twins: Sequence[Twin]) -> str:
    """Return the panels side by side: points are means over the seeds, strokes their range."""
    values = sorted({twin["value"] for twin in twins})
    panels = _panels(twins[0])
    width = MARGIN + (WIDTH + GAP) * len(panels)
    content = [
        line
        for index, name in enumerate(NAMES)
        for line in key(MARGIN + 110 * index, LEGEND, NAMES[name], f"λ_{name}")
    ]
    seeds = len({twin["seed"] for twin in twins})
    explained = (
        f"points: means over {seeds} seeds, strokes: their range; what lies beyond an edge is drawn on it"
    )
    content.append(small_text(MARGIN, EXPLAINED, explained, "start"))
    for index, panel in enumerate(panels):
        content += _panel(panel, twins, values, MARGIN + (WIDTH + GAP) * index)
    described = "; ".join(_described(twins, name, value) for name, value in _settings(twins))
    return drawing(
        width,
        TOP + HEIGHT + BOTTOM,
        title="What each λ does to held-out text and to texts drawn",
        description=described,
        content=content,
    )


def _panels(twin: Twin) -> list[Panel]:
    """Return the figures; what is drawn is shown at its highest temperature, loops at the one before."""
    sharp, hot = sorted(range(len(twin["drawn"])), key=lambda at: twin["drawn"][at]["temperature"])[-2:]

    def of(figure: str, at: int) -> Callable[[Twin], float]:
        return lambda twin: float(twin["drawn"][at][figure])

    temperatures = [f"{twin['drawn'][at]['temperature']:g}" for at in (sharp, hot)]
    shares = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    return [
        Panel(
            "bits per byte", lambda twin: twin["bits_per_byte"], (1.0, 1.5, 2, 3, 4, 6, 8), logarithmic=True
        ),
        Panel("K", lambda twin: twin["K"], shares),
        Panel(f"C at temperature {temperatures[1]}", of("C", hot), shares),
        Panel(f"S at temperature {temperatures[1]}", of("S", hot), shares),
        Panel(f"loops at temperature {temperatures[0]}", of("loops", sharp), shares),
    ]


def _settings(twins: Sequence[Twin]) -> list[tuple[str, float]]:
    return list(dict.fromkeys((twin["name"], twin["value"]) for twin in twins))


def _of(twins: Sequence[Twin], name: str, value: float) -> list[Twin]:
    """Return the twins of one setting; at 0 all λ are the same."""
    return [twin for twin in twins if twin["value"] == value and (twin["name"] == name or value == 0)]


def _described(twins: Sequence[Twin], name: str, value: float) -> str:
    found = _of(twins, name, value)
    figures = ", ".join(f"{panel.title} {fmean(map(panel.of, found)):.3f}" for panel in _panels(twins[0]))
    return f"{f'λ_{name} = {value:g}' if name else 'every λ = 0'}: {figures}"


def _panel(panel: Panel, twins: Sequence[Twin], values: Sequence[float], left: float) -> list[str]:
    base = TOP + HEIGHT
    places = {value: left + WIDTH * (index + 0.5) / len(values) for index, value in enumerate(values)}
    lines = [f'  <text class="title" x="{left:.0f}" y="{TOP - 14}">{panel.title}</text>']
    for tick in panel.ticks:
        lines += [
            f'  <path class="grid" d="M{left:.1f} {panel.y(tick):.1f}h{WIDTH}"/>',
            small_text(left - 6, panel.y(tick) + 4, f"{tick:g}", "end"),
        ]
    lines += [small_text(x, base + 18, f"{value:g}", "middle") for value, x in places.items()]
    lines += [
        f'  <path class="axis" d="M{left:.1f} {base}h{WIDTH}"/>',
        small_text(left + WIDTH / 2, base + 38, "λ", "middle"),
    ]
    for name, series in NAMES.items():
        found = {x: [panel.of(twin) for twin in _of(twins, name, value)] for value, x in places.items()}
        means = {x: panel.y(fmean(of)) for x, of in found.items() if of}
        lines += [f'  <path class="line {series}" d="{path_of(list(means.items()))}"/>']
        for x, y in means.items():
            low, high = panel.y(min(found[x])), panel.y(max(found[x]))
            lines += [
                f'  <path class="range {series}" d="M{x:.1f} {low:.1f}V{high:.1f}"/>',
                f'  <circle class="{series}-fill" cx="{x:.1f}" cy="{y:.1f}" r="4"/>',
            ]
    return lines
