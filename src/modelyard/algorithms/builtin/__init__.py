"""AWS's built-in algorithms besides XGBoost, on numpy, scipy and scikit-learn: what goes in (channels, hyperparameters), what is
printed (log and metric lines), what comes out (`model_algo-1`), and how it answers are AWS's; the code is this project's own.

One module per algorithm defines its `ALGORITHM` (algorithm.py): the table of its hyperparameters, `train(job)`, `load(path)`.
"""

NAMES = {
    "linear-learner": "linear_learner",
    "kmeans": "kmeans",
    "pca": "pca",
    "knn": "knn",
    "factorization-machines": "factorization_machines",
    "randomcutforest": "randomcutforest",
    "lightgbm": "lightgbm",
}
"""Image repository → module."""
