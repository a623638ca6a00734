"""The experiments that the documentation tells of are what it says."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tests.docs.conftest import ROOT

from moe2_pl.cli._schema import register_schema
from moe2_pl.pool import ExpertPool


@pytest.fixture
def composed():
    register_schema()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield lambda *overrides: compose("train", list(overrides))


def test_paper_mmlu_is_the_papers_setting(composed):
    config = composed("experiment=paper_mmlu")
    assert config.objective.name == "mixture"
    assert config.expert_pool.energy_model == "active"
    assert config.data.category == "family"
    assert config.gate.get("fitted") is None, "a forest predicts scores, a mixture has weights"


def test_elastic_pool_trains_on_experts_that_jetson_mix_has_unchanged(composed):
    small, large = (
        ExpertPool.from_mapping(OmegaConf.to_container(config.expert_pool, resolve=True))
        for config in (composed("experiment=elastic_pool"), composed())
    )
    assert set(small.model_ids) < set(large.model_ids)
    assert len(large.model_ids) - len(small.model_ids) == 3
    experts, devices = ({item.name: item for item in items} for items in (large.experts, large.devices))
    assert all(experts[expert.name] == expert for expert in small.experts)
    assert all(devices[device.name] == device for device in small.devices)


def test_small_models_only_plans_with_six_of_nine(composed):
    config = composed("experiment=small_models_only")
    assert len(config.expert_pool.experts) - len(config.expert_pool.excluded) == 6
