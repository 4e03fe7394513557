from modelyard.kernel.service import Service

api = Service("sagemaker")
