"""Settings of a model that mean another backend say which."""

import pytest

from moe2_pl.errors import MoE2Error
from moe2_pl.experts import open_backend


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "vllm", "model": "m"}, "'vllm'; a server is asked by backend: endpoint, with its URL as base_url"),
        ({"backend": "Ollama", "model": "m"}, "is 'Ollama'; a server is asked by backend: endpoint"),
        ({"backend": "openai", "model": "m"}, "a server is asked by backend: endpoint"),
        (
            {"base_url": "http://here/v1", "model": "m"},
            "models.mine: base_url is a setting of backend 'endpoint', .* is 'transformers'; give backend: endpoint",
        ),
        (
            {"backend": "llama_cpp", "model": "m", "adapter": "a"},
            "adapter is a setting of backend 'transformers', .* is 'llama_cpp'; give backend: transformers",
        ),
        ({"backend": "llama_cpp", "model": "m", "thread": 1}, "of model 'mine' 'thread': did you mean 'threads'"),
        ({"backend": "llamacpp", "model": "m"}, "unknown backend of model 'mine' 'llamacpp': did you mean 'llama_cpp'"),
        ({"file": "x.gguf"}, "expert_pool.models.mine lacks model"),
    ],
)  # fmt: skip
def test_settings_of_another_backend_say_which_it_is(settings, message):
    with pytest.raises(MoE2Error, match=message) as caught:
        open_backend("mine", settings)
    assert "\n" not in str(caught.value)
