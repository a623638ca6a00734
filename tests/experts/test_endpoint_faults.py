"""Whatever the network and the server do: every answer comes, as without faults, and nothing is asked needlessly."""

import json
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import smollm2
from tests.experts.servers import Cut, Fault, Garbled, Hang, Proxy, Status, llama_cpp_server, running

from moe2_pl.errors import ConfigError, EndpointError, MoE2Error
from moe2_pl.experts._endpoint._backend import EndpointBackend
from moe2_pl.experts._endpoint._calls import retry_after_s
from moe2_pl.questions import Choices, Prompt

pytestmark = pytest.mark.xdist_group("endpoint")

PROMPTS = [
    Prompt(f"{word} is a kind of", max_tokens=4) for word in ("Tea", "An oak", "A pike", "Iron", "A viola")
]
FAST = {"backoff_s": 0.05, "concurrency": 3}


def backend(url, model, **options):
    return EndpointBackend(url, model, **{**FAST, **options})


@pytest.fixture(scope="module")
def answers(small_server):
    """What the server answers where nothing fails."""
    return backend(small_server.url, small_server.model).generate(PROMPTS)


def asked(proxy: Proxy) -> Counter[str]:
    return Counter(json.loads(post.body)["prompt"] for post in proxy.posts)


def faults(proxy: Proxy) -> Counter[str]:
    return Counter(json.loads(post.body)["prompt"] for post in proxy.posts if post.fault is not None)


@pytest.mark.parametrize(
    "fault",
    [
        Status(429),
        Status(500),
        Status(503, body="<html>no such luck</html>"),
        Hang(4.5),
        Cut(),
        Garbled(),
        Garbled(body="<html>a gateway's page</html>"),
    ],
    ids=lambda fault: type(fault).__name__ + str(getattr(fault, "code", "")),
)
def test_after_a_fault_a_request_is_put_once_more_and_no_other(small_server, answers, fault: Fault):
    with Proxy(small_server.url, lambda n, path: fault if n in (0, 4) else None) as proxy:
        mine = backend(proxy.url, small_server.model, timeout_s=4.0 if isinstance(fault, Hang) else 60.0)
        assert mine.generate(PROMPTS) == answers
    assert len(proxy.posts) == len(PROMPTS) + 2
    assert asked(proxy) == Counter(prompt.text for prompt in PROMPTS) + faults(proxy)


def test_a_pause_that_the_server_asks_for_is_kept_by_every_request(small_server, answers):
    pause_s = 1.5
    limit = Status(429, headers={"Retry-After": str(pause_s)})
    with Proxy(small_server.url, lambda n, path: limit if n == 1 else None) as proxy:
        assert backend(proxy.url, small_server.model, concurrency=2).generate(PROMPTS) == answers
    assert len(proxy.posts) == len(PROMPTS) + 1
    refused_at = next(post.at for post in proxy.posts if post.fault is not None)
    # What was sent before the refusal had arrived may still come in; nothing after it, until the pause is over.
    assert not [post for post in proxy.posts if refused_at + 0.5 < post.at < refused_at + pause_s - 0.01]
    assert max(post.at for post in proxy.posts) >= refused_at + pause_s - 0.01


def test_a_server_that_is_down_for_a_while_is_waited_for(small_server, answers):
    def third(n: int, path: str) -> Fault | None:
        if n == 2:
            threading.Thread(target=outage).start()
        return None

    def outage() -> None:
        proxy.down()
        time.sleep(2.0)
        proxy.up()

    with Proxy(small_server.url, third) as proxy:
        # Without patience the one repetition would be over long before the server is back.
        assert backend(proxy.url, small_server.model, retries=1).generate(PROMPTS) == answers
    assert max(asked(proxy).values()) <= 2


def test_a_server_that_stays_down_is_given_up_after_the_patience(small_server):
    with Proxy(small_server.url) as proxy:
        mine = backend(proxy.url, small_server.model, retries=1, patience_s=1.0)
        mine.generate(PROMPTS[:1])
    started = time.monotonic()
    with pytest.raises(
        EndpointError, match=rf"{proxy.url}/completions: connection refused; tried \d+ times in"
    ):
        mine.generate(PROMPTS[:1])
    # It ends where the next wait would pass the patience: after about half of it.
    assert 0.4 < time.monotonic() - started < 5.0


