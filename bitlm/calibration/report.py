"""A calibration as one page that opens anywhere: no network, no script."""

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template

import numpy as np
from jaxtyping import Float64

from bitlm.calibration.detection import FALSE_REJECT_RATES, Assessment, Detection
from bitlm.calibration.floors import Floors
from bitlm.version import VERSION

WIDTH, HEIGHT = 290, 150
LEFT, RIGHT, TOP, BOTTOM = 34, 8, 6, 20
BINS = 60
HIGHEST_VALUE = 1.2
"""Of C and S in a distribution; short noise alone lies above it."""

SHOWN_LENGTH = 128
MUST_CATCH, MUST_RANK = 0.97, 0.99
"""Shares caught and areas below these stand out."""

VALUE_TICKS = (0.0, 0.3, 0.6, 0.9, HIGHEST_VALUE)
RATE_TICKS = (0.0, 0.01, 0.05, 0.25, 1.0)


def calibration_html(name: str, fingerprint: str, assessment: Assessment, *, samples: int) -> str:
    """Return an assessment as one self-contained page with its floors, distributions and ROC curves.

    Args:
        name: What the text is called.
        fingerprint: The SHA-256 of the text.
        assessment: What to tell.
        samples: Of each kind of failure.
    """
    rate = assessment.calibration.false_reject_rate
    pairs = list(zip(assessment.calibration.floors, assessment.detections, strict=True))
    return Template(_asset("bitlm.calibration", "report.html")).substitute(
        title=escape(name),
        subtitle=escape(f"SHA-256 {fingerprint}"),
        css=_asset("bitlm.history", "report.css"),
        tiles=_tiles(assessment),
        rate=_percent(rate),
        floors=_floors_table(assessment.calibration.floors),
        distributions="".join(_distribution(floors) for floors, _ in pairs),
        samples=f"{samples:,}",
        others=sum(not found.counted for found in pairs[0][1]),
        caught=_caught_table(assessment),
        curves="".join(_curves(floors, found, rate) for floors, found in pairs),
        version=VERSION,
    )


