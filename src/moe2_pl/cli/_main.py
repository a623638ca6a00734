"""The command line: Hydra composes, one function does the work, and every expected error is one line.

Only Hydra is imported before the configuration stands, so that ``--help`` and mistakes answer at once.
"""

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

import hydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError
from yaml import YAMLError

from moe2_pl.cli._arguments import arguments_told
from moe2_pl.cli._multirun import (
    differing,
    end_job,
    forget_job,
    in_multirun,
    job_name,
    write_error,
    write_job,
)
from moe2_pl.cli._ray_cluster import ray_errors_told
from moe2_pl.cli._run_log import leave_in_log
from moe2_pl.cli._schema import register_schema
from moe2_pl.cli._sweep_end import SweepSummary
from moe2_pl.cli._train_only import train_only_told
from moe2_pl.errors import (
    ConfigError,
    InfeasibleBudgetError,
    MoE2Error,
    UnknownNameError,
    closest,
    flushed,
    reader_has_left,
)

__all__ = ["run"]

log = logging.getLogger(__name__)

_INTERRUPTED = "interrupted; finished answers and checkpoints are kept"
# Choices that exist once their package is installed.
_SWEEP = "pip install 'moe2-pl[sweep]'"
_PLUGINS = {
    ("hydra/launcher", "ray"): "pip install 'moe2-pl[ray]' && pip install --no-deps hydra-ray-launcher",
    ("hydra/launcher", "submitit_local"): _SWEEP,
    ("hydra/launcher", "submitit_slurm"): _SWEEP,
    ("hydra/sweeper", "optuna"): _SWEEP,
}
# Of errors that name no file those that a user can do something about.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(config_dir: Path, config_name: str, task: Callable[[DictConfig], object]) -> None:
    """Compose ``config_dir/config_name`` with the command line's overrides and call ``task``.

    Expected errors are printed as one line and end the process with status 1; ``HYDRA_FULL_ERROR=1`` shows
    tracebacks instead. ``-v`` (``--verbose``) shows this package's debugging lines.
    """
    register_schema()
    # Threads that wait for others' spin by default, which on a busy machine takes the time of those that work: with two
    # other processes on two cores planning took forty times as long, training twice. To be said before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # -v in Hydra's words, which has no such flag: our own lines, not those of every library.
    sys.argv[1:] = ["hydra.verbose=moe2_pl" if flag in ("-v", "--verbose") else flag for flag in sys.argv[1:]]
    verbose = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")

    # Inside Hydra's job, or Hydra would add lines of its own; wraps: Hydra looks at the task's module.
    @wraps(task)
    def guarded(config: DictConfig) -> object:
        if in_multirun() and not verbose:
            return _alone(task, config)
        with _expected_errors(verbose), _interrupt_in_log():
            try:
                return task(config)
            except Exception as error:
                # Standard error gets it once the job has ended.
                leave_in_log(f"error: {_one_line(error)}", logging.ERROR)
                raise

    with (
        _expected_errors(verbose),
        SweepSummary.merged_at_the_end(),
        ray_errors_told(),
        train_only_told(config_name),
        arguments_told(config_name),
        _run_folder_told(verbose),
        _raising_hydra(),
    ):
        hydra.main(version_base="1.3", config_path=str(config_dir), config_name=config_name)(guarded)()