def test_a_server_that_never_answered_is_given_up_after_the_retries():
    with pytest.raises(
        EndpointError, match=r"/v1/models: connection refused; tried 3 times in \d s \(retries=2"
    ):
        backend("http://127.0.0.1:9/v1", "small", retries=2, patience_s=20.0).generate(PROMPTS)


def test_an_unknown_host_is_told_at_once():
    started = time.monotonic()
    with pytest.raises(EndpointError, match=r"unknown host|connection lost"):
        backend("http://no-such-host.invalid/v1", "small", retries=2).generate(PROMPTS)
    assert time.monotonic() - started < 5.0


def test_when_the_retries_are_used_up_the_error_says_where_what_and_how_often():
    with (
        Proxy(None, lambda n, path: Status(500, body='{"error": {"message": "out of memory"}}')) as proxy,
        pytest.raises(EndpointError) as error,
    ):
        backend(proxy.url, "small", retries=2, concurrency=1).generate(PROMPTS)
    assert str(error.value).startswith(
        f"{proxy.url}/completions: HTTP 500: out of memory; tried 3 times in 0 s"
    )
    assert len(proxy.posts) == 3, "the error of one request stops the others"


def test_a_pause_beyond_the_patience_is_not_waited_for():
    limit = Status(429, headers={"Retry-After": "3600"})
    with (
        Proxy(None, lambda n, path: limit) as proxy,
        pytest.raises(
            EndpointError, match="HTTP 429: injected, which asks for a pause of 3600 s; tried once"
        ),
    ):
        backend(proxy.url, "small").generate(PROMPTS[:1])
    assert len(proxy.posts) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Status(400, body='{"error": {"message": "stop must be a list"}}'), "HTTP 400: stop must be a list$"),
        (Status(404, body='{"error": {"message": "The model `small` does not exist"}}'), "does not exist"),
        (Status(422, body='{"detail": "Unexpected fields"}'), "HTTP 422: Unexpected fields"),
        (Status(429, body='{"error": {"code": "insufficient_quota", "message": "pay"}}'), "HTTP 429: pay"),
    ],
    ids=["400", "404", "422", "quota"],
)
def test_what_will_not_go_away_is_asked_once(fault, message):
    with Proxy(None, lambda n, path: fault) as proxy, pytest.raises(ConfigError, match=message):
        backend(proxy.url, "small").generate(PROMPTS[:1])
    assert len(proxy.posts) == 1


_SECRET = 'sk-"not/to\\be-told'


@pytest.mark.parametrize(
    "answer",
    [
        Status(401, body=json.dumps({"error": {"message": f"Incorrect API key: {_SECRET}"}})),
        Status(401, body="".join(f"\\u{ord(letter):04x}" for letter in _SECRET).join(('{"error": "', '"}'))),
        Status(400, body=f"no JSON, but {_SECRET}"),
        Status(503, body="x" * 290 + _SECRET),
        Status(200, body=json.dumps({"error": _SECRET})),
        Status(200, body=json.dumps({"choices": [{"text": "a"}], "usage": {_SECRET: _SECRET}})),
        Status(200, body=json.dumps({"data": [{"id": _SECRET}]})),
    ],
)
def test_a_key_that_a_server_repeats_is_nowhere_in_what_is_told(monkeypatch, caplog, answer):
    monkeypatch.setenv("SMALL_KEY", _SECRET)
    with Proxy(None, lambda n, path: answer) as proxy:
        mine = backend(proxy.url, "small", api_key_env="SMALL_KEY", retries=1, patience_s=0)
        with pytest.raises(MoE2Error) as error:
            mine.generate([Prompt("2 + 2 =", 4)])
    told = "".join(traceback.format_exception(error.value)) + caplog.text + str(error.value)
    for form in (_SECRET, json.dumps(_SECRET)[1:-1], _SECRET[:8]):
        assert form not in told


@pytest.mark.parametrize("key", ["sk-told\n", " sk-told", "sk told", "sk-töld"])
def test_a_key_that_no_header_takes_is_refused_without_being_told(monkeypatch, key):
    monkeypatch.setenv("SMALL_KEY", key)
    mine = backend("http://127.0.0.1:9/v1", "small", api_key_env="SMALL_KEY")
    with pytest.raises(ConfigError, match="SMALL_KEY holds a blank") as error:
        mine.generate([Prompt("2 + 2 =", 4)])
    assert key.strip() not in "".join(traceback.format_exception(error.value))


