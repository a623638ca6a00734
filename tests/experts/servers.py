"""Real OpenAI-compatible servers of a small model, and a proxy before them that injects faults; all on loopback."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests import smollm2


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ModelServer:
    """A process that serves one model.

    Args:
        command: that starts it.
        port: where it listens.
        model: name that it answers to.
        ready: path that answers once it is up.
        log: file for what it prints.
    """

    command: list[str]
    port: int
    model: str
    ready: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self, wait_s: float = 120.0) -> None:
        """Start the process and wait until it answers."""
        quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **quiet}
            )
        until = time.monotonic() + wait_s
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.ready}", timeout=5).close()
                return
            time.sleep(0.1)
        raise AssertionError(f"{self.command} does not answer: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL, as a crash would be."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def running(server: ModelServer) -> Iterator[ModelServer]:
    """The server, up until the end of the block."""
    try:
        server.start()
        yield server
    finally:
        server.kill()


def transformers_server(folder: Path, log: Path) -> ModelServer:
    """``transformers serve`` of a local folder: completions and chats, no log-probs, ``echo`` ignored silently."""
    for package in ("fastapi", "uvicorn"):
        if find_spec(package) is None:
            pytest.skip(f"transformers serve needs {package}")
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder), *where]
    return ModelServer(command, port, str(folder), "/health", log)


def llama_cpp_server(gguf: Path, log: Path, **options: Any) -> ModelServer:
    """llama-cpp-python's server of a GGUF file, by the name ``small``; it has log-probs of a prompt."""
    if find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed")
    port = free_port()
    settings = {
        "model": gguf,
        "model_alias": "small",
        "host": "127.0.0.1",
        "port": port,
        "logits_all": "true",
        "n_ctx": 512,
        "n_threads": 1,
        "n_threads_batch": 1,
    }
    flags = [str(word) for key, value in {**settings, **options}.items() for word in (f"--{key}", value)]
    return ModelServer([sys.executable, "-m", "llama_cpp.server", *flags], port, "small", "/v1/models", log)


def safetensors_folder(folder: Path) -> Path:
    """SmolLM2 as a folder of safetensors, written from the GGUF file of the package."""
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source, file = smollm2.folder(), smollm2.FILE
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=file)
    tensors = {
        key: value.bfloat16().contiguous()
        for key, value in model.state_dict().items()
        if key != "lm_head.weight"  # the embedding's
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = model.config
    del config.quantization_config
    config.architectures, config.dtype = [type(model).__name__], "bfloat16"
    config.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=file).save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Status:
    """An HTTP status instead of an answer."""

    code: int
    body: str = '{"error": {"message": "injected"}}'
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hang:
    """Silence, longer than the client waits."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """The model's answer, cut off in the middle of the body."""


@dataclass(frozen=True)
class Garbled:
    """A body that breaks off within its JSON, but is whole as far as HTTP goes."""

    body: str = '{"choices": [{"text": "Par'


Fault = Status | Hang | Cut | Garbled


@dataclass
class Seen:
    """A request that reached the proxy: when, where, its body, its headers in small letters, and what befell it."""

    at: float
    path: str
    body: bytes
    headers: Mapping[str, str]
    fault: Fault | None = None


class Proxy:
    """Passes requests on to a server, except those that a script says something shall befall.

    Args:
        target: base URL of the server; None where every request has a fault.
        fault: number of a POST, counted from 0, and its path → what befalls it; None for nothing.
        models: names in the list of models; None for the server's own list.
    """

    def __init__(
        self,
        target: str | None,
        fault: Callable[[int, str], Fault | None] = lambda n, path: None,
        models: Sequence[str] | None = None,
    ) -> None:
        self.target, self.fault, self.models = target, fault, models
        self.seen: list[Seen] = []
        self.port = free_port()
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.up()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def posts(self) -> list[Seen]:
        """Requests other than for the list of models."""
        return [seen for seen in self.seen if seen.body]

    def up(self) -> None:
        """Listen, on the same port as before."""
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def down(self) -> None:
        """Refuse connections until :meth:`up`."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def note(self, path: str, body: bytes, headers: Mapping[str, str]) -> Fault | None:
        """Write a request down; returns what befalls it."""
        seen = Seen(time.monotonic(), path, body, {key.lower(): value for key, value in headers.items()})
        with self._lock:
            n = len(self.posts)
            self.seen.append(seen)
        if body:
            seen.fault = self.fault(n, path)
        return seen.fault

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *error: object) -> None:
        self.down()


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("content-length", 0))))

    def _serve(self, body: bytes) -> None:
        fault = self.proxy.note(self.path, body, dict(self.headers))
        with contextlib.suppress(OSError):  # the client may have gone
            if isinstance(fault, Status):
                self._send(fault.code, fault.body.encode(), fault.headers)
            elif isinstance(fault, Garbled):
                self._send(200, fault.body.encode(), {})
            elif isinstance(fault, Hang):
                time.sleep(fault.seconds)
            elif not body and self.path == "/v1/models" and self.proxy.models is not None:
                names = [{"id": name, "object": "model"} for name in self.proxy.models]
                self._send(200, json.dumps({"object": "list", "data": names}).encode(), {})
            elif self.proxy.target is None:
                self._send(404, b'{"detail": "Not Found"}', {})
            else:
                self._pass_on(body, cut=isinstance(fault, Cut))

    def _pass_on(self, body: bytes, cut: bool) -> None:
        host = str(self.proxy.target).removeprefix("http://").removesuffix("/v1")
        server = http.client.HTTPConnection(host, timeout=120)
        with contextlib.closing(server):
            try:
                server.request(self.command, self.path, body, {"content-type": "application/json"})
                answer = server.getresponse()
                whole = answer.read()
            except (OSError, http.client.HTTPException):
                self._send(502, b'{"error": {"message": "the server behind is gone"}}', {})
                return
        if not cut:
            self._send(answer.status, whole, {})
            return
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole[: len(whole) // 2])
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in {"content-type": "application/json", **headers}.items():
            self.send_header(key, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
