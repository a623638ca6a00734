"""What Ray refuses, told in one line. No cluster is started."""

import builtins
import socket
import sys
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from moe2_pl._ray import connect_ray
from moe2_pl.cli._ray_cluster import RayCluster, ray_errors_told
from moe2_pl.errors import ConfigError, MoE2Error


def test_where_ray_is_not_installed_the_line_says_what_asks_for_it_and_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"^hydra/launcher=ray needs Ray: pip install 'moe2-pl\[ray\]'"):
        connect_ray("hydra/launcher=ray", "hydra.launcher.ray.init.address")


def test_where_amdsmi_keeps_ray_from_being_imported_the_line_says_to_remove_it(monkeypatch, capsys):
    imported = builtins.__import__

    def without_the_library(name, *args, **kwargs):
        if name == "ray":
            print("Unable to find libamd_smi.so")
            raise KeyError("libamd_smi.so")
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_the_library)
    with pytest.raises(ConfigError, match=r"^precompute=ray: .*pip uninstall amdsmi$"):
        connect_ray("precompute=ray", "precompute.address")
    assert not capsys.readouterr().out


def test_where_nobody_answers_at_the_address_the_line_comes_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=rf"^precompute.address '{address}': no Ray cluster answers"):
            connect_ray("precompute=ray", "precompute.address", address)


def test_a_job_that_the_cluster_loses_is_one_line_and_other_errors_pass(monkeypatch):
    lost = type("WorkerCrashedError", (Exception,), {})
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(exceptions=SimpleNamespace(RayError=lost)))
    line = r"^the Ray cluster has lost a job: the worker died; see its log$"
    with pytest.raises(MoE2Error, match=line), ray_errors_told():
        raise lost("the worker died;\n  see its log")
    with pytest.raises(KeyError), ray_errors_told():
        raise KeyError("another")


def test_a_client_of_a_cluster_is_refused_since_its_jobs_would_write_elsewhere(monkeypatch):
    launcher = {
        "_target_": "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
        "ray": {"init": {"address": None}},
    }
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(SystemExit, match=r"^error: hydra/launcher=ray takes no ray:// address"):
        RayCluster().on_multirun_start(OmegaConf.create({"hydra": {"launcher": launcher}}))
    monkeypatch.setitem(sys.modules, "ray", None)
    RayCluster().on_multirun_start(OmegaConf.create({"hydra": {"launcher": {"_target_": "another"}}}))
