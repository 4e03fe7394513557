"""The repositories of images that AWS publishes: what such a URI names is an image of AWS's, here or not here.

Source: the image URI tables of the SageMaker Python SDK v2 (sagemaker/image_uri_config/*.json).
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation

REPOSITORIES = frozenset(
    [
        "autogluon-inference",
        "autogluon-training",
        "blazingtext",
        "detailed-profiler-processing",
        "djl-inference",
        "factorization-machines",
        "forecasting-deepar",
        "huggingface-pytorch-inference",
        "huggingface-pytorch-inference-neuron",
        "huggingface-pytorch-inference-neuronx",
        "huggingface-pytorch-tgi-inference",
        "huggingface-pytorch-training",
        "huggingface-pytorch-training-neuronx",
        "huggingface-pytorch-trcomp-training",
        "huggingface-tensorflow-inference",
        "huggingface-tensorflow-training",
        "huggingface-tensorflow-trcomp-training",
        "huggingface-vllm-inference-neuronx",
        "image-classification",
        "image-classification-neo",
        "ipinsights",
        "kmeans",
        "knn",
        "lda",
        "linear-learner",
        "mxnet-inference",
        "mxnet-inference-eia",
        "mxnet-training",
        "ntm",
        "object-detection",
        "object2vec",
        "pca",
        "pytorch-inference",
        "pytorch-inference-eia",
        "pytorch-inference-graviton",
        "pytorch-training",
        "pytorch-training-neuron",
        "pytorch-training-neuronx",
        "pytorch-trcomp-training",
        "randomcutforest",
        "sagemaker-base-python",
        "sagemaker-chainer",
        "sagemaker-clarify-processing",
        "sagemaker-data-wrangler-container",
        "sagemaker-debugger-rules",
        "sagemaker-distribution-prod",
        "sagemaker-geospatial-v1-0",
        "sagemaker-inference-mxnet",
        "sagemaker-inference-pytorch",
        "sagemaker-inference-tensorflow",
        "sagemaker-model-monitor-analyzer",
        "sagemaker-mxnet",
        "sagemaker-mxnet-eia",
        "sagemaker-mxnet-serving",
        "sagemaker-mxnet-serving-eia",
        "sagemaker-neo-mxnet",
        "sagemaker-neo-pytorch",
        "sagemaker-neo-tensorflow",
        "sagemaker-pytorch",
        "sagemaker-rl-coach-container",
        "sagemaker-rl-mxnet",
        "sagemaker-rl-ray-container",
        "sagemaker-rl-tensorflow",
        "sagemaker-rl-vw-container",
        "sagemaker-scikit-learn",
        "sagemaker-spark-processing",
        "sagemaker-sparkml-serving",
        "sagemaker-tensorflow",
        "sagemaker-tensorflow-eia",
        "sagemaker-tensorflow-scriptmode",
        "sagemaker-tensorflow-serving",
        "sagemaker-tensorflow-serving-eia",
        "sagemaker-tritonserver",
        "sagemaker-xgboost",
        "semantic-segmentation",
        "seq2seq",
        "smdistributed-modelparallel",
        "stabilityai-pytorch-inference",
        "tei",
        "tei-cpu",
        "tensorflow-inference",
        "tensorflow-inference-eia",
        "tensorflow-inference-graviton",
        "tensorflow-training",
        "xgboost",
        "xgboost-neo",
    ]
)


def repository(uri: str) -> str:
    """`382416733822.dkr.ecr.us-east-1.amazonaws.com/ntm:1` → `ntm`."""
    return uri.split("@", 1)[0].rsplit("/", 1)[-1].split(":", 1)[0]


def check_here(platform: Any, uri: str) -> None:
    """Refuses an image of AWS's that this platform does not have, when a job with it is created. Any other unknown image fails
    when it is pulled, as on AWS."""
    images = platform.parts.get("images")
    name = repository(uri)
    if images is not None and name in REPOSITORIES and ".dkr.ecr." in uri and images.find(uri) is None:
        raise validation(
            f"The image {uri} is not available here: this platform has no {name} of that version. `modelyard images` lists what it has."
        )