def _asset(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _tiles(assessment: Assessment) -> str:
    shown = assessment.calibration.nearest(SHOWN_LENGTH)
    floors, caught, ranked = next(row for row in assessment.weakest() if row[0] is shown)
    tiles = {
        f"C floor for {floors.length_bytes} bytes": f"{floors.c_floor:.3f}",
        f"S floor for {floors.length_bytes} bytes": f"{floors.s_floor:.3f}",
        "of unseen text refused": _percent(floors.refused_unseen),
        f"least caught: {caught.kind}": _percent(caught.caught),
        f"least AUC: {ranked.kind}": f"{ranked.auc:.3f}",
    }
    return "".join(
        f"<div class='tile'><b>{value}</b><span>{escape(title)}</span></div>"
        for title, value in tiles.items()
    )


def _floors_table(all_floors: Iterable[Floors]) -> str:
    head = ("bytes", "C floor", "S floor", "C ceiling", "room for", "fitted", "unseen", "by C", "by S")
    rows = []
    for floors in all_floors:
        found = floors.record()
        values = [f"{found[name]:.3f}" for name in ("c_floor", "s_floor", "c_ceiling")]
        values.append(f"{floors.passages:,}")
        shares = ("refused_seen", "refused_unseen", "refused_unseen_by_C", "refused_unseen_by_S")
        rows.append((f"{floors.length_bytes:,}", [*values, *(_percent(found[name]) for name in shares)]))
    return _table(head, rows)


def _caught_table(assessment: Assessment) -> str:
    lengths = [f"{floors.length_bytes:,} bytes" for floors in assessment.calibration.floors]
    rows = [
        (escape(of_kind[0].kind), [_caught(found) for found in of_kind])
        for of_kind in zip(*assessment.detections, strict=True)
    ]
    return _table(("", *lengths), rows)


def _caught(found: Detection) -> str:
    missed = found.counted and (found.caught < MUST_CATCH or found.auc < MUST_RANK)
    style = " class='missed'" if missed else ""
    return f"<span{style}>{_percent(found.caught)}</span><small>{found.auc:.3f}</small>"


def _table(head: Iterable[str], rows: Iterable[tuple[str, list[str]]]) -> str:
    titles = "".join(f"<th>{title}</th>" for title in head)
    body = "".join(
        f"<tr><th scope='row'>{name}</th>{''.join(f'<td>{value}</td>' for value in values)}</tr>"
        for name, values in rows
    )
    return f"<table class='figures'><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def _distribution(floors: Floors) -> str:
    """Draw C above S: how many windows have which value, and where the floor stands."""
    text = floors.seen + floors.unseen
    middle = (HEIGHT - BOTTOM + TOP) / 2
    parts = [
        _histogram("C", text.C, floors.c_floor, TOP, middle - 4),
        _histogram("S", text.S, floors.s_floor, middle + 4, HEIGHT - BOTTOM),
    ]
    parts += [
        _label(_across(value / HIGHEST_VALUE), HEIGHT - 5, f"{value:g}", "middle") for value in VALUE_TICKS
    ]
    return _figure(
        parts,
        f"{floors.length_bytes:,} bytes: floors C {floors.c_floor:.3f}, S {floors.s_floor:.3f}",
    )


def _histogram(
    measure: str, values: Float64[np.ndarray, "text"], floor: float, top: float, bottom: float
) -> str:
    counts, edges = np.histogram(np.minimum(values, HIGHEST_VALUE), bins=BINS, range=(0.0, HIGHEST_VALUE))
    width = (WIDTH - LEFT - RIGHT) / BINS
    bars = "".join(
        f"<rect class='{measure}' x='{_across(edge / HIGHEST_VALUE):.1f}' width='{width:.1f}' "
        f"y='{bottom - share * (bottom - top):.1f}' height='{share * (bottom - top):.1f}'/>"
        for edge, share in zip(edges[:-1], counts / counts.max(), strict=True)
        if share
    )
    at = _across(floor / HIGHEST_VALUE)
    return (
        f"{bars}<line class='axis' x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{bottom}' y2='{bottom}'/>"
        f"<line class='floor' x1='{at:.1f}' x2='{at:.1f}' y1='{top}' y2='{bottom}'/>"
        + _label(LEFT - 8, bottom, measure, "end")
    )


def _curves(floors: Floors, detections: Iterable[Detection], rate: float) -> str:
    """Draw share caught against share refused, the least sure of the failures last and named."""
    detections = list(detections)
    weakest = min((found for found in detections if found.counted), key=lambda found: found.auc)
    asked = _across(rate**0.5)
    parts = [_grid_line(share) for share in (0.0, 0.5, 1.0)]
    parts += [_label(_across(tick**0.5), HEIGHT - 5, f"{100 * tick:g} %", "middle") for tick in RATE_TICKS]
    parts.append(f"<line class='asked' x1='{asked:.1f}' x2='{asked:.1f}' y1='{_up(1)}' y2='{_up(0)}'/>")
    for found in sorted(detections, key=lambda found: (found is weakest, found.counted)):
        style = "counted weak" if found is weakest else "counted" if found.counted else ""
        points = " ".join(
            f"{_across(reject**0.5):.1f},{_up(caught):.1f}"
            for reject, caught in zip(FALSE_REJECT_RATES, found.roc, strict=True)
        )
        title = escape(f"{found.kind}: AUC {found.auc:.4f}")
        parts.append(f"<polyline class='curve {style}' points='{points}'><title>{title}</title></polyline>")
    sure = "every failure is below all text"
    least = f"the least sure: {weakest.kind}, AUC {weakest.auc:.3f}" if weakest.auc < 1 else sure
    return _figure(parts, f"{floors.length_bytes:,} bytes; {least}")


def _grid_line(share: float) -> str:
    y = _up(share)
    line = f"<line class='axis' x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>"
    return line + _label(LEFT - 5, y + 4, f"{100 * share:.0f} %", "end")


def _figure(parts: Iterable[str], caption: str) -> str:
    label = escape(caption, quote=True)
    drawing = f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label=\"{label}\">{''.join(parts)}</svg>"
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'>{escape(text)}</text>"


def _across(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _up(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
