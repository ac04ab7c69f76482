from xml.etree.ElementTree import fromstring

import pytest

from s2st.evaluation.unit_strip import WIDTH, UnitTimes, unit_strip

TIMES = UnitTimes((7, 3, 7), (5, 10, 5), 20.0)


def blocks(svg):
    return list(fromstring(svg).iter("rect"))


def test_blocks_are_as_wide_as_units_last_and_coloured_by_number():
    first, second, third = blocks(unit_strip(TIMES, TIMES.seconds, "source"))
    assert [float(block.get("width")) for block in (first, second, third)] == [WIDTH / 4, WIDTH / 2, WIDTH / 4]
    assert float(third.get("x")) == 3 * WIDTH / 4
    assert first.get("style") == third.get("style") != second.get("style")
    assert second.find("title").text == "unit 3, 0.10 to 0.30 s"


def test_strips_of_one_sentence_share_a_scale():
    half = blocks(unit_strip(TIMES, 2 * TIMES.seconds, "source"))
    assert float(half[-1].get("x")) + float(half[-1].get("width")) == WIDTH / 2


def test_nothing_said_is_no_strip_and_each_unit_has_a_duration():
    assert unit_strip(UnitTimes((), (), 20.0), 1.0, "source") == ""
    with pytest.raises(ValueError, match="2 units but 1 durations"):
        UnitTimes((1, 2), (1,), 20.0)
