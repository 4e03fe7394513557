"""Run: mlflow_model.py FOLDER saves the model (MLflow's own flavour for scikit-learn). Loaded by MLflow: the model itself."""

import os
import sys

import mlflow


class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        sys.path.insert(0, os.environ["APPS"])
        from model import load

        self.predict_rows = load()

    def predict(self, context, model_input, params=None):
        return self.predict_rows(model_input)


if __name__ == "__main__":
    if os.environ["KIND"] in ("lr", "rf"):
        import joblib
        import mlflow.sklearn

        options = {"serialization_format": "cloudpickle", "pip_requirements": []}
        mlflow.sklearn.save_model(joblib.load(os.environ["MODEL"]), sys.argv[1], **options)
    else:
        mlflow.pyfunc.save_model(sys.argv[1], python_model=__file__, pip_requirements=[])
else:
    mlflow.models.set_model(Model())
