from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.import_map import ROOT, Room, imports, picture, rooms

SVG = "{http://www.w3.org/2000/svg}"


def told(svg: str) -> set[str]:
    """Who imports whom in a drawn map, without how often."""
    drawn = ET.fromstring(svg)  # noqa: S314 - our own
    return {str(mark.text).rsplit(":", 1)[0] for mark in drawn.iter(f"{SVG}title") if ":" in str(mark.text)}


def test_the_committed_map_has_the_rooms_and_the_ways_of_the_code() -> None:
    found = rooms()
    committed = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    assert told(committed) == told(picture(found, imports(found))), "make map draws it anew"
    assert all(f">{room.short}</text>" in committed for room in found)


def test_every_way_goes_down() -> None:
    found = rooms()
    layer = {room.name: room.layer for room in found}
    ways = imports(found)
    assert ("app.service", "bitlm.session") in ways
    assert all(layer[importer] < layer[imported] for importer, imported in ways)


def test_a_way_against_the_layers_is_counted_and_drawn_left_of_the_diagonal() -> None:
    upper, lower = Room("app.upper", 0, 450), Room("bitlm.lower", 1, 45)
    drawn = ET.fromstring(picture([upper, lower], {("bitlm.lower", "app.upper"): 4}))  # noqa: S314 - our own
    assert "1 of them against the order" in (drawn.findtext(f"{SVG}desc") or "")
    (mark,) = drawn.iter(f"{SVG}circle")
    assert float(mark.attrib["cx"]) - 150 < float(mark.attrib["cy"]) - 110


@pytest.mark.parametrize(
    ("name", "file"), [("bitlm.bits", "bitlm/bits.py"), ("app.settings", "app/settings.py")]
)
def test_a_room_has_the_lines_of_its_files(name: str, file: str) -> None:
    (room,) = (one for one in rooms() if one.name == name)
    assert room.lines == (ROOT / Path(file)).read_text(encoding="utf-8").count("\n")
