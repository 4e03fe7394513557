"""SageMaker's built-in XGBoost algorithm: training and serving without a script.

The contract (hyperparameters, content types, messages, file formats per version) is that of AWS's
sagemaker-xgboost-container; the code is this project's own.
"""
