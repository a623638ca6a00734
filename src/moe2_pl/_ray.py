"""Ray, imported when it is asked for: whatever it refuses is one line here.

What is done on the cluster is the business of who connects: the precompute's workers, a multirun's jobs.
"""

import logging
import socket
from contextlib import redirect_stdout
from typing import Any
from warnings import catch_warnings, simplefilter

from moe2_pl.errors import ConfigError

__all__ = ["connect_ray"]

_PATIENCE_S = 10


def connect_ray(
    asked: str, address_key: str, address: str | None = None, **settings: Any
) -> tuple[Any, bool]:
    """The module ``ray``, connected, and whether it was this call that connected it.

    Args:
        asked: what of the configuration asks for Ray, for messages.
        address_key: the setting that holds ``address``, for messages.
        address: of a cluster; None for the one that this machine is in, else a local one.
        settings: other arguments of ``ray.init``; without a dashboard, and without what Ray says of its start.

    Raises:
        ConfigError: Ray is not installed, cannot be imported, or no cluster answers.
    """
    ray = _imported(asked)
    if ray.is_initialized():
        return ray, False
    _called_on(address_key, address)
    quiet = {"include_dashboard": False, "logging_level": logging.ERROR}
    try:
        with catch_warnings():
            simplefilter("ignore", FutureWarning)  # advice of Ray's on its environment variables
            ray.init(address=address, **{**quiet, **settings})
    except (ConnectionError, ImportError, RuntimeError, ValueError) as error:
        # The end of what lies behind says why: nobody there, or a token that the cluster wants.
        why = (
            [line for line in str(error.__cause__ or error).splitlines() if line.strip()] or [repr(error)]
        )[-1]
        if isinstance(error, ConnectionError):
            raise ConfigError(f"{address_key} '{address}': no Ray cluster answers ({why})") from error
        raise ConfigError(f"{asked}: Ray cannot be started or joined so: {why}") from error
    return ray, True


def _called_on(address_key: str, address: str | None) -> None:
    """Ray would knock for many minutes where nobody is."""
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdigit() or "://" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE_S).close()
    except OSError as error:
        raise ConfigError(f"{address_key} '{address}': no Ray cluster answers ({error})") from error


def _imported(asked: str) -> Any:
    try:
        with redirect_stdout(None):  # amdsmi prints what it looks for
            import ray
    except ImportError as error:
        raise ConfigError(f"{asked} needs Ray: pip install 'moe2-pl[ray]' ({error})") from error
    except Exception as error:
        # Ray counts AMD's cards as it is imported. amdsmi, which Zeus brings, is no Python package without their
        # library: it dies of a KeyError, which Ray does not expect. Both do without amdsmi.
        if "libamd_smi" not in str(error):
            raise
        raise ConfigError(
            f"{asked}: Ray cannot be imported where amdsmi finds no AMD library ({error}): pip uninstall amdsmi"
        ) from error
    return ray
