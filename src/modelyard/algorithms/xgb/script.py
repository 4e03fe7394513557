"""Script mode serving in the XGBoost image: the body becomes a DMatrix, the model's `predict` is asked."""

from __future__ import annotations

from ..serving.codecs import Undecodable, UnsupportedFormat, encode
from ..serving.probe import is_cheap
from ..serving.script import ScriptHandler
from .content import KINDS, PARQUET, parse
from .payload import BadPayload
from .payload import parse as parse_body


class XgboostScriptHandler(ScriptHandler):
    """The defaults of AWS's XGBoost image; model_fn has none. With both input_fn and predict_fn the default and XGBoost's own
    booster as the model, requests are batched as rows, and the DMatrix is made of all of them."""

    def load(self) -> None:
        super().load()
        import xgboost

        defaults = self.input_fn == self.default_input_fn and self.predict_fn == self.default_predict_fn
        if not self.transform_fn and defaults and type(self.model) is xgboost.Booster:
            self.input_fn, self.predict_fn = self._rows, self._predict_rows
            self.batches = self.may_batch(True)
            self.cheap = self.batches and is_cheap(lambda rows: self._predict_rows(rows, self.model), self.model.num_features())

    def _rows(self, data: bytes | str, content_type: str) -> object:
        """A float array, or a CSR matrix for libsvm."""
        if KINDS.get(parse(content_type)[0]) in (None, PARQUET):
            raise UnsupportedFormat(content_type)
        try:
            return parse_body(data.encode() if isinstance(data, str) else data, content_type)[0]
        except BadPayload as error:
            raise Undecodable(str(error)) from error

    def _predict_rows(self, rows: object, model: object) -> object:
        import xgboost

        return self.default_predict_fn(xgboost.DMatrix(rows), model)

    def default_input_fn(self, data: bytes | str, content_type: str) -> object:
        import xgboost

        return xgboost.DMatrix(self._rows(data, content_type))

    def default_predict_fn(self, data: object, model: object) -> object:
        return model.predict(data, validate_features=False)

    def default_output_fn(self, prediction: object, accept: str) -> object:
        return encode(prediction, accept), accept
