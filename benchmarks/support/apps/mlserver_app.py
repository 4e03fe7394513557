import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from model import load


class Model(MLModel):
    async def load(self) -> bool:
        self.predict_rows = load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        answer = NumpyCodec.encode_output("predictions", np.asarray(self.predict_rows(rows)))
        return InferenceResponse(model_name=self.name, outputs=[answer])
