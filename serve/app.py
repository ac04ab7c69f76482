"""The translation graph behind HTTP: gateway -> encoder -> translator -> vocoder.

python -m serve runs/demo/model, or on a cluster: serve run serve.app:build model=s3://BUCKET/model
"""

from typing import Any

from ray import serve

from s2st import translators
from s2st.config import to_mapping
from serve.deployments import SpeechEncoder, UnitTranslator, UnitVocoder, WholeTranslator
from serve.gateway import Gateway
from serve.models import read_models
from serve.settings import read_keys, read_settings


def build(arguments: dict[str, Any]) -> serve.Application:
    """Bind the graph to its settings (ServeSettings, or `model: FOLDER` for one model); raises UserError."""
    settings = read_settings(arguments)
    # Mistakes are told now, not by a replica that dies.
    read_models(settings.models)
    read_keys(settings)
    for folder in settings.models.values():
        translators.load(folder)  # a broken file of weights shows itself only when it is read
    translator = UnitTranslator.bind()
    parts = [SpeechEncoder.bind(), translator, UnitVocoder.bind(translator), WholeTranslator.bind()]
    return Gateway.options(user_config=to_mapping(settings)).bind(*parts)
