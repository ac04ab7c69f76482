import pytest

from s2st.config import UserError
from stages.recipe import parse_steps

RECIPE = {
    "run": "runs/x",
    "manifest": {"stage": "pipelines.ingest", "phrasebook": {}},
    "codebook": {"stage": "pipelines.fit_codebook", "manifest": "manifest", "num_units": 20},
    "units": {"stage": "pipelines.dump_units", "manifest": "manifest", "codebook": "codebook"},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": ""}, "the recipe has no 'run'"),
        ({"codebook": {"num_units": 3}}, "section 'codebook' of the recipe needs a 'stage'"),
        ({"..": {"stage": "pipelines.ingest", "phrasebook": {}}}, "'..' cannot name a section"),
        ({"codebook": {"stage": 3}}, "section 'codebook' of the recipe needs a 'stage'"),
        ({"codebook": {"stage": "os.path"}}, "'os.path' is not a stage"),
        ({"codebook": {"stage": "pipelines.nothing"}}, "'pipelines.nothing' is not a stage"),
        ({"codebook": {"stage": "pipelines.fit_codebook"}}, "section 'codebook' needs the input 'manifest'"),
        (
            {"codebook": {"stage": "pipelines.fit_codebook", "manifest": "units"}},
            "which no section above it makes",
        ),
        (
            {"codebook": {"stage": "pipelines.fit_codebook", "manifest": ["manifest", "x"]}},
            "takes one 'manifest'",
        ),
        (
            {"codebook": {"stage": "pipelines.fit_codebook", "manifest": "manifest", "num_unit": 3}},
            "section 'codebook': unknown input or setting 'num_unit'; did you mean 'num_units'?",
        ),
        (
            {"units": {**RECIPE["units"], "encoder": "encoder"}},
            "unknown input or setting 'encoder'; known: manifest, codebook, bf16, ",
        ),
        ({"units": {"stage": "pipelines.dump_units", "manifst": "manifest"}}, "did you mean 'manifest'?"),
    ],
)
def test_mistakes_in_recipes(change, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        parse_steps({**RECIPE, **change})
