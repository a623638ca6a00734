"""What every room's tests share: small recorded outputs, and a word on the browser."""

import numpy as np
import pytest

from moe2_pl.outputs import SURFACE_NAMES, ExpertOutputs


def pytest_report_header() -> str:
    """Says before the first test whether the pages will be looked at, since skipped tests are easily missed."""
    from tests.browser import executable

    return f"browser: {executable() or 'none found, tests that need one are skipped'}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets groups of tests stay in one process: pytest-xdist 3.8 names them where pytest 9.2 no longer looks.

    Can go with https://github.com/pytest-dev/pytest-xdist/issues/1386.
    """
    for item in items:
        named = vars(item).get("_nodeid")
        if named and hasattr(item, "_id"):
            item._id = type(item._id).parse(named)


def make_outputs(n: int = 400, seed: int = 0, models: int = 3) -> ExpertOutputs:
    """Outputs whose scores follow from the features: each model is good where its direction points."""
    rng = np.random.default_rng(seed)
    embedding = rng.standard_normal((n, 8)).astype(np.float32)
    direction = rng.standard_normal((8, models))
    chance = 1 / (1 + np.exp(-2 * embedding @ direction))
    category = rng.integers(0, 2, n)
    return ExpertOutputs(
        id=np.array([f"{i:08x}#0" for i in range(n)]),
        score=(rng.random((n, models)) < chance).astype(np.float32),
        category=category,
        prompt_tokens=rng.integers(5, 200, n),
        experts=tuple(f"model-{j}" for j in range(models)),
        categories=("assistant", "coder"),
        features={"minilm": embedding},
        surface=rng.standard_normal((n, len(SURFACE_NAMES))).astype(np.float32),
        surface_names=SURFACE_NAMES,
        family=2 * category + rng.integers(0, 2, n),
        families=("trivia", "chat", "mbpp", "human_eval"),
        output_tokens=rng.integers(1, 50, (n, models)),
        split=(np.arange(n) % 10 == 0).astype(np.int64),
        splits=("train", "test"),
    )


@pytest.fixture(scope="session")
def outputs() -> ExpertOutputs:
    """400 queries on three models."""
    return make_outputs()
