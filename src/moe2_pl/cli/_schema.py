"""The types of everything that ``conf/`` may say: Hydra refuses unknown keys and wrong types before any work.

Defaults live in the YAML files; a field without one is needed.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

__all__ = ["register_schema"]


@dataclass
class DeviceConf:
    memory_gb: float = MISSING
    bandwidth_gb_s: float = MISSING
    peak_tflop_s: float = MISSING
    idle_w: float = MISSING
    active_w: float = MISSING
    mfu: float = 0.45
    mbu: float = 0.75
    layer_overhead_s: float = 0.0
    rate_mbit_s: float = 100.0
    rtt_s: float = 0.005
    source: str = ""
    decode_w: float | None = None
    speed_error: float | None = None
    mode: str = ""
    modes: dict[str, Any] = field(default_factory=dict)
    box: str = ""
    jitter_s: float = 0.0
    link: str = ""


@dataclass
class PlacementConf:
    # What a placement leaves out is its model's.
    device: str | None = None
    mode: str | None = None  # power mode of its device
    bits: float | None = None
    head_bits: float | None = None
    kv_bits: float | None = None
    context_tokens: int | None = None
    runtime_gb: float | None = None
    quality_loss: float | None = None
    batch: int | None = None


@dataclass
class NetworkConf:
    # Of any type, so that a run can add a link whole; the pool knows what a link says.
    user: Any = None
    gate_s: float = 0.0
    join_s: float = 0.0
    links: dict[str, Any] = field(default_factory=dict)


@dataclass
class ExpertConf:
    # What every placement may say is asked for by the pool, not here.
    device: str | None = None
    params_b: float = MISSING
    layers: int = MISSING
    kv_heads: int = MISSING
    head_dim: int = MISSING
    bits: float | None = None
    model_id: str = ""
    active_params_b: float | None = None
    kv_bits: float = 16.0
    context_tokens: int = 4096
    runtime_gb: float = 0.5
    quality_loss: float = 0.0
    heads: int | None = None
    vocab: int | None = None
    hidden: int | None = None
    tied: bool = False
    head_bits: float | None = None
    base: str = ""
    adapter_gb: float = 0.0
    batch: int = 1
    mode: str = ""  # power mode of its device
    placements: dict[str, PlacementConf] = field(default_factory=dict)  # several at once, key → changes


@dataclass
class PoolConf:
    name: str = MISSING  # of the pool
    outputs: str | None = MISSING  # a shipped name or a folder; null: models answer
    questions: list[Any] = field(default_factory=list)  # docs/how-to/questions.md: what is asked
    models: dict[str, Any] = field(default_factory=dict)  # docs/how-to/questions.md: how each runs
    encoders: dict[str, str] = field(default_factory=dict)  # name → sentence encoder, as a model is named
    costs: str = "modelled"  # measured: take seconds and joules from the answers
    energy_model: str = "deployed"  # active: all of the subset answers every query
    output_tokens: dict[str, float] = field(default_factory=dict)  # of an answer, by family or category
    experts: dict[str, ExpertConf] = field(default_factory=dict)  # name → expert
    devices: dict[str, DeviceConf] = field(default_factory=dict)  # name → device, from conf/device
    network: NetworkConf = field(default_factory=NetworkConf)
    required: list[str] = field(default_factory=list)  # names of experts that every subset holds
    excluded: list[str] = field(default_factory=list)  # names of experts that no subset holds
    max_experts: int | None = None  # most experts of a subset


@dataclass
class TrafficConf:
    queries_per_s: float = MISSING  # arrivals at the whole fleet
    max_utilisation: float | None = None  # largest share of the time that routing keeps a device busy


@dataclass
class DataConf:
    category: str = "application"
    split: str = "random"
    fractions: list[float] = field(default_factory=list)
    split_seed: int = 0
    batch_size: int = 256  # queries of a training step


@dataclass
class PrecomputeConf:
    launcher: str = MISSING  # local or ray
    store: str = MISSING
    shard: int = 64
    save: str | None = None
    force: bool = False
    address: str | None = None
    workers: int | None = None
    cpus_per_worker: float = 1.0  # cores of each worker
    gpus_per_worker: float = 0.0  # GPUs of each worker, or a share of one


@dataclass
class EncoderConf:
    name: str | None = None


@dataclass
class GateConf:
    network: dict[str, Any] = field(default_factory=dict)
    fitted: Any = None
    optimizer: Any = None
    scheduler: Any = None  # of the learning rate, made with the optimizer; null: none
    extend_from: str | None = None  # checkpoint, or its run folder, that gets heads for new models


@dataclass
class ObjectiveConf:
    name: str = MISSING  # what the gate predicts: docs/concepts/preservation.md
    loss: str = "bce"


@dataclass
class SolverConf:
    name: str = MISSING  # of the solver
    time_limit_s: float = 60.0
    node_limit: int | None = None
    seed: int = 0
    memory_limit_mb: float = 512.0
    merge_tolerance: float = 0.0
    epsilon: bool = False


@dataclass
class BudgetConf:
    preset: str | None = None  # of the pool's own feasible range; the limits below replace its own
    energy_j: Any = None  # joules a query; a number or a mapping category → number with `default`
    latency_s: Any = None  # seconds a query, likewise
    energy_wh: Any = None  # watt-hours a query, likewise
    cost_usd: Any = None  # dollars a query at the tariff, likewise
    co2_g: Any = None  # grams of CO₂ a query at the tariff, likewise
    power_w: float | None = None  # average watts of the fleet
    day_kwh: float | None = None  # kilowatt-hours a day of the fleet
    day_usd: float | None = None  # dollars a day
    day_co2_kg: float | None = None  # kilograms of CO₂ a day


@dataclass
class TariffConf:
    usd_per_kwh: float = MISSING  # what a kilowatt-hour costs
    co2_g_per_kwh: float = MISSING  # what it emits


@dataclass
class SweepConf:
    energy_points: int = 12
    latency_points: int = 12


@dataclass
class CertificateConf:
    mode: str = MISSING  # name of the counts
    frontier: int | None = None
    random: int = 0  # random subsets beside the frontier's
    seeds: int = 1  # how often each gate is retrained


@dataclass
class PathsConf:
    output_dir: str = MISSING
    gates: str | None = None


@dataclass
class TrainerConf:
    _target_: str = "lightning.Trainer"  # the class that trains
    max_epochs: int | None = None  # passes over the training queries at most
    min_epochs: int | None = None  # at least
    max_steps: int = -1  # optimizer steps at most; −1: no limit
    min_steps: int | None = None  # at least
    max_time: str | None = None  # DD:HH:MM:SS at most
    accelerator: str = "auto"  # cpu, gpu, mps or auto
    strategy: str = "auto"  # ddp for several processes
    devices: Any = "auto"  # how many, or which
    num_nodes: int = 1  # machines
    precision: Any = None  # such as bf16-mixed; null: 32 bits
    fast_dev_run: Any = False  # true or a number: so many batches only, to try
    limit_train_batches: Any = None  # a number of batches, or a share of them
    limit_val_batches: Any = None  # likewise
    overfit_batches: Any = 0.0  # train on these few only
    val_check_interval: Any = None  # validate within an epoch, after so many steps or such a share
    check_val_every_n_epoch: int | None = 1  # validate after so many epochs
    num_sanity_val_steps: int = 0  # validation batches before training
    log_every_n_steps: int = 10  # steps between two rows of metrics
    enable_progress_bar: bool = True  # on a terminal
    enable_model_summary: bool = False  # print the layers
    accumulate_grad_batches: int = 1  # batches of a step
    gradient_clip_val: float | None = None  # largest norm of a gradient
    deterministic: Any = None  # the same gate from the same seed
    benchmark: bool | None = None  # let cuDNN choose its algorithms
    detect_anomaly: bool = False  # find the operation that makes a NaN
    profiler: str | None = None  # simple or advanced


@dataclass
class EvaluateConf:
    checkpoint: str = MISSING
    expert_pool: PoolConf = field(default_factory=PoolConf)
    traffic: TrafficConf = field(default_factory=TrafficConf)
    solver: SolverConf = field(default_factory=SolverConf)
    budget: BudgetConf = field(default_factory=BudgetConf)
    tariff: TariffConf = field(default_factory=TariffConf)
    sweep: SweepConf = field(default_factory=SweepConf)
    certificate: CertificateConf = field(default_factory=CertificateConf)
    paths: PathsConf = field(default_factory=PathsConf)


@dataclass
class TrainConf:
    stages: list[str] = field(default_factory=list)
    seed: int = 0
    checkpoint: str | None = None
    expert_pool: PoolConf = field(default_factory=PoolConf)
    traffic: TrafficConf = field(default_factory=TrafficConf)
    data: DataConf = field(default_factory=DataConf)
    precompute: PrecomputeConf = field(default_factory=PrecomputeConf)
    encoder: EncoderConf = field(default_factory=EncoderConf)
    gate: GateConf = field(default_factory=GateConf)
    objective: ObjectiveConf = field(default_factory=ObjectiveConf)
    solver: SolverConf = field(default_factory=SolverConf)
    budget: BudgetConf = field(default_factory=BudgetConf)
    tariff: TariffConf = field(default_factory=TariffConf)
    sweep: SweepConf = field(default_factory=SweepConf)
    certificate: CertificateConf = field(default_factory=CertificateConf)
    trainer: TrainerConf = field(default_factory=TrainerConf)
    logger: dict[str, Any] = field(default_factory=dict)
    callbacks: dict[str, Any] = field(default_factory=dict)
    paths: PathsConf = field(default_factory=PathsConf)


def register_schema() -> None:
    """Make the schemas known to Hydra under the names that ``conf/train.yaml`` and ``conf/evaluate.yaml`` use."""
    store = ConfigStore.instance()
    store.store(name="schema_train", node=TrainConf)
    store.store(name="schema_evaluate", node=EvaluateConf)
