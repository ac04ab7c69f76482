import json
from dataclasses import asdict, replace

from benchmarks import readme
from benchmarks.results import row


def test_the_newest_row_of_each_name_stands_on_the_page():
    old = row("units.mfcc", 1.0, 2.0, "s")
    new, other = replace(old, ours=7.0, commit="newer"), row("units.other", 5.0, None, "MB")
    rows = readme.newest([json.dumps(asdict(entry)) for entry in (old, other, new)])
    page = readme.insert("before\n<!-- results: benchmarks -->\nstale\n<!-- end -->\nafter\n", rows)
    assert "stale" not in page
    assert page.count("units.mfcc") == 1
    assert "| 7 " in page
    assert "commit newer" in page
    assert page.startswith("before\n")
    assert page.endswith("<!-- end -->\nafter\n")


def test_the_page_has_its_place():
    assert readme.PLACE.search(readme.PAGE.read_text(encoding="utf-8"))
