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
    mode: str | None = None
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
    mode: str = ""
    placements: dict[str, PlacementConf] = field(default_factory=dict)


@dataclass
class PoolConf:
    name: str = MISSING
    outputs: str | None = MISSING
    questions: list[Any] = field(default_factory=list)
    models: dict[str, Any] = field(default_factory=dict)
    encoders: dict[str, str] = field(default_factory=dict)
    costs: str = "modelled"
    energy_model: str = "deployed"
    output_tokens: dict[str, float] = field(default_factory=dict)
    experts: dict[str, ExpertConf] = field(default_factory=dict)
    devices: dict[str, DeviceConf] = field(default_factory=dict)
    network: NetworkConf = field(default_factory=NetworkConf)
    required: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    max_experts: int | None = None


@dataclass
class TrafficConf:
    queries_per_s: float = MISSING
    max_utilisation: float | None = None


@dataclass
class DataConf:
    category: str = "application"
    split: str = "random"
    fractions: list[float] = field(default_factory=list)
    split_seed: int = 0
    batch_size: int = 256


@dataclass
class PrecomputeConf:
    launcher: str = MISSING
    store: str = MISSING
    shard: int = 64
    save: str | None = None
    force: bool = False
    address: str | None = None
    workers: int | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0


@dataclass
class EncoderConf:
    name: str | None = None


@dataclass
class GateConf:
    network: dict[str, Any] = field(default_factory=dict)
    fitted: Any = None
    optimizer: Any = None
    scheduler: Any = None
    extend_from: str | None = None


@dataclass
class ObjectiveConf:
    name: str = MISSING
    loss: str = "bce"


@dataclass
class SolverConf:
    name: str = MISSING
    time_limit_s: float = 60.0
    node_limit: int | None = None
    seed: int = 0
    memory_limit_mb: float = 512.0
    merge_tolerance: float = 0.0
    epsilon: bool = False


@dataclass
class BudgetConf:
    preset: str | None = None
    energy_j: Any = None
    latency_s: Any = None
    energy_wh: Any = None
    cost_usd: Any = None
    co2_g: Any = None
    power_w: float | None = None
    day_kwh: float | None = None
    day_usd: float | None = None
    day_co2_kg: float | None = None


@dataclass
class TariffConf:
    usd_per_kwh: float = MISSING
    co2_g_per_kwh: float = MISSING


@dataclass
class SweepConf:
    energy_points: int = 12
    latency_points: int = 12


@dataclass
class CertificateConf:
    mode: str = MISSING
    frontier: int | None = None
    random: int = 0
    seeds: int = 1


@dataclass
class PathsConf:
    output_dir: str = MISSING
    gates: str | None = None


@dataclass
class TrainerConf:
    _target_: str = "lightning.Trainer"
    max_epochs: int | None = None
    min_epochs: int | None = None
    max_steps: int = -1
    min_steps: int | None = None
    max_time: str | None = None
    accelerator: str = "auto"
    strategy: str = "auto"
    devices: Any = "auto"
    num_nodes: int = 1
    precision: Any = None
    fast_dev_run: Any = False
    limit_train_batches: Any = None
    limit_val_batches: Any = None
    overfit_batches: Any = 0.0
    val_check_interval: Any = None
    check_val_every_n_epoch: int | None = 1
    num_sanity_val_steps: int = 0
    log_every_n_steps: int = 10
    enable_progress_bar: bool = True
    enable_model_summary: bool = False
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    deterministic: Any = None
    benchmark: bool | None = None
    detect_anomaly: bool = False
    profiler: str | None = None


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
