"""Script mode serving in the XGBoost image: the body becomes a DMatrix, the model's `predict` is asked."""

from __future__ import annotations

from ..serving.codecs import Undecodable, UnsupportedFormat, encode
from ..serving.script import ScriptHandler
from .content import KINDS, PARQUET, parse
from .payload import BadPayload
from .payload import parse as parse_body


class XgboostScriptHandler(ScriptHandler):
    """The defaults of AWS's XGBoost image; model_fn has none."""

    def default_input_fn(self, data: bytes | str, content_type: str) -> object:
        import xgboost

        if KINDS.get(parse(content_type)[0]) in (None, PARQUET):
            raise UnsupportedFormat(content_type)
        try:
            rows, _ = parse_body(data.encode() if isinstance(data, str) else data, content_type)
        except BadPayload as error:
            raise Undecodable(str(error)) from error
        return xgboost.DMatrix(rows)

    def default_predict_fn(self, data: object, model: object) -> object:
        return model.predict(data, validate_features=False)

    def default_output_fn(self, prediction: object, accept: str) -> object:
        return encode(prediction, accept), accept
