import re

import pytest

from recipes import readme
from recipes.readme import insert
from s2st import storage
from s2st.config import UserError

SCORE = {
    "content_words": 0.81,
    "content_words_interval": [0.75, 0.86],
    "chance": 0.2,
    "ceiling": 0.9,
    "recordings": 0.97,
    "unit_error_rate": 0.15,
    "word_error_rate": 0.22,
    "judge_word_error_rate": 0.02,
}
SUMMARY = {
    "recipe": "demo",
    "commit": "abc",
    "date": "2020-01-02T03:04:05+00:00",
    "machine": "2 CPU",
    "minutes": 18.25,
    "stages": [{"seconds": 60.0}],
    "scores": {"hi-en": {**SCORE, "units": "hubert layer 3", "unseen_voices": {**SCORE, "content_words": 0.5}}},
}


def test_results_replace_what_was_between_the_markers():
    text = insert("a\n<!-- results: demo -->\nold\n<!-- end -->\nb\n", SUMMARY)
    assert "old" not in text
    assert "| hi-en | hubert layer 3 | heard in training | **0.81** [0.75, 0.86] | 0.20 | 0.90 |" in text
    assert "| never heard | **0.50**" in text
    assert "2020-01-02, commit abc" in text
    assert text.startswith("a\n")
    assert text.endswith("<!-- end -->\nb\n")
    assert insert(text, SUMMARY) == text


def test_a_direction_of_unheard_voices_alone_has_one_row():
    scores = {"en-hi": {"units": "mfcc", "unseen_voices": SCORE}}
    text = insert("<!-- results: demo -->\n<!-- end -->", {**SUMMARY, "scores": scores})
    assert text.count("| en-hi |") == text.count("| never heard |") == 1


def test_approaches_that_were_compared_are_shown_instead():
    row = {
        "name": "cascade",
        "direction": "hi-en",
        "needs_text": True,
        "parameters": {"hears": 2_500_000},
        "gpu_seconds": 0.0,
        "trained_elsewhere": False,
        "shared": [],
    }
    row |= {
        "trainings": {"hears": 90.0},
        "speed": 0.125,
        "scores": {**SCORE, "bleu": 70.5, "sentences": 9},
        "new_voice": None,
    }
    text = insert("<!-- results: demo -->\n<!-- end -->", {**SUMMARY, "approaches": [row]})
    assert "| cascade | yes | 2.50 M | 1.5 | 0.0 | 0.125 | 0.81 [0.75, 0.86] | – | 70.5 | 0.20 | 0.90 | 0.97 |" in text
    assert "2020-01-02, commit abc" in text
    assert "heard in training" not in text


def test_a_recipe_that_translates_nothing_shows_the_quality_of_its_units():
    row = {"kind": "hubert layer 3", "num_units": 99, "perplexity": 70.4, "same_sentence": 0.5, "other_sentence": 0.75}
    known = {**row, "pnmi": 0.51, "phone_purity": 0.42, "cluster_purity": 0.33}
    quality = {"quality": {"units_1": {"en": known}}, "others": {"units_1": {"hi": row}}}
    summary = {**SUMMARY, "scores": {}, "unit_quality": quality, "transcripts": {}, "voices": {}}
    text = insert("<!-- results: demo -->\n<!-- end -->", summary)
    assert "| units_1 (hubert layer 3) | en | 0.51 | 0.42 | 0.33 | 0.50 | 0.75 | 99 | 70 |" in text
    assert "| units_1 (hubert layer 3) | hi | – | – | – | 0.50 | 0.75 | 99 | 70 |" in text
    assert "2020-01-02, commit abc" in text
    assert "| transcripts |" not in text


def test_a_recipe_that_translates_nothing_shows_what_is_heard() -> None:
    best, beam = (
        {"word_error_rate": 0.5, "character_error_rate": 0.25},
        {"word_error_rate": 0.4, "character_error_rate": 0.2},
    )
    score = {"recordings": 7, "heard_text": best, "beam_text": beam}
    transcripts = {"letters": {"en": {"seen": score, "unseen": {**score, "recordings": 3}}}}
    summary = {**SUMMARY, "scores": {}, "unit_quality": {}, "transcripts": transcripts, "voices": {}}
    text = insert("<!-- results: demo -->\n<!-- end -->", summary)
    assert "| letters | en | heard in training | 7 | 0.50 | 0.40 | 0.25 | 0.20 |\n" in text
    assert "| letters | en | never heard | 3 | 0.50 | 0.40 | 0.25 | 0.20 |\n\n`python -m recipes demo`" in text
    assert "PNMI" not in text


