import re
from xml.etree.ElementTree import fromstring

from s2st.evaluation.phone_map import phone_map, sort_units

COUNTS = {9: {"a": 90, "sil": 10}, 2: {"sil": 60, "a": 60}, 4: {"sil": 200, "b": 3}, 1: {"a": 50}}


def test_units_stand_beside_those_of_the_same_likeliest_phone():
    phones, units = sort_units(COUNTS)
    assert phones == ["sil", "a", "b"]  # by their frames: 270, 200, 3
    assert units == [4, 1, 9, 2]  # sil; then a, the surest first


def test_cells_are_as_dark_as_phones_are_likely():
    svg = fromstring(phone_map(COUNTS, "mfcc, en"))
    cells = {path.get("class"): re.findall(r"M(\d+) (\d+)", path.get("d")) for path in svg.iter("path")}
    assert cells["p5"] == [("0", "0"), ("1", "1"), ("2", "1")]  # 0.8 and more: units 4, 1 and 9
    assert cells["p3"] == [("3", "1"), ("3", "0")]  # both phones of unit 2; of two as likely, the first by name
    assert cells["p1"] == [("2", "0")]
    told = [rect.find("title").text for rect in svg.iter("rect") if rect.get("class") == "over"]
    assert told[2] == "unit 9: a 90 %, sil 10 %; 100 frames"
    assert "b 1 %" in told[0]


def test_without_phones_there_is_no_map():
    assert phone_map({}, "mfcc, en") == ""


def test_a_map_of_many_units_stays_small():
    counts = {unit: {f"p{unit % 40}": 50, f"p{(unit + 1) % 40}": 20, f"p{(unit + 2) % 40}": 9} for unit in range(2000)}
    assert len(phone_map(counts, "hubert, en")) < 400_000
