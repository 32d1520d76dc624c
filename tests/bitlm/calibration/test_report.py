"""The page of a calibration needs nothing but itself."""

import re

from bitlm.calibration import Assessment
from bitlm.calibration.failures import FAILURES, OTHERS
from bitlm.calibration.report import calibration_html


def test_the_page_shows_every_length_and_kind_and_loads_nothing(assessment: Assessment) -> None:
    page = calibration_html("a < b & c", "37d0", assessment, samples=60)
    assert "<h1>a &lt; b &amp; c</h1>" in page
    assert page.count("<polyline") == 2 * (len(FAILURES) + len(OTHERS))
    for floors in assessment.calibration.floors:
        assert f"{floors.length_bytes} bytes: floors C {floors.c_floor:.3f}, S {floors.s_floor:.3f}" in page
    for kind in (*FAILURES, *OTHERS):
        assert f"<th scope='row'>{kind}</th>" in page
    assert not re.search(r"<script|<link|\ssrc=|https?:|url\(|\$[a-z]", page)


def test_the_same_assessment_gives_the_same_page(assessment: Assessment) -> None:
    first, second = (calibration_html("text", "37d0", assessment, samples=60) for _ in range(2))
    assert first == second


def test_drawings_stay_inside_their_frames(assessment: Assessment) -> None:
    page = calibration_html("text", "37d0", assessment, samples=60)
    points = [pair.split(",") for line in re.findall(r"points='([^']+)'", page) for pair in line.split()]
    assert all(34 <= float(x) <= 282 and 6 <= float(y) <= 130 for x, y in points)
