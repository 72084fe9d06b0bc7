"""Face-expression networks, the data they learn from, how they are trained, their weights and cards."""