def test_a_recipe_that_translates_nothing_shows_its_vocoders() -> None:
    figures = {"word_error_rate": (0.5, 0.4, 0.6), "recording_word_error_rate": (0.25, 0.2, 0.3)}
    figures |= {"word_error_ratio": (2, 1.5, 2.5), "mcd": (4.125, 4, 4.25), "mel_l1": (0.75, 0.5, 1)}
    named = {name: dict(zip(("value", "low", "high"), figure, strict=True)) for name, figure in figures.items()}
    voices = {"scores": {"en": {"durations": "recorded", "recordings": 21, "words": 400, **named}}}
    summary = {**SUMMARY, "scores": {}, "unit_quality": {}, "transcripts": {}, "voices": voices}
    text = insert("<!-- results: demo -->\n<!-- end -->", summary)
    row = "| scores, en | recorded | 21 | 4.12 | – | 0.75 | – | – | 0.50 [0.40, 0.60] | 0.25 | 2.00 [1.50, 2.50] |\n"
    assert row in text


def test_a_recipe_of_a_language_model_shows_what_it_foretells_and_says() -> None:
    found = {"value": 31.25, "low": 29.0, "high": 33.5}
    perplexity = dict.fromkeys(("language model", "trigram", "bigram", "unigram"), found)
    varied = {"auto_bleu": 0.125, "self_bleu": 0.5, "vert": 0.25, "distinct": 0.75}
    true = {"utterances": 9, "mean_units": 99.6, "finished": 1.0, "loops": 0.0, "diversity_of_units": varied}
    alone = {"utterances": 1, "mean_units": 50.0, "finished": 0.0, "loops": 0.0}
    heard = {**true, "mean_words": 7.25, "diversity_of_words": varied}
    score = {"recordings": 21, "tokens": 9, "num_units": 200, "nats_per_unit": 3.4, "bits_per_second": 150.4}
    score |= {"perplexity": perplexity, "speech": {"true": true, "continued": alone, "sampled": heard}}
    empty = {"scores": {}, "unit_quality": {}, "transcripts": {}, "voices": {}}
    summary = {**SUMMARY, **empty, "language_models": {"scores": {"en": score}}}
    text = insert("<!-- results: demo -->\n<!-- end -->", summary)
    assert "| scores, en | 200 | 21 | 31.2 [29.0, 33.5] | 31.2 | 31.2 | 31.2 | 150 |\n" in text
    assert "| scores, en: recordings | 9 | 1.00 | 100 | 0.12 | 0.50 | 0.25 | – | – |\n" in text
    assert "| scores, en: their beginnings, continued | 1 | 0.00 | 50 | – | – | – | – | – |\n" in text
    assert "| scores, en: samples without a beginning | 9 | 1.00 | 100 | 0.12 | 0.50 | 0.25 | 7.2 | 0.25 |\n" in text


def test_the_page_that_has_the_place_is_written_and_others_stay(tmp_path, monkeypatch):
    pages = [tmp_path / "README.md", tmp_path / "voices.md"]
    pages[0].write_text("nothing")
    pages[1].write_text("<!-- results: demo -->\n<!-- end -->")
    storage.write_json(f"{tmp_path}/run/summary.json", SUMMARY)
    monkeypatch.setattr(readme, "PAGES", pages)
    monkeypatch.setattr("sys.argv", ["readme", f"{tmp_path}/run"])
    readme.main()
    assert pages[0].read_text() == "nothing"
    assert "| hi-en |" in pages[1].read_text()
    pages[1].write_text("no place any more")
    with pytest.raises(UserError, match="no page has a place for demo"):
        readme.main()


@pytest.mark.parametrize("page", readme.PAGES, ids=lambda page: page.name)
def test_every_place_is_of_a_recipe(page):
    named = re.findall("<!-- results: (.*) -->", page.read_text(encoding="utf-8"))
    recipes = {path.stem for path in (readme.ROOT / "recipes").glob("*.yaml")}
    assert set(named) <= recipes | {"autoscaling", "benchmarks", "scale"}  # those are written by benchmarks
