"""One small server for all tests that ask an endpoint."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.experts.servers import ModelServer, running, safetensors_folder, transformers_server


@pytest.fixture(scope="session")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """``transformers serve`` of SmolLM2."""
    folder: Path = tmp_path_factory.mktemp("served")
    server = transformers_server(folder / "smollm2", folder / "log")
    safetensors_folder(folder / "smollm2")
    with running(server):
        yield server
