import pyarrow as pa
import pytest

from pipelines.evaluate import EvaluateConfig, check_inputs
from s2st import storage
from s2st.config import UserError
from s2st.schemas import TRANSLATIONS
from stages import datasets
from stages.stage import Step


def test_each_language_needs_one_recognizer(tmp_path):
    rows = [{"target_lang": "en"}, {"target_lang": "hi"}]
    datasets.write_table(pa.Table.from_pylist(rows, schema=TRANSLATIONS), f"{tmp_path}/translations")
    for name, lang in (("judge_en", "en"), ("judge_hi", "hi"), ("other", "hi")):
        config = {"model": "recognizer", "config": {}, "info": {"lang": lang}}
        storage.write_json(f"{tmp_path}/{name}/config.json", config)

    def check(*recognizers):
        inputs = {"translations": ["translations"], "recognizers": list(recognizers)}
        check_inputs(EvaluateConfig(), Step("evaluation", "pipelines.evaluate", str(tmp_path), {}, inputs))

    check("judge_en", "judge_hi")
    with pytest.raises(UserError, match="section 'evaluation': no recognizer hears 'hi'; train one and name it here"):
        check("judge_en")
    with pytest.raises(UserError, match="section 'evaluation': two of the recognizers hear one language; name one"):
        check("judge_en", "judge_hi", "other")
