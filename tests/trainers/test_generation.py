from trainers.generation import METRICS, collapse, unit_metrics

REFERENCES = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 1], [3, 1, 9, 4, 6]]


def test_translations_are_measured():
    found = unit_metrics(REFERENCES, REFERENCES)
    assert found["unit_error_rate"] == 0
    assert found["unit_bleu"] > 99.9
    assert collapse(found) is None
    assert set(METRICS) < set(found)


def test_one_translation_for_all_inputs_is_told():
    assert "its translations differ 0% as much" in collapse(unit_metrics(REFERENCES, [[1, 2, 3]] * 3))
    assert collapse({"loss": 1.0}) is None  # nothing was translated
