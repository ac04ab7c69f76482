import json
from dataclasses import asdict

import pytest

from benchmarks import results
from benchmarks.results import row


def test_a_row_has_its_figures_and_where_they_come_from():
    entry = asdict(row("wav to units: CPU time", 2.0, 8.0, "CPU-s"))
    assert list(entry) == ["name", "ours", "peer", "ratio", "unit", "machine", "commit", "date"]
    assert all(entry[name] for name in ("machine", "commit", "date"))
    assert entry["ratio"] == 0.25


@pytest.mark.parametrize(("ours", "peer", "ratio"), [(30.0, 10.0, 3.0), (1.0, None, None), (1.0, 0.0, None)])
def test_ratio_is_ours_over_the_peers_where_there_is_one(ours, peer, ratio):
    assert row("speed", ours, peer, "audio h / CPU-h").ratio == ratio


def test_rows_are_kept_as_json_lines_even_if_the_run_breaks_off(tmp_path):
    path = tmp_path / "results.jsonl"
    first, second = row("a", 1 / 3, 2.0, "MB"), row("b", 1.0, None, "MB")

    def broken():
        yield second
        raise RuntimeError("stopped")

    assert results.kept([first], path) == [first]
    with pytest.raises(RuntimeError, match="stopped"):
        results.kept(broken(), path)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [asdict(first), asdict(second)]


def test_table_has_a_line_a_row_and_says_where_the_peer_has_no_figure():
    lines = results.table([row("memory", 1234.5, 2.0, "MB"), row("equal", 0.9995, None, "share")]).splitlines()
    assert len(lines) == 4
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == ["memory", "1,234", "2", "617.2", "MB"]
    assert [cell.strip() for cell in lines[3].strip("|").split("|")] == ["equal", "0.9995", "-", "-", "share"]
