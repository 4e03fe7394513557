"""SageMaker Python SDK v2: built-in XGBoost, trained, deployed and called.

modelyard run -- python sdk2_xgboost.py
"""

from pathlib import Path

import sagemaker
from sagemaker.deserializers import CSVDeserializer
from sagemaker.estimator import Estimator
from sagemaker.serializers import CSVSerializer

session = sagemaker.Session()
role = sagemaker.get_execution_role()
data = session.upload_data(str(Path(__file__).with_name("iris.csv")), key_prefix="iris")

estimator = Estimator(
    image_uri=sagemaker.image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1"),
    role=role,
    instance_count=1,
    instance_type="ml.m5.large",
    hyperparameters={"objective": "multi:softmax", "num_class": 3, "num_round": 30},
    sagemaker_session=session,
)
estimator.fit({"train": sagemaker.TrainingInput(data, content_type="text/csv")})

# deploy() alone would do; waiting by hand is quicker here, for the SDK first sleeps 30 s before it looks at the endpoint.
predictor = estimator.deploy(1, "ml.m5.large", serializer=CSVSerializer(), deserializer=CSVDeserializer(), wait=False)
session.wait_for_endpoint(predictor.endpoint_name, poll=1)
for flower in ([5.1, 3.5, 1.4, 0.2], [6.3, 2.8, 5.1, 1.5], [6.3, 3.3, 6.0, 2.5]):
    print(flower, "is of class", predictor.predict(flower)[0][0])
predictor.delete_model()
predictor.delete_endpoint()
