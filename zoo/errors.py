"""Errors that a person can mend: one line that names the thing, its value and what is required."""

import errno

__all__ = [
    "ConfigError",
    "DataError",
    "DeviceError",
    "ImageError",
    "WeightsError",
    "ZooError",
    "disk_is_full",
    "first_line",
]


class ZooError(Exception):
    """Base of every error that the commands report in one line, with exit status 2 and no traceback."""


class ConfigError(ZooError, ValueError):
    """A network, recipe or command option has a value that it cannot have."""


class DataError(ZooError):
    """A data set cannot be read as what it claims to be."""


class DeviceError(ZooError):
    """The device asked for does not exist or is out of memory."""


class ImageError(ZooError):
    """A picture cannot be decoded, or is too large to be decoded safely."""


class WeightsError(ZooError):
    """A card or weights file is missing, altered, or does not fit the network that it names."""


def disk_is_full(error: Exception) -> bool:
    """Whether a file could not be written for want of space."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def first_line(error: object) -> str:
    """The first line of what an error says; its type's name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
