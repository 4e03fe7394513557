"""SageMaker Experiments: experiments, trials, trial components, their metrics, and those that each job gets by itself."""
