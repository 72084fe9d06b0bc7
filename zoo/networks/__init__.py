"""The networks: the parametric family, the published networks, and their registry."""
