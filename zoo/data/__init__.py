"""Faces, labels and batches: readers of every layout, the drawn default, channels, balance, augmentation."""
