from s2st import storage
from stages.records import records_below
from stages.stage import MADE_BY


def test_a_step_stands_on_all_below_it_but_what_is_not_followed(tmp_path):
    below = {"d": {}, "c": {"units": ["d"]}, "b": {"units": ["d"]}, "a": {"pairs": ["b"], "voices": ["c"]}, "e": {}}
    for day, (name, inputs) in enumerate(below.items()):
        storage.write_json(f"{tmp_path}/{name}/{MADE_BY}", {"inputs": inputs, "date": f"2001-01-0{day + 1}"})
    assert list(records_below(str(tmp_path), ["a"])) == ["d", "c", "b", "a"]
    assert list(records_below(str(tmp_path), ["a"], ["units"])) == ["c", "b", "a"]
    assert list(records_below(str(tmp_path), ["c", "e"])) == ["d", "c", "e"]
