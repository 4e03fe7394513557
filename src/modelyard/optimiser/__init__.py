"""Search spaces and the Gaussian process of Bayesian tuning. Knows no service; outside `services/`, whose every file is loaded at start,
because `gaussian` needs numpy and only an engine that tunes shall have it."""