def test_the_key_is_sent_and_never_told(monkeypatch):
    monkeypatch.setenv("SMALL_KEY", "sk-not-to-be-told")
    refusal = Status(401, body='{"error": {"message": "Incorrect API key provided: sk-not-to-be-told"}}')
    with Proxy(None, lambda n, path: refusal) as proxy:
        mine = backend(proxy.url, "small", api_key_env="SMALL_KEY")
        with pytest.raises(ConfigError) as error:
            mine.generate(PROMPTS[:1])
    assert proxy.posts[0].headers["authorization"] == "Bearer sk-not-to-be-told"
    assert len(proxy.posts) == 1
    assert "Incorrect API key provided: …; the environment variable SMALL_KEY" in str(error.value)
    assert "sk-not-to-be-told" not in repr((error.value, mine.identity, vars(mine)))


def test_no_more_requests_than_allowed_are_under_way_at_once_and_nothing_is_left_behind(small_server):
    lock, under_way, most = threading.Lock(), 0, 0

    def slow(n: int, path: str) -> Fault | None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.1)
        with lock:
            under_way -= 1
        return Status(404, body='{"error": {"message": "no such model"}}') if n >= 8 else None

    with Proxy(None, slow) as proxy:
        mine = backend(proxy.url, "small", concurrency=4)
        me = psutil.Process()
        for _ in range(2):
            with pytest.raises(ConfigError):
                mine.generate([Prompt(f"{n}") for n in range(32)])
        threads, files = me.num_threads(), me.num_fds()
        for _ in range(4):
            with pytest.raises(ConfigError):
                mine.generate([Prompt(f"{n}") for n in range(32)])
        time.sleep(0.5)
        assert me.num_threads() <= threads
        assert me.num_fds() <= files
    assert most == 4


def test_an_interrupt_ends_the_wait_for_a_hanging_server():
    with Proxy(None, lambda n, path: Hang(60.0)) as proxy:
        code = (
            "from moe2_pl.experts._endpoint._backend import EndpointBackend\n"
            "from moe2_pl.questions import Prompt\n"
            f"EndpointBackend({proxy.url!r}, 'small').generate([Prompt('a'), Prompt('b')])\n"
        )
        # Whoever runs the tests in the background may have had interrupts ignored, which processes inherit.
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stderr=subprocess.PIPE,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        until = time.monotonic() + 120
        while len(proxy.posts) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=45)  # the server hangs for 60
    assert process.returncode == -signal.SIGINT
    assert stderr.decode().strip().endswith("KeyboardInterrupt")


@settings(deadline=None)
@given(seconds=st.floats(0, 1e6))
def test_a_pause_in_seconds_is_read_as_given(seconds: float):
    assert retry_after_s(str(seconds)) == seconds


@settings(deadline=None)
@given(seconds=st.integers(-1000, 100_000))
def test_a_pause_until_a_date_is_the_time_until_then(seconds: int):
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    assert retry_after_s(at) == pytest.approx(max(0, seconds), abs=5)


@settings(deadline=None)
@given(text=st.text())
def test_whatever_stands_in_the_header_is_no_negative_pause(text: str):
    found = retry_after_s(text)
    assert found is None or found >= 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["score", "generate"])
def test_a_server_that_is_killed_and_started_again_half_way_loses_nothing(tmp_path, kind):
    """The process of llama-cpp-python's server, killed with SIGKILL while it answers."""
    words = ("tea", "an oak", "a pike", "iron", "a viola", "a carp", "gold", "coffee")
    if kind == "score":
        requests = [Choices(f"Question: is {word} alive? Answer:", (" yes", " no")) for word in words]
    else:
        requests = [Prompt(f"What is {word}?", max_tokens=12, chat=True) for word in words]
    server = llama_cpp_server(smollm2.folder() / smollm2.FILE, tmp_path / "log")
    with running(server):
        options = {"begin": "<|im_start|>", "timeout_s": 120.0, "concurrency": 1}
        expected = getattr(backend(server.url, "small", **options), kind)(requests)

        def crash(n: int, path: str) -> Fault | None:
            if n == 6:
                threading.Thread(target=again).start()
            return None

        def again() -> None:
            time.sleep(0.1)
            server.kill()
            time.sleep(2.0)
            server.start()

        with Proxy(server.url, crash) as proxy:
            found = getattr(backend(proxy.url, "small", **options), kind)(requests)
    assert found == expected
    through = Counter(post.body for post in proxy.posts)
    assert sum(count > 1 for count in through.values()) == 1, (
        "what was under way is asked again, and only that"
    )
