"""A folder like a checkout, in which the commands of the documentation run, and a gate for those that need one."""

import io
import multiprocessing
import os
import runpy
import shutil
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a command needs of a checkout; blocks may write files of their own beside them.
_CHECKOUT = ("train.py", "evaluate.py", "conf", "Makefile")
# A gate that is trained in a second or two: what it predicts is not what the blocks are about.
_TRAINED = (
    "gate=linear",
    "trainer.max_epochs=2",
    "certificate=off",
    "logger=csv",
    "hydra.run.dir=outputs/first",
)
_LIMIT_S = 540


@dataclass(frozen=True)
class Finished:
    """A command that ended: its exit status and what it printed."""

    status: int
    output: str


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A checkout with ``outputs/first``, the run that the pages go on with."""
    folder = tmp_path_factory.mktemp("documented") / "checkout"
    folder.mkdir()
    for name in _CHECKOUT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    done = run_script(folder, ["train.py", *_TRAINED])
    assert done.status == 0, done.output
    return folder


@pytest.fixture(scope="session")
def checkouts(trained) -> dict[str, Path]:
    """Page → its checkout: the blocks of a page build on each other, pages do not."""
    return {}


@pytest.fixture
def checkout(request, trained, checkouts) -> Path:
    """The checkout of the page whose block is tested."""
    page = request.getfixturevalue("page")
    if page not in checkouts:
        folder = trained.parent / page.replace("/", "-")
        checkouts[page] = Path(shutil.copytree(trained, folder))
    return checkouts[page]


def run_script(folder: Path, argv: Sequence[str]) -> Finished:
    """Run a Python script as a process of its own, forked from one that has imported the large libraries already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["moe2_pl.cli", "lightning", "sklearn.ensemble", "plotly.graph_objects", "wandb"]
    )
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_script, args=(str(folder), list(argv), theirs))
    process.start()
    theirs.close()
    try:
        done = Finished(*ours.recv()) if ours.poll(_LIMIT_S) else Finished(124, "no end in sight")
    except EOFError:
        done = Finished(1, "it died")
    process.join(5)
    process.kill()
    return done


def _script(folder: str, argv: list[str], pipe) -> None:
    os.chdir(folder)
    sys.argv = argv
    printed = io.StringIO()
    status = 0
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            runpy.run_path(str(Path(folder) / argv[0]), run_name="__main__")
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        except BaseException:
            status = 1
            traceback.print_exc()
    pipe.send((status, printed.getvalue()))
