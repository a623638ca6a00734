"""What stands beside a network without gradients: fitted once from training queries and kept as tensors."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from moe2_pl.errors import ConfigError, UnknownNameError

__all__ = ["Tables"]


class Tables(nn.Module, ABC):
    """A regression of what the category's mean leaves over, kept in buffers: a checkpoint stays free of pickles.

    A subclass registers its tables as empty buffers; they take their size from a checkpoint or from ``grow``.

    Args:
        options: of the subclass, over its defaults.

    Raises:
        UnknownNameError, ConfigError: an option that does not exist, or its value.
    """

    name: ClassVar[str]
    # Each option's default; its type is the option's.
    defaults: ClassVar[Mapping[str, int | float]]

    def __init__(self, **options: Any) -> None:
        super().__init__()
        for key, value in options.items():
            if key not in self.defaults:
                raise UnknownNameError(f"option of gate.fitted '{self.name}'", key, self.defaults)
            wanted = type(self.defaults[key])
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float) if wanted is float else int)
                or not value > 0
            ):
                raise ConfigError(f"gate.fitted.{key} is {value!r}; need a positive {wanted.__name__}")
        self.options = {**self.defaults, **options}

    @abstractmethod
    def grow(self, x: Tensor, target: Tensor, seed: int) -> None:
        """Fit the tables.

        Args:
            x: [n, d].
            target: [n, M].
            seed: of all that is random.
        """

    @abstractmethod
    def extend(self, x: Tensor, target: Tensor) -> None:
        """Add outputs to the tables as they stand; what they say of the others stays as it is.

        Args:
            x: [n, d].
            target: [n, m] of the outputs to add.
        """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """[n, M] the answer to x [n, d]."""

    @abstractmethod
    def prepare(self) -> None:
        """Work out what only the tables' content tells and an exported graph cannot ask for."""

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Take the sizes of the tables from the checkpoint; before ``grow`` there are none."""
        for name, _ in list(self.named_buffers(recurse=False)):
            if prefix + name in state_dict:
                setattr(self, name, state_dict[prefix + name].new_empty(state_dict[prefix + name].shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.prepare()