@contextmanager
def _raising_hydra() -> Iterator[None]:
    """Make Hydra raise what went wrong; it would print a report of many lines and exit."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def _alone(task: Callable[[DictConfig], object], config: DictConfig) -> object:
    """One job of a multirun, which an expected error ends alone: for sweepers a trial without a value."""
    forget_job()
    try:
        with _interrupt_in_log():
            value = task(config)
        end_job()
        return value
    except InfeasibleBudgetError as error:
        # Of a sweep over budgets a result like others.
        write_job(status="infeasible", reason=str(error))
        log.warning("infeasible (%s): %s", " ".join(differing()), error.short)
    except Exception as error:
        if not _expected(error):
            raise
        # Not raised: Hydra would print a line of its own.
        why = _one_line(error)
        write_error(f"{job_name()}: {why}")
        log.error("failed (%s): %s", " ".join(differing()), why)
    return None


@contextmanager
def _interrupt_in_log() -> Iterator[None]:
    """Leave an interrupt in the log of its run, too."""
    try:
        yield
    except KeyboardInterrupt:
        leave_in_log(_INTERRUPTED, logging.WARNING)
        raise


@contextmanager
def _expected_errors(verbose: bool) -> Iterator[None]:
    try:
        yield
        # What is still buffered, as --help is: a reader that has left is noticed here, not when the process ends.
        sys.stdout.flush()
    except Exception as error:
        if isinstance(error, BrokenPipeError) and reader_has_left():
            sys.exit(1)
        if verbose or not _expected(error):
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(_INTERRUPTED, file=sys.stderr)
        sys.exit(130)
    except SystemExit:
        # --version ends so; what it printed is still buffered.
        if not flushed():
            sys.exit(1)
        raise
    finally:
        # After an error, too: what it left in the buffer would break the pipe when the interpreter ends.
        flushed()


@contextmanager
def _run_folder_told(verbose: bool) -> Iterator[None]:
    """Say which setting names the folder that Hydra cannot write; what the task cannot write it says itself.

    Raises:
        ConfigError: a folder that cannot be made, or a file in it.
    """
    try:
        yield
    except OSError as error:
        if verbose or not _of_a_file(error):
            raise
        raise ConfigError(
            f"the run folder cannot be written: {_one_line(error)}; hydra.run.dir=FOLDER names another, "
            "hydra.sweep.dir=FOLDER that of a multirun"
        ) from error


def _expected(error: Exception) -> bool:
    """Whether one line says what the user can do; anything else is a defect that needs its traceback."""
    expected = (MoE2Error, HydraException, OmegaConfBaseException, YAMLError)
    return isinstance(error, expected) or (isinstance(error, OSError) and _of_a_file(error))


def _of_a_file(error: OSError) -> bool:
    return bool(error.strerror) and (error.filename is not None or error.errno in _FULL)


def _one_line(error: BaseException) -> str:
    cause = error.__cause__
    if isinstance(error, YAMLError):
        return f"the configuration is not valid YAML: {' '.join(str(error).split())}"
    if isinstance(error, OSError) and error.strerror:
        where = f"'{error.filename}': " if error.filename is not None else ""
        return f"{where}{error.strerror}{'' if where else '; HYDRA_FULL_ERROR=1 shows where'}"
    if isinstance(error, MissingConfigException):
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        if (group, name) in _PLUGINS:
            return f"{group}={name} is not installed: {_PLUGINS[group, name]}"
        if group and error.options:
            return str(UnknownNameError(group.split("@")[0], name, error.options))
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        return _one_line(cause)
    if isinstance(error, (ConfigAttributeError, ConfigKeyError)) and error.full_key:
        key = str(error.full_key)
        siblings = _keys(error.parent_node)
        close = closest(key.rpartition(".")[2], siblings)
        hint = f"did you mean '{close}'?" if close else f"known here: {', '.join(siblings)}"
        return f"unknown key '{key}': {hint}"
    if isinstance(error, ValidationError):
        if "is not a ListConfig" in str(error):
            return f"{error.full_key} must be a list, even of one: {error.full_key}=[…]"
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    if isinstance(cause, MoE2Error):
        return str(cause)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("Ambiguous value for argument"):
        return f"{lines[0]}: several runs need -m, and a list its brackets, key=[…]"
    return "; ".join(lines[:2])


def _keys(node: object) -> list[str]:
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
        fields: Iterable[object] = OmegaConf.to_container(node, resolve=False, throw_on_missing=False) or ()
        return sorted(str(k) for k in fields)
    return []
