"""A recipe as a job: `ray job submit --working-dir . -- python -m recipes RECIPE` against `ray start --head`."""

import json

import pytest

from benchmarks.private_head import private_head

RECIPE = """
run: {run}
manifest:
  stage: pipelines.ingest
  phrasebook: {{languages: [en, hi], num_sentences: 12, num_test: 2, num_validation: 2}}
codebook:
  stage: pipelines.fit_codebook
  manifest: manifest
  features: {{kind: stacked_mfcc}}
  num_units: 10
"""
OPEN = {"RAY_AUTH_MODE": "disabled"}


def test_a_submitted_job_runs_a_recipe(submit, tmp_path):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE.format(run=tmp_path / "run"))
    with private_head("--num-cpus=4", environment=OPEN) as head:
        job = submit(head.dashboard, OPEN, str(recipe))
        told, _ = job.communicate(timeout=280)
        assert job.returncode == 0, told[-3000:]
        assert "[2/2] codebook" in told
        summary = json.loads((tmp_path / "run" / "summary.json").read_text())
        assert [row["stage"] for row in summary["stages"]] == ["manifest", "codebook"]
        assert summary["stages"][0]["rows_in"] == 2 * (12 + 2)


@pytest.mark.slow
def test_a_job_with_a_mistake_fails_with_a_sentence(submit, tmp_path):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE.format(run=tmp_path / "run"))
    with private_head("--num-cpus=4", environment=OPEN) as head:
        mistaken = submit(head.dashboard, OPEN, str(recipe), "codebok.num_units=3")
        told, _ = mistaken.communicate(timeout=280)
        assert mistaken.returncode != 0
        assert "unknown section 'codebok'; did you mean 'codebook'?" in told
