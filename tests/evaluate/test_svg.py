from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from keenframe.evaluate.svg import Series, bars, lines, strips

NAMESPACE = "{http://www.w3.org/2000/svg}"
STRIPS = [("keen", [1.0, 2.0, 3.0, 4.0, 5.0]), ("a<b", [-1.0, 0.5])]
SERIES = [Series("r2 & more", [(0, 1.0), (100, 2.0)], level=1.5), Series("r3", [(0, 1.5), (100, 1.0)])]
CHARTS = {
    "strips": strips(STRIPS, "Gain <by> item", "dB"),
    "lines": lines(SERIES, "Loss", "step", "dB", mark=50),
    "bars": bars([("text", [10.0, 4.0]), ("all", [None, -2.0])], ["input", "keen"], "CER", "%"),
}


@pytest.mark.parametrize("name", CHARTS)
def test_charts_are_whole_svg(name: str) -> None:
    root = ElementTree.fromstring(CHARTS[name])
    assert root.tag == f"{NAMESPACE}svg"
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter():
        for key in ("x", "x1", "x2", "cx"):
            assert -1 <= float(element.attrib.get(key, 0)) <= width + 1, (key, element.attrib)
        for key in ("y", "y1", "y2", "cy"):
            assert -1 <= float(element.attrib.get(key, 0)) <= height + 1, (key, element.attrib)


def test_the_same_values_give_the_same_bytes() -> None:
    assert strips(STRIPS, "Gain <by> item", "dB") == CHARTS["strips"]


def test_values_stand_where_they_belong() -> None:
    root = ElementTree.fromstring(CHARTS["strips"])
    texts = {element.text: element for element in root.iter(f"{NAMESPACE}text")}
    ticks = {
        float(t.split()[0]): float(e.attrib["x"]) for t, e in texts.items() if re.fullmatch(r"-?\d+( dB)?", t)
    }
    per_db = (ticks[4] - ticks[0]) / 4
    dots = [float(c.attrib["cx"]) for c in next(root.iter(f"{NAMESPACE}g"))]
    assert [round((x - ticks[0]) / per_db, 1) for x in dots] == STRIPS[0][1]
    assert "+3.00 dB" in texts and "-0.25 dB" in texts and "a<b" in texts


def test_a_standalone_picture_has_a_ground() -> None:
    assert 'fill="#ffffff"' in strips(STRIPS, "x", "dB", standalone=True)
    assert 'fill="#ffffff"' not in CHARTS["strips"]


def test_one_value_is_enough() -> None:
    for chart in (
        strips([("a", [0.0])], "x", "dB"),
        lines([Series("a", [(0, 0.0)])], "x", "", ""),
        bars([("a", [0.0])], ["m"], "x", "%"),
    ):
        ElementTree.fromstring(chart)
