from xml.etree import ElementTree as ET

from benchmarks.lambda_picture import HEIGHT, TOP, Panel, picture

SVG = "{http://www.w3.org/2000/svg}"


def twin(seed: int, name: str, value: float, bits_per_byte: float) -> dict[str, object]:
    drawn = [
        {"temperature": at, "C": 0.7, "S": 0.8, "repetition": 0.1, "loops": 0.25} for at in (0.0, 0.3, 1.0)
    ]
    return {
        "seed": seed, "name": name, "value": value, "bits_per_byte": bits_per_byte, "K": 0.8, "drawn": drawn
    }  # fmt: skip


def test_a_value_beyond_an_edge_is_drawn_on_it() -> None:
    panel = Panel("bits per byte", lambda twin: twin["bits_per_byte"], (1.0, 2.0, 8.0), logarithmic=True)
    assert panel.y(20.0) == panel.y(8.0) == TOP
    assert panel.y(1.0) == TOP + HEIGHT
    assert round(panel.y(2.0)) == round(TOP + HEIGHT * 2 / 3)


def test_the_picture_is_well_formed_and_says_its_figures_in_words() -> None:
    twins = [
        twin(seed, name, value, 1.5 + value + seed)
        for seed in (0, 1)
        for name, value in (("", 0), ("C", 0.1))
    ]
    drawn = ET.fromstring(picture(twins))  # noqa: S314 - our own
    described = drawn.findtext(f"{SVG}desc") or ""
    assert "every λ = 0: bits per byte 2.000, K 0.800" in described
    assert "λ_C = 0.1: bits per byte 2.100" in described
    assert "loops at temperature 0.3 0.250" in described


def test_every_line_begins_where_no_lambda_is_set() -> None:
    twins = [twin(0, "", 0, 1.5), twin(0, "C", 0.1, 1.6)]
    drawn = ET.fromstring(picture(twins))  # noqa: S314 - our own
    starts = [
        line.attrib["d"].split("L")[0] for line in drawn.iter(f"{SVG}path") if "line" in line.attrib["class"]
    ]
    first_panel = [starts[index] for index in range(3, 6)]  # behind the legend's three
    assert len(set(first_panel)) == 1
