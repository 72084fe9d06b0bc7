"""How a network is trained and measured; knows nothing of Optuna."""
