"""How the weights move: Muon for the trunk's matrices, AdamW for everything else."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import AdamW, Optimizer

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic that drives singular values towards 1 fastest (Jordan 2024)."""

ITERATIONS = 5

MATRIX = 2
"""Dimensions of what Muon can orthogonalise."""


def orthogonalize(matrices: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
    """Return roughly the nearest semi-orthogonal matrix of each, by Newton–Schulz in fp32.

    An iteration is X ← (aI + bG + cG²) X with G = XXᵀ. All its factors are polynomials of the first G, so
    they are multiplied with each other, as small as X is on its smaller side and for all matrices at once,
    and X only with their product: less work the longer X is.

    Args:
        matrices: At least one; all have the same smaller side.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """
    wide = [matrix.T if _is_tall(matrix) else matrix for matrix in matrices]
    gram = torch.stack([x @ x.T for x in wide])
    # 1 / norm: a Gram matrix's trace is the square of the norm.
    scale = gram.diagonal(dim1=1, dim2=2).sum(1).clamp(min=1e-14).rsqrt()[:, None, None]
    gram *= scale.square()
    factor = _newton_schulz_factor(gram)
    product = factor * scale
    for _ in range(ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = _newton_schulz_factor(gram)
        product = factor @ product
    results = (left @ x for left, x in zip(product, wide, strict=True))
    return [y.T if _is_tall(matrix) else y for matrix, y in zip(matrices, results, strict=True)]


def _newton_schulz_factor(gram: Float[Tensor, "matrix side side"]) -> Float[Tensor, "matrix side side"]:
    a, b, c = NEWTON_SCHULZ
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=1, dim2=2).add_(a)
    return factor


def _is_tall(matrix: Tensor) -> bool:
    return matrix.size(0) > matrix.size(1)


class Muon(Optimizer):
    """Momentum orthogonalised: every direction of a matrix moves at the same speed.

    torch.optim.Muon works in bf16, which a CPU without AVX512-BF16 runs many times slower, so
    this one stays in fp32.

    Args:
        params: Matrices only.
        lr: Step size.
        momentum: Decay of the (Nesterov) momentum.
        weight_decay: Decoupled, as a share of lr.
    """

    def __init__(
        self, params: Iterable[Parameter], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override] # no closures here
        """Update every matrix that has a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure: compute the gradients, then call step().")
        for group in self.param_groups:
            of_side: dict[int, list[Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    of_side.setdefault(min(parameter.shape), []).append(parameter)
            for parameters in of_side.values():
                directions = orthogonalize([self._momentum(one, group["momentum"]) for one in parameters])
                for parameter, direction in zip(parameters, directions, strict=True):
                    scale = max(1.0, parameter.size(0) / parameter.size(1)) ** 0.5
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(direction, alpha=-group["lr"] * scale)

    def _momentum(self, parameter: Parameter, decay: float) -> Tensor:
        """Take in a parameter's gradient; return the Nesterov momentum."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None, "a parameter without a gradient does not move"
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return gradient.lerp(state["momentum_buffer"].lerp_(gradient, 1 - decay), decay)


class HybridOptimizer:
    """Muon on the trunk's matrices and AdamW on the rest, moved by one dial."""

    def __init__(
        self, model: Module, *, learning_rate: float, matrix_learning_rate: float, weight_decay: float
    ) -> None:
        matrices, others = split_parameters(model)
        self.muon = Muon(matrices, lr=matrix_learning_rate, weight_decay=weight_decay)
        self.adamw = AdamW(others, lr=learning_rate, betas=(0.9, 0.95), weight_decay=weight_decay, fused=True)
        self._peaks = {self.muon: matrix_learning_rate, self.adamw: learning_rate}

    def set_learning_rate_factor(self, factor: float) -> None:
        """Use `factor` of each peak learning rate from the next step on."""
        for optimizer, peak in self._peaks.items():
            for group in optimizer.param_groups:  # looked up anew: loading state replaces the groups
                group["lr"] = peak * factor

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.muon.zero_grad(set_to_none=True)
        self.adamw.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Move the weights by their gradients."""
        self.muon.step()
        self.adamw.step()

    def tensors(self) -> dict[str, Tensor]:
        """Return all state, named so that `load_tensors` puts it back."""
        return {f"{name}.{index}.{key}": value for name, index, key, value in self._entries()}

    def _entries(self) -> Iterator[tuple[str, int, str, Tensor]]:
        for name, optimizer in (("muon", self.muon), ("adamw", self.adamw)):
            for index, values in optimizer.state_dict()["state"].items():
                for key, value in values.items():
                    yield name, index, key, value

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` returned."""
        for name, optimizer in (("muon", self.muon), ("adamw", self.adamw)):
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                owner, index, entry = key.split(".")
                if owner == name:
                    state.setdefault(int(index), {})[entry] = value
            optimizer.load_state_dict(
                {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
            )


def split_parameters(model: Module) -> tuple[list[Parameter], list[Parameter]]:
    """Return (the trunk's matrices, all other parameters) of a model that has a `trunk`."""
    matrices = [
        parameter for parameter in model.get_submodule("trunk").parameters() if parameter.dim() == MATRIX
    ]
    chosen = {id(parameter) for parameter in matrices}
    return matrices, [parameter for parameter in model.parameters() if id(parameter) not in chosen]
