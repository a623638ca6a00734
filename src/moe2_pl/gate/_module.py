"""The gate as a LightningModule: trained once over the frozen outputs of all experts, reused for every subset."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from moe2_pl.errors import CheckpointError, ConfigError, DataError
from moe2_pl.gate._calibration import TEMPERATURES, temper
from moe2_pl.gate._fitted import build_fitted
from moe2_pl.gate._networks import build_network
from moe2_pl.gate._objectives import build_objective
from moe2_pl.gate._routing import Routing, route
from moe2_pl.outputs import ExpertOutputsDataModule, FeatureSpec

__all__ = ["GatingModule"]

# Pseudo-queries of the global mean that a category's mean score is shrunk towards.
_PRIOR_STRENGTH = 8.0
_LOG_ODDS_LIMIT = 0.01
# Shares of what is fitted in the prediction that validation chooses from.
_SHARES = tuple(k / 10 for k in range(11))


class GatingModule(L.LightningModule):
    """Predicts from a query's features how well each model will answer it.

    The features are standardised with the training part's mean and deviation, kept in the checkpoint. For
    ``competence`` the logits are an offset, the log-odds of the category's mean score shrunk towards the
    global mean, plus the network's. What stands beside the network, as a forest, is fitted before the first step
    to what the category's mean leaves over; the prediction is (1 − a) · network + a · fitted, with a chosen by the
    loss on the validation part, after every epoch, and with it one temperature for all models that makes a
    competence of .7 mean a score of .7.

    Args:
        spec: what stands in a row of features, as :class:`FeatureSpec` or its dict.
        model_ids: M names, one per column of the prediction.
        network: ``{"name": …, **options}`` for :func:`build_network`.
        objective: ``{"name": …, **options}`` for :func:`build_objective`.
        fitted: ``{"name": …, **options}`` for :func:`build_fitted`: a forest or neighbours beside the network; None for
            nothing. Needs ``competence``.
        optimizer: parameters → optimizer; AdamW where none is given.
        scheduler: optimizer → scheduler, stepped once an epoch; none where none is given.
        recipe: how the gate is trained, as :func:`fit_gate` takes it; kept in the checkpoint, so that a certificate
            can retrain alike.
        groups: numbers of models that joined together, summing to M; None for all at once. See :meth:`extended`.
        trained_for: what the checkpoint is to remember of where it comes from, as the hashes of pool and outputs.

    Raises:
        UnknownNameError, ConfigError: a network, objective or fitted part that does not exist, or its options.
    """

    def __init__(
        self,
        spec: FeatureSpec | Mapping[str, Any],
        model_ids: Iterable[str],
        network: Mapping[str, Any] | None = None,
        objective: Mapping[str, Any] | None = None,
        fitted: Mapping[str, Any] | None = None,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
        scheduler: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler] | None = None,
        recipe: Mapping[str, Any] | None = None,
        groups: Iterable[int] | None = None,
        trained_for: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec if isinstance(spec, FeatureSpec) else FeatureSpec(**_tuples(spec))
        self.model_ids = tuple(model_ids)
        self.groups = (len(self.model_ids),) if groups is None else tuple(groups)
        network = {"name": "mlp", **(network or {})}
        objective = {"name": "competence", **(objective or {})}
        # Plain values only: checkpoints are read with weights_only, which refuses other objects.
        self.save_hyperparameters(
            {
                "spec": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.spec).items()},
                "model_ids": list(self.model_ids),
                "network": dict(network),
                "objective": dict(objective),
                "fitted": None if fitted is None else dict(fitted),
                "recipe": None if recipe is None else dict(recipe),
                "groups": list(self.groups),
                "trained_for": dict(trained_for or {}),
            }
        )
        self.objective = build_objective(**objective)
        if fitted is not None and not self.objective.independent:
            raise ConfigError(
                f"gate.fitted predicts scores; objective '{self.objective.name}' has weights: give gate.fitted=null"
            )
        self.fitted = None if fitted is None else build_fitted(**fitted)
        self.network = build_network(self.spec.width, self.groups, **network)
        self.recipe = recipe
        self._optimizer = optimizer
        self._scheduler = scheduler
        self.register_buffer("mean", torch.zeros(self.spec.dense))
        self.register_buffer("scale", torch.ones(self.spec.dense))
        # One row per category, and a last one for queries of a category that training never saw.
        self.register_buffer("prior", torch.zeros(len(self.spec.categories) + 1, len(self.model_ids)))
        self.mean: Tensor
        self.scale: Tensor
        self.prior: Tensor
        self.register_buffer("share", torch.tensor(0.0))
        self.share: Tensor
        shares = _SHARES if self.fitted is not None else (0.0,)
        # One pair of loss and score for each share that validation compares.
        self.val_metrics = nn.ModuleList(nn.ModuleList((MeanMetric(), MeanMetric())) for _ in shares)
        self._val_fitted: dict[int, Tensor] = {}
        self.register_buffer("temperature", torch.tensor(1.0))
        self.temperature: Tensor
        self.val_temperature = nn.ModuleList(MeanMetric() for _ in TEMPERATURES)
        self._val_batches: list[dict[str, Tensor]] = []
        # How many of the first models are frozen, and which column each model of the data has here.
        self._frozen = 0
        self._columns = list(range(len(self.model_ids)))

    @classmethod
    def extended(
        cls,
        old: "GatingModule",
        model_ids: Iterable[str],
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
        scheduler: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler] | None = None,
        recipe: Mapping[str, Any] | None = None,
        trained_for: Mapping[str, str] | None = None,
    ) -> "GatingModule":
        """A gate that knows further models and says of the others, to the last bit, what ``old`` says.

        Trunk, standardisation, the structure of what is fitted, its share, the temperature and the heads
        of ``old`` are frozen; a fit trains the heads of the new models, their prior and their part of what is fitted.

        Args:
            old: a trained gate with objective ``competence``.
            model_ids: the models to add.
            optimizer, scheduler, recipe, trained_for: as for a new gate.

        Raises:
            ConfigError: the objective's predictions of one model depend on the others, or nothing to add.
        """
        added = tuple(model_ids)
        if not old.objective.independent:
            raise ConfigError(
                f"a gate with objective '{old.objective.name}' cannot be extended: its weights of one model depend on "
                "the others; train it anew, or use objective=competence"
            )
        if not added or set(added) & set(old.model_ids):
            raise ConfigError(
                f"nothing to add: the gate knows {', '.join(old.model_ids)} already; leaving models out is a mask "
                "and needs no training (evaluate.py checkpoint=…)"
            )
        h = old.hparams
        new = cls(
            old.spec,
            (*old.model_ids, *added),
            h["network"],
            h["objective"],
            h["fitted"],
            optimizer,
            scheduler,
            recipe,
            (*old.groups, len(added)),
            trained_for,
        )
        state = old.state_dict()
        state["prior"] = torch.cat([state["prior"], torch.zeros(len(state["prior"]), len(added))], dim=1)
        new.load_state_dict(state, strict=False)
        new._frozen = len(old.model_ids)
        known = {name for name, _ in old.named_parameters()}
        for name, parameter in new.named_parameters():
            parameter.requires_grad_(name not in known)
        return new

    def setup(self, stage: str) -> None:
        """Take feature statistics and the prior from the training part, before the first step."""
        if stage != "fit":
            return
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, ExpertOutputsDataModule):
            raise ConfigError(
                f"fit got {type(data).__name__}; the gate needs datamodule=ExpertOutputsDataModule(…)"
            )
        if data.spec != self.spec:
            raise DataError(
                f"the gate was built for {self.spec.width} features of '{self.spec.encoder}', the data has "
                f"{data.spec.width} of '{data.spec.encoder}'; build it with spec=data.spec"
            )
        self._columns = self.columns(data.outputs.model_id)
        missing = [m for k, m in enumerate(self.model_ids) if k >= self._frozen and k not in self._columns]
        if missing:
            raise DataError(f"the data has no outcomes of {', '.join(missing)}, which the gate is to learn")
        learned = [data.outputs.model_id.index(m) for m in self.model_ids[self._frozen :]]
        self.fit_statistics(lambda: ((x, score[:, learned]) for x, score in data.parts(data.split.train)))

    def fit_statistics(self, parts: Callable[[], Iterable[tuple[Tensor, Tensor]]]) -> None:
        """Set standardisation and prior, and what is fitted, from training queries.

        Of an extended gate only the new models' prior and their part of what is fitted.

        Args:
            parts: gone through twice; features [n, d + f + C] and score [n, m] of the models that are to be learned,
                a part at a time. Only ``fitted`` needs them all in memory.
        """
        if not self._frozen:
            self._standardise(parts)
        if self.objective.independent:
            self._fit_prior(parts)
        if self.fitted is None:
            return
        features, score = (torch.cat(column) for column in zip(*parts(), strict=True))
        x, category = self._inputs(features)
        left_over = score - torch.sigmoid(category @ self.prior[:, self._frozen :])
        if self._frozen:
            self.fitted.extend(x, left_over)
        else:
            self.fitted.grow(x, left_over, torch.initial_seed())

    def _standardise(self, parts: Callable[[], Iterable[tuple[Tensor, Tensor]]]) -> None:
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler()
        for features, _ in parts():
            scaler.partial_fit(features[:, : self.spec.dense].double().numpy())
        self.mean.copy_(torch.from_numpy(scaler.mean_))
        self.scale.copy_(torch.from_numpy(scaler.var_).sqrt().clamp_min(1e-6))

    def _fit_prior(self, parts: Callable[[], Iterable[tuple[Tensor, Tensor]]]) -> None:
        queries, total = torch.zeros(len(self.prior)), torch.zeros(len(self.prior), self.groups[-1])
        for features, score in parts():
            # The last row takes all queries: what holds where the category says nothing.
            of = torch.cat([features[:, self.spec.dense :], torch.ones(len(features), 1)], dim=1)
            queries += of.sum(0)
            total += of.T @ score
        overall = total[-1] / queries[-1]
        means = (total + _PRIOR_STRENGTH * overall) / (queries + _PRIOR_STRENGTH)[:, None]
        self.prior[:, self._frozen :] = torch.logit(means.clamp(_LOG_ODDS_LIMIT, 1 - _LOG_ODDS_LIMIT))

    def forward(self, features: Tensor) -> Tensor:
        """Logits of every member.

        Args:
            features: [n, d + f + C].

        Returns:
            [K, n, M].

        Raises:
            DataError: features of another width.
        """
        x, category = self._inputs(features)
        logits: Tensor = self.network(x) + category @ self.prior
        return logits

    def _inputs(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised features [n, d + f + C], and the category's one-hot with one column for none, [n, C + 1]."""
        if features.shape[-1] != self.spec.width:
            raise DataError(
                f"features have width {features.shape[-1]}; this gate takes {self.spec.width}: "
                f"{self.spec.embedding} of '{self.spec.encoder}', {len(self.spec.surface)} surface, "
                f"{len(self.spec.categories)} categories"
            )
        dense, one_hot = features[:, : self.spec.dense], features[:, self.spec.dense :]
        standard = torch.cat([(dense - self.mean) / self.scale, one_hot], dim=1)
        return standard, torch.cat([one_hot, 1 - one_hot.sum(1, keepdim=True)], dim=1)

    def _fitted_score(self, features: Tensor) -> Tensor:
        """[n, M] in [0, 1]: the category's mean score plus what ``fitted`` says is left over."""
        assert self.fitted is not None
        x, category = self._inputs(features)
        score: Tensor = torch.sigmoid(category @ self.prior) + self.fitted(x)
        return score.clamp(0.0, 1.0)

    def predict(self, features: Tensor) -> Tensor:
        """[n, M] what routing ranks by: competence, or weights over the full pool."""
        if self.training:
            self.eval()
            try:
                return self.predict(features)
            finally:
                self.train()
        with torch.no_grad():
            return self.predicted(features.to(self.mean))

    def predicted(self, features: Tensor) -> Tensor:
        """:meth:`predict` in the mode and with the gradients that the caller has set, as an export needs it."""
        network = self.objective.activation(self(features)).mean(0)
        # What has no share need not be asked; a graph that is being exported cannot ask.
        if self.fitted is not None and (torch.compiler.is_exporting() or self.share > 0):
            network = torch.lerp(network, self._fitted_score(features), self.share)
        return temper(network, self.temperature) if self.objective.independent else network

    def competence(self, features: Tensor) -> Tensor:
        """q = E[score given x] of each model.

        Args:
            features: [n, d + f + C].

        Returns:
            [n, M] in [0, 1], one column per entry of ``model_ids``.

        Raises:
            ConfigError: the objective predicts weights, not competence.
        """
        if not self.objective.independent:
            raise ConfigError(
                f"a gate trained with objective '{self.objective.name}' has weights, no competence"
            )
        return self.predict(features)

    def weights(self, features: Tensor) -> Tensor:
        """Mixture weights over the full pool.

        Args:
            features: [n, d + f + C].

        Returns:
            [n, M], rows sum to 1.

        Raises:
            ConfigError: the objective predicts competence, not weights.
        """
        if self.objective.independent:
            raise ConfigError(
                f"a gate trained with objective '{self.objective.name}' has competence, no weights"
            )
        return self.predict(features)

    def columns(self, model_ids: Iterable[str]) -> list[int]:
        """Column numbers of the given models; the gate's other models are masked by leaving them out.

        Raises:
            CheckpointError: a model that the gate was not trained on.
        """
        wanted = list(model_ids)
        missing = [m for m in wanted if m not in self.model_ids]
        if missing:
            raise CheckpointError(
                f"the gate knows no model {', '.join(repr(m) for m in missing)} of this pool; it was trained on "
                f"{', '.join(self.model_ids)}"
            )
        return [self.model_ids.index(m) for m in wanted]

    def route(
        self,
        features: Tensor,
        allowed: Tensor,
        k: int = 1,
        energy_j: Tensor | None = None,
        penalty: Tensor | None = None,
    ) -> Routing:
        """The k allowed models with the largest prediction − penalty; see :func:`route`.

        Args:
            features: [n, d + f + C].
            allowed, energy_j, penalty: [M] or [n, M].
            k: models per query.
        """
        return route(self.predict(features), allowed, k, energy_j, penalty)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """The objective's loss of a batch."""
        logits = self(batch["features"])[..., self._columns]
        loss = self.objective.loss(logits, batch[self.objective.target])
        self.log(
            "train/loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["score"])
        )
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Loss, and the score of routing each query to the arg max over all models, for each share of ``fitted``."""
        logits = self(batch["features"])[..., self._columns]
        if self.objective.independent:
            # Not the whole batch: what the temperature does not need would keep all features in memory.
            target = {self.objective.target: batch[self.objective.target]}
            self._val_batches.append({"network": self.objective.activation(logits).mean(0), **target})
        if self.fitted is None:
            self._validate(
                0, self.objective.loss(logits, batch[self.objective.target]), logits, batch["score"]
            )
            return
        # What is fitted does not change during the fit, nor do the validation batches.
        if batch_index not in self._val_fitted:
            self._val_fitted[batch_index] = self._fitted_score(batch["features"])[:, self._columns]
        network, fitted = self.objective.activation(logits).mean(0), self._val_fitted[batch_index]
        for k, share in enumerate(_SHARES):
            blend = torch.logit(torch.lerp(network, fitted, share), eps=1e-4)[None]
            self._validate(k, self.objective.loss(blend, batch[self.objective.target]), blend, batch["score"])

    def _validate(self, k: int, loss: Tensor, logits: Tensor, score: Tensor) -> None:
        best = self.objective.activation(logits).mean(0).argmax(1, keepdim=True)
        val_loss, val_score = self._metrics()[k]
        val_loss.update(loss, len(score))
        val_score.update(score.gather(1, best))

    def _metrics(self) -> list[tuple[MeanMetric, MeanMetric]]:
        return [tuple(pair) for pair in self.val_metrics]  # type: ignore[arg-type, misc]

    def on_validation_epoch_end(self) -> None:
        """Choose the share of ``fitted``; log loss and score with it, which early stopping and checkpoints look at."""
        found = [(float(loss.compute()), float(score.compute())) for loss, score in self._metrics()]
        if self._frozen:
            best = round(float(self.share) * (len(_SHARES) - 1))
            self._val_batches.clear()
        else:
            best = min(range(len(found)), key=lambda k: found[k][0])
            self.share.fill_(_SHARES[best])
            self.temperature.fill_(self._best_temperature())
        self.log("val/loss", found[best][0], prog_bar=True)
        self.log("val/score", found[best][1], prog_bar=True)
        if self.fitted is not None:
            self.log("val/fitted_share", self.share)
        if self.objective.independent:
            self.log("val/temperature", self.temperature)
        for pair in self._metrics():
            for metric in pair:
                metric.reset()

    def _best_temperature(self) -> float:
        """The temperature with the least loss on this epoch's validation queries; 1 for weights."""
        batches, self._val_batches = self._val_batches, []
        for index, batch in enumerate(batches):
            q = batch["network"]
            if self.fitted is not None:
                q = torch.lerp(q, self._val_fitted[index], self.share)
            for temperature, metric in zip(TEMPERATURES, self.val_temperature, strict=True):
                logits = torch.logit(temper(q, temperature), eps=1e-4)[None]
                metric.update(self.objective.loss(logits, batch[self.objective.target]), len(q))  # type: ignore[operator]
        if not batches:
            return 1.0
        losses = [float(metric.compute()) for metric in self.val_temperature]  # type: ignore[operator]
        for metric in self.val_temperature:
            metric.reset()  # type: ignore[operator]
        return TEMPERATURES[min(range(len(losses)), key=lambda k: losses[k])]

    def on_fit_end(self) -> None:
        """Forget what only the fit needed."""
        self._val_fitted.clear()

    def configure_optimizers(self) -> Any:
        """The optimizer and the scheduler that were given."""
        make = self._optimizer or torch.optim.AdamW
        optimizer = make([p for p in self.parameters() if p.requires_grad])
        if self._scheduler is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self._scheduler(optimizer), "interval": "epoch"},
        }


def _tuples(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items()}
