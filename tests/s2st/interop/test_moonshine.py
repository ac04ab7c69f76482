import importlib.util
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from s2st import audio
from s2st.config import UserError
from s2st.corpora import sample
from s2st.interop.moonshine import Moonshine, need_package

here = pytest.mark.skipif(importlib.util.find_spec("moonshine_voice") is None, reason="needs the extra judge")


@here
def test_human_speech_is_heard() -> None:
    rows = pq.read_table(Path(sample.__file__).parent / "sample_data/en_us/test/0000.parquet").to_pylist()
    row = next(row for row in rows if row["raw_transcription"].startswith("You have been removed"))
    heard = Moonshine().transcribe([audio.decode(row["audio"]["bytes"]), np.zeros(0, np.float32)])
    assert heard == ["You have been removed from the conference.", ""]


def test_a_missing_package_is_told(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install moonshine-voice==0.0.65"):
        need_package()
