"""The frozen outputs of all experts on a set of queries, as one validated value.

It knows its own file format (safetensors beside a JSON manifest with a checksum) and nothing about
where the figures come from: stores, encoders and DataModules build it, gates and solvers read it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import DataError, IntegrityError, UnknownNameError

__all__ = ["FORMAT_VERSION", "ExpertOutputs"]

FORMAT_VERSION = 1
_TENSORS = "outputs.safetensors"
_MANIFEST = "manifest.json"
_FEATURE_PREFIX = "features/"

# Array fields by the length of their second axis: None is [n], a name is the tuple whose length it has.
_PER_QUERY: dict[str, str | None] = {
    "score": "experts",
    "category": None,
    "family": None,
    "surface": "surface_names",
    "prompt_tokens": None,
    "output_tokens": "experts",
    "latency_s": "experts",
    "energy_j": "experts",
    "label": None,
    "split": None,
}
_NAMES = (
    "experts",
    "model_id",
    "categories",
    "families",
    "surface_names",
    "splits",
    "cost_label",
)


@dataclass(frozen=True, eq=False)
class ExpertOutputs:
    """What N experts answered to n queries, and what is known of the queries.

    Rows whose ids share the part before ``#`` are copies of one prompt: they belong on the same side of
    every random split.

    Args:
        id: [n] strings, unique; ``<prompt hash>#<occurrence>`` where a prompt can stand twice.
        score: [n, N] in [0, 1], each task's own metric.
        category: [n] index into ``categories``: the application that sends the query.
        prompt_tokens: [n] tokens of each prompt.
        experts: N names, unique.
        categories: C names.
        model_id: N names; placements of one model share one. Defaults to ``experts``.
        features: name → [n, d], one per encoder or signal.
        surface: [n, f] surface features, columns named by ``surface_names``.
        family: [n] index into ``families``; metadata for the family oracle and reports, never a gate input.
        output_tokens: [n, N] tokens of each answer.
        log_prob: [n, N, K] log-probability of each option; −inf beyond a question's options, NaN where the
            question is not multiple choice.
        label: [n] index of the right option, −1 where there is none.
        latency_s: [n, N] seconds per answer.
        energy_j: [n, N] joules above idle per answer.
        cost_label: N words, each ``measured``, ``modelled`` or ``published``: where the costs come from.
        split: [n] index into ``splits``: the split as published, if any.
        provenance: free-form, JSON-serialisable: source, licence, hashes, versions.

    Raises:
        DataError: shapes that disagree, scores outside [0, 1] or NaN, duplicate ids or names, indices
            without a name.
    """

    id: NDArray[np.str_]
    score: NDArray[np.float32]
    category: NDArray[np.int64]
    prompt_tokens: NDArray[np.int64]
    experts: tuple[str, ...]
    categories: tuple[str, ...]
    model_id: tuple[str, ...] = ()
    features: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    surface: NDArray[Any] | None = None
    surface_names: tuple[str, ...] = ()
    family: NDArray[np.int64] | None = None
    families: tuple[str, ...] = ()
    output_tokens: NDArray[Any] | None = None
    log_prob: NDArray[Any] | None = None
    label: NDArray[np.int64] | None = None
    latency_s: NDArray[Any] | None = None
    energy_j: NDArray[Any] | None = None
    cost_label: tuple[str, ...] = ()
    split: NDArray[np.int64] | None = None
    splits: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.model_id:
            object.__setattr__(self, "model_id", self.experts)
        self._check_names()
        self._check_shapes()
        self._check_values()

    def __len__(self) -> int:
        return len(self.id)

    @property
    def group(self) -> NDArray[np.int64]:
        """[n] one number per distinct prompt: the part of the id before ``#``."""
        stem = np.array([i.split("#", 1)[0] for i in self.id])
        return np.unique(stem, return_inverse=True)[1]

    def feature(self, name: str, rows: NDArray[np.int64] | slice = slice(None)) -> NDArray[Any]:
        """[m, d] features called ``name`` of the queries ``rows``; names joined by ``+`` stand side by side.

        Raises:
            UnknownNameError: there are none of that name.
        """
        parts = [self._feature(part)[rows] for part in name.split("+")]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def feature_width(self, name: str) -> int:
        """d of :meth:`feature`.

        Raises:
            UnknownNameError: there are none of that name.
        """
        return sum(self._feature(part).shape[1] for part in name.split("+"))

    def _feature(self, name: str) -> NDArray[Any]:
        if name not in self.features:
            raise UnknownNameError("encoder in these outputs", name, self.features)
        return self.features[name]

    def rows(self, index: NDArray[np.int64]) -> "ExpertOutputs":
        """The outputs of the queries ``index`` [m], in that order."""
        cut = {
            name: getattr(self, name)[index]
            for name in ("id", "log_prob", *_PER_QUERY)
            if getattr(self, name) is not None
        }
        cut["features"] = {name: value[index] for name, value in self.features.items()}
        return replace(self, **cut)

    def select_experts(self, names: Sequence[str]) -> "ExpertOutputs":
        """The outputs of the experts ``names``, in that order.

        Raises:
            UnknownNameError: an expert that has no outputs here.
        """
        for name in names:
            if name not in self.experts:
                raise UnknownNameError("expert in these outputs", name, self.experts)
        if tuple(names) == self.experts:
            return self
        columns = [self.experts.index(name) for name in names]
        cut = {
            name: getattr(self, name)[:, columns]
            for name in ("score", "output_tokens", "log_prob", "latency_s", "energy_j")
            if getattr(self, name) is not None
        }
        return replace(
            self,
            experts=tuple(names),
            model_id=tuple(self.model_id[c] for c in columns),
            cost_label=tuple(self.cost_label[c] for c in columns) if self.cost_label else (),
            **cut,
        )

    def fingerprint(self) -> str:
        """A SHA-256 over all arrays and names: equal outputs have equal fingerprints."""
        digest = hashlib.sha256()
        for name, array in sorted(self._arrays().items()):
            digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        digest.update(json.dumps({n: list(getattr(self, n)) for n in _NAMES}).encode())
        return digest.hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write the folder ``path``: the tensors first, then the manifest that vouches for them."""
        from safetensors.numpy import save

        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        blob = save({n: np.ascontiguousarray(a) for n, a in self._arrays().items()})
        manifest = {
            "format": "moe2-pl expert outputs",
            "format_version": FORMAT_VERSION,
            "tensors": _TENSORS,
            "sha256": hashlib.sha256(blob).hexdigest(),
            "queries": len(self),
            **{name: list(getattr(self, name)) for name in _NAMES},
            "provenance": dict(self.provenance),
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        for name, content in ((_TENSORS, blob), (_MANIFEST, text.encode())):
            temporary = folder / f".{name}.tmp"
            temporary.write_bytes(content)
            temporary.replace(folder / name)
        return folder

    @classmethod
    def load(cls, path: str | Path) -> "ExpertOutputs":
        """Read a folder that :meth:`save` wrote; its arrays stay on disk until they are looked at.

        Raises:
            IntegrityError: a file is missing, truncated, altered or of another format.
        """
        from safetensors.torch import load_file

        folder = Path(path)
        try:
            manifest = json.loads((folder / _MANIFEST).read_text())
            tensors = folder / manifest["tensors"]
            with tensors.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise IntegrityError(
                f"no expert outputs at '{folder}': '{error.filename}' is missing; expected {_MANIFEST} and {_TENSORS}"
            ) from error
        except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise IntegrityError(
                f"'{folder / _MANIFEST}' is not a manifest of expert outputs: {error}"
            ) from error
        if manifest.get("format_version") != FORMAT_VERSION:
            raise IntegrityError(
                f"'{folder}' has format version {manifest.get('format_version')}; this release reads {FORMAT_VERSION}"
            )
        if digest != manifest["sha256"]:
            raise IntegrityError(
                f"'{tensors}' is truncated or altered: SHA-256 {digest[:12]}…, "
                f"the manifest says {manifest['sha256'][:12]}…; fetch or build it again"
            )
        arrays = {name: tensor.numpy() for name, tensor in load_file(tensors).items()}
        feats = {
            n.removeprefix(_FEATURE_PREFIX): a for n, a in arrays.items() if n.startswith(_FEATURE_PREFIX)
        }
        plain = {n: a for n, a in arrays.items() if not n.startswith(_FEATURE_PREFIX)}
        plain["id"] = plain["id"].view(f"S{plain['id'].shape[1]}")[:, 0].astype(str)
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {n: a for n, a in plain.items() if n in known}
        values |= {n: tuple(manifest.get(n, ())) for n in _NAMES}
        return cls(**values, features=feats, provenance=manifest.get("provenance", {}))

    def _arrays(self) -> dict[str, NDArray[Any]]:
        encoded = self.id.astype(np.bytes_)
        arrays: dict[str, NDArray[Any]] = {"id": encoded.view(np.uint8).reshape(len(self), -1)}
        for name in ("log_prob", *_PER_QUERY):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        return arrays | {_FEATURE_PREFIX + n: a for n, a in self.features.items()}

    def _check_names(self) -> None:
        for kind in ("experts", "categories", "families", "surface_names"):
            names = getattr(self, kind)
            if len(set(names)) != len(names):
                twice = next(n for n in names if names.count(n) > 1)
                raise DataError(f"{kind} has '{twice}' twice; names must be unique")
        if not self.experts:
            raise DataError("experts is empty; outputs need at least one expert")
        if len(self.model_id) != len(self.experts):
            raise DataError(
                f"model_id has {len(self.model_id)} names for {len(self.experts)} experts; need one each"
            )
        if self.cost_label and len(self.cost_label) != len(self.experts):
            raise DataError(f"cost_label has {len(self.cost_label)} words for {len(self.experts)} experts")

    def _check_shapes(self) -> None:
        n = len(self)
        for name, width in _PER_QUERY.items():
            array = getattr(self, name)
            if array is None:
                continue
            expected = (n,) if width is None else (n, len(getattr(self, width)))
            if array.shape != expected:
                raise DataError(f"{name} has shape {list(array.shape)}; expected {list(expected)}")
        for name, array in self.features.items():
            if array.ndim != 2 or len(array) != n:
                raise DataError(f"features['{name}'] has shape {list(array.shape)}; expected [{n}, d]")
        if self.log_prob is not None and self.log_prob.shape[:2] != (n, len(self.experts)):
            raise DataError(
                f"log_prob has shape {list(self.log_prob.shape)}; expected [{n}, {len(self.experts)}, K]"
            )

    def _check_values(self) -> None:
        bad = ~((self.score >= 0) & (self.score <= 1))
        if bad.any():
            i, j = np.argwhere(bad)[0]
            raise DataError(
                f"score[{i}, {j}] (expert '{self.experts[j]}', query '{self.id[i]}') is {self.score[i, j]}; "
                "scores lie in [0, 1]"
            )
        unique, count = np.unique(self.id, return_counts=True)
        if len(unique) != len(self.id):
            raise DataError(f"id '{unique[count > 1][0]}' stands {count.max()} times; ids must be unique")
        for name, kinds in (("category", self.categories), ("family", self.families), ("split", self.splits)):
            index = getattr(self, name)
            if index is not None and len(index) and not (index.min() >= 0 and index.max() < len(kinds)):
                raise DataError(
                    f"{name} has indices {index.min()}…{index.max()}; {len(kinds)} names are given"
                )
