"""The Optuna layer: search space, objective, study, workers, export and report."""
