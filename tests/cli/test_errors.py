"""A mistake is answered with one line that names it, status 1, and no file that looks like a result."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from tests.cli.conftest import ROOT, script

from moe2_pl.cli import run
from moe2_pl.gate import GatingModule
from moe2_pl.outputs import ExpertOutputsDataModule, FeatureSpec, find_outputs

MISTAKES = {
    "expert_pool=jetson_mx": "unknown expert_pool 'jetson_mx': did you mean 'jetson_mix'?",
    "device@expert_pool.devices.orin_a=agx_orn": "unknown device 'agx_orn': did you mean 'agx_orin_32gb'?",
    "objective=mixtur": "unknown objective 'mixtur': did you mean 'mixture'?",
    "objective.name=competense": "unknown objective 'competense': did you mean 'competence'?",
    "gate=mpl": "unknown gate 'mpl': did you mean 'mlp'?",
    "trainer.max_epoch=3": "unknown key 'trainer.max_epoch': did you mean 'max_epochs'?",
    "trainer.max_epochs=abc": "trainer.max_epochs: Value 'abc'",
    "budgt=tight": "budgt",
    "seed=one": "seed: Value 'one'",
    "seed=0,1": "several runs need -m",
    "stages=fit": "stages must be a list, even of one: stages=[…]",
    "stages=[fi]": "unknown stage 'fi': did you mean 'fit'?",
    "stages=[evaluate]": "give checkpoint=",
    "data.category=applicaton": "did you mean 'application'?",
    "encoder.name=minilmm": "did you mean 'minilm'?",
    "gate.network.hidden=abc": "gate.network.hidden is 'abc'; it must be of type int",
    "gate.network.hiden=3": "did you mean 'hidden'?",
    "gate.optimizer.lr=-1": "gate.optimizer or gate.scheduler cannot be used",
    "budget.energy_j=-5": "budget.energy_j is -5; a number ≥ 0",
    "budget.energy_j=nan": "budget.energy_j is nan; a number ≥ 0",
    "budget.preset=tihgt": "did you mean 'tight'?",
    "budget.latency_s={tutr: 30}": "did you mean 'tutor'?",
    "budget.latency_s=1": "no subset meets the budget",
    "budget.power_w=-1": "budget.power_w is -1.0",
    "tariff.usd_per_kwh=0": "tariff.usd_per_kwh is 0.0",
    "expert_pool.devices.orin_a.mode=20W": "unknown mode of device 'orin_a' '20W': did you mean '30W'?",
    "traffic.queries_per_s=0": "queries_per_s",
    "expert_pool.excluded=[codegema-7b]": "did you mean 'codegemma-7b'?",
    "expert_pool.outputs=jetson_mx": "did you mean 'jetson_mix'?",
    "expert_pool.experts.llama-8b.device=rtx_c": "unknown device of expert 'llama-8b' 'rtx_c'",
    "expert_pool.experts.llama-8b.model_id=llama": "unknown expert in these outputs 'llama'",
    "expert_pool.experts.llama-8b.bits=64": "more than 'rtx_a' has",
    "~expert_pool.output_tokens.mmlu": "says nothing of mmlu",
    "solver.name=magic": "unknown solver 'magic'",
    "certificate.seeds=0": "certificate.seeds is 0",
    "certificate.random=-1": "certificate.random is -1",
    "gate.extend_from=gate.ckpt": "no checkpoint at 'gate.ckpt'",
    "expert_pool.questions=[{source: skills}]": "expert_pool.outputs=null asks its models",
    "sweep.energy_points=-1": "sweep.energy_points is -1",
    "foo bar": "'foo bar' is no setting: settings are key=value",
    "train.py": "'train.py' is no setting: settings are key=value",
    "budget.latency_s={tutor:": "'budget.latency_s={tutor:' has a bracket or quote without its partner",
    "expert_pool.excluded=[a b": "'key={a: 1, b: 2}'",
    "budget.latency_s=3)": "has a bracket or quote without its partner",
    "a=b=c": "the value of 'a=b=c' cannot be read: text with = , : or brackets needs quotes of its own, 'a=\"…\"'",
    "seed=rnge(3)": "the value of 'seed=rnge(3)' cannot be read: HydraException while evaluating 'rnge(3)': Unknown",
    "ckpt=gate.ckpt": "unknown key 'ckpt': did you mean 'checkpoint'?",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_is_answered_with_one_line_and_leaves_no_result(call, tmp_path, override):
    printed = call("train", override, "trainer.max_epochs=1", "logger=csv")
    assert MISTAKES[override] in printed
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    left = {p.name for p in (tmp_path / "run").rglob("*") if p.is_file() and p.parent.name != ".hydra"}
    assert left <= {"train.log"}


def test_an_infeasible_budget_says_what_each_category_needs_and_by_how_much_to_grow(call):
    printed = call("train", "budget.energy_j=200", "budget.latency_s=0.5")
    for word in ("assistant needs", "tutor needs", "coder needs", "puzzles needs", "all limits times"):
        assert word in printed
    factor = float(printed.split("all limits times ")[1].split()[0])
    grown = [f"budget.energy_j={200 * factor}", f"budget.latency_s={0.5 * factor}"]
    # Grown so, the complaint is about the stage and no longer about the budget.
    assert "no subset" not in call("train", *grown, "solver.name=magic")


def test_the_one_limit_that_is_too_low_is_named_with_what_would_do(call):
    printed = call("train", "budget.energy_j=100", "budget.latency_s=30")
    assert "; an energy limit of " in printed
    assert "(puzzles needs it) would do" in printed
    assert "all limits" not in printed
    joules = printed.split("an energy limit of ")[1].split()[0]
    assert "no subset" not in call(
        "train", f"budget.energy_j={joules}", "budget.latency_s=30", "solver.name=magic"
    )


def test_a_limit_that_takes_the_place_of_the_preset_is_said_once_in_the_log(call, tmp_path):
    call("train", "budget=tight", "budget.energy_j=1")
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("budget.energy_j takes the place of the preset: latency is not limited") == 1


def test_a_checkpoint_given_as_such_is_answered_with_its_setting(call, tmp_path):
    (tmp_path / "gate.ckpt").write_bytes(b"")
    for there in (tmp_path, tmp_path / "gate.ckpt"):
        assert (
            call("evaluate", str(there))
            == f"error: '{there}' is no setting: did you mean checkpoint={there}?\n"
        )
    assert "checkpoint=" not in call("evaluate", str(tmp_path / "nowhere.ckpt"))


def test_flags_that_exclude_each_other_are_one_line(call):
    assert call("train", "--resolve").startswith("error: The --resolve flag can only be used")
    assert call("train", "-m", "--cfg", "job") == (
        "error: Only one of --run, --multirun, --cfg, --info and --shell_completion can be specified\n"
    )


def test_a_pool_that_is_no_yaml_is_one_line(call, tmp_path):
    (tmp_path / "conf" / "expert_pool").mkdir(parents=True)
    (tmp_path / "conf" / "expert_pool" / "slip.yaml").write_text("name: slip\nmodels:\n  a: model: b\n")
    printed = call("train", "expert_pool=slip", f"hydra.searchpath=[file://{tmp_path / 'conf'}]")
    assert printed.startswith(
        "error: the configuration is not valid YAML: mapping values are not allowed here"
    )
    assert "slip.yaml" in printed
    assert printed.count("\n") == 1


def test_a_corrupt_asset_is_noticed_before_any_work(call, tmp_path):
    copy = tmp_path / "outputs"
    shutil.copytree(find_outputs("jetson_mix"), copy)
    tensors = copy / "outputs.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1000])
    assert "truncated or altered" in call("train", f"expert_pool.outputs={copy}")


def test_a_checkpoint_that_lacks_a_model_of_the_pool_is_refused(call, tmp_path):
    data = ExpertOutputsDataModule()
    spec: FeatureSpec = data.spec
    gate = GatingModule(spec, data.outputs.model_id[:-1], network={"name": "linear"})
    torch.save(
        {
            "state_dict": gate.state_dict(),
            "hyper_parameters": dict(gate.hparams),
            "datamodule_hyper_parameters": dict(data.hparams),
        },
        tmp_path / "gate.ckpt",
    )
    printed = call("evaluate", f"checkpoint={tmp_path / 'gate.ckpt'}")
    assert f"knows no model '{data.outputs.model_id[-1]}'" in printed
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_run_folder_stands_for_the_checkpoint_in_it(main_job, tmp_path):
    done = script(
        "evaluate.py", f"checkpoint={main_job.folder}", f"hydra.run.dir={tmp_path}", "certificate=off"
    )
    assert done.returncode == 0, done.stderr
    assert str(main_job.folder / "gate.ckpt") in (tmp_path / "report.html").read_text()


def test_a_checkpoint_with_extra_models_serves_a_smaller_pool(main_job, tmp_path):
    done = script(
        "evaluate.py",
        f"checkpoint={main_job.folder / 'gate.ckpt'}",
        "~expert_pool.experts.chatqa-70b",
        f"hydra.run.dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    assert "chatqa-70b" not in (tmp_path / "frontier.csv").read_text()


@pytest.mark.skipif(find_spec("hydra_plugins.hydra_ray_launcher") is not None, reason="it is installed")
def test_a_launcher_that_is_not_installed_says_how_to_install_it(call):
    said = call("train", "hydra/launcher=ray")
    assert "hydra/launcher=ray is not installed: pip install" in said
    assert "pip install --no-deps hydra-ray-launcher" in said


def test_tuning_says_how_to_install_its_sweeper(call, monkeypatch):
    Plugins.instance()  # registers the sweepers that are installed
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["sweeper"], "optuna.yaml")
    said = call("train", "experiment=tune_gate")
    assert said == "error: hydra/sweeper=optuna is not installed: pip install 'moe2-pl[sweep]'\n"


@pytest.mark.parametrize("many", [False, True])
def test_a_run_folder_that_cannot_be_made_is_one_line(call, tmp_path, many):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "run"
    options = (
        ["hydra.mode=MULTIRUN", f"hydra.sweep.dir={folder}", "seed=0,1"]
        if many
        else [f"hydra.run.dir={folder}"]
    )
    printed = call("train", *options)
    assert printed.startswith(
        f"error: the run folder cannot be written: '{folder}': Not a directory; hydra.run"
    )
    assert printed.count("\n") == 1


def test_a_run_folder_that_cannot_be_made_has_its_traceback_on_demand(tmp_path):
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), f"hydra.run.dir={tmp_path / 'file' / 'run'}"],
        env={**os.environ, "HYDRA_FULL_ERROR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("NotADirectoryError")


@pytest.mark.parametrize("many", [False, True])
def test_a_file_that_the_task_cannot_write_is_one_line(call, tmp_path, many):
    # The folder of trained gates lies below a file.
    (tmp_path / "file").write_text("")
    sweep = (
        ["hydra.mode=MULTIRUN", "seed=0,1", "hydra/launcher=basic", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
        if many
        else []
    )
    beside = tmp_path / "file" / "results"
    printed = call("train", *sweep, f"paths.output_dir={beside}", "logger=csv", "trainer.max_epochs=1")
    assert f"'{beside}': Not a directory" in printed
    assert "run folder" not in printed
    assert printed.count("\n") == 1


def test_what_is_no_file_s_error_keeps_its_traceback(monkeypatch, tmp_path):
    def broken(config):
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(sys, "argv", ["train.py", f"hydra.run.dir={tmp_path / 'run'}"])
    GlobalHydra.instance().clear()
    with pytest.raises(ConnectionResetError):
        run(ROOT / "conf", "train", broken)


def test_no_checkpoint_and_a_pickle_are_refused(call, tmp_path):
    assert "no checkpoint at" in call("evaluate", "checkpoint=nowhere.ckpt")
    assert f"no gate.ckpt in folder '{tmp_path}'" in call("evaluate", f"checkpoint={tmp_path}")
    (tmp_path / "evil.ckpt").write_bytes(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.")
    assert "cannot be read as tensors and plain values" in call(
        "evaluate", f"checkpoint={tmp_path / 'evil.ckpt'}"
    )


@pytest.mark.parametrize("name", ["train.py", "evaluate.py"])
def test_help_answers_without_loading_torch(name):
    done = script(name, "--help")
    assert done.returncode == 0
    groups = [p.name for p in (ROOT / "conf").iterdir() if p.is_dir() and p.name != "hydra"]
    assert len(groups) == 19
    if name == "train.py":
        assert all(f"{group}: " in done.stdout for group in groups)
    # What takes seconds to import; that --help answers in 2 s is measured by the benchmark.
    imported = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / name), "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    loaded = {line.rsplit("|", 1)[-1].strip() for line in imported.splitlines()}
    assert "hydra" in loaded
    assert not loaded & {"torch", "lightning", "plotly", "wandb", "scipy"}
