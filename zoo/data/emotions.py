"""The seven expressions of FER2013, in the order of its labels; named here and nowhere else."""

__all__ = ["EMOTIONS"]

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
