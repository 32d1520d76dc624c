"""How the weights move: Muon for the trunk's matrices, AdamW for everything else."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import Optimizer

from bitlm.errors import ConfigError
from bitlm.training.latent import LatentWeights

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic that drives singular values towards 1 fastest (Jordan 2024)."""

ITERATIONS = 5

MATRIX = 2
"""Dimensions of what Muon can orthogonalise."""

LATENT = "latent."
"""Begins the names of latent weights among the optimizer's tensors."""

State = dict[str, Tensor]

Moving = tuple[Tensor, Tensor, Tensor, Tensor]
"""A parameter, its gradient, and the running means of that and of its square."""


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


class Muon:
    """Momentum orthogonalised: every direction of a matrix moves at the same speed.

    torch.optim.Muon works in bf16, which a CPU without AVX512-BF16 runs many times slower, so
    this one stays in fp32.

    Args:
        parameters: Matrices only.
        learning_rate: Step size.
        weight_decay: Decoupled, as a share of the step size.
        momentum: Decay of the (Nesterov) momentum.

    Attributes:
        state: What is remembered of the gradients of each parameter that has had one.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.state: dict[Parameter, State] = {}
        self._momentum_decay = momentum
        self._weight_decay = weight_decay

    @torch.no_grad()
    def step(self) -> None:
        """Update every matrix that has a gradient."""
        of_side: dict[int, list[Parameter]] = {}
        for parameter in self.parameters:
            if parameter.grad is not None:
                of_side.setdefault(min(parameter.shape), []).append(parameter)
        for parameters in of_side.values():
            directions = self._directions([self._momentum(parameter) for parameter in parameters])
            for parameter, direction in zip(parameters, directions, strict=True):
                scale = max(1.0, parameter.size(0) / parameter.size(1)) ** 0.5
                parameter.mul_(1 - self.learning_rate * self._weight_decay)
                parameter.add_(direction, alpha=-self.learning_rate * scale)

    def _directions(self, momenta: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return where matrices of one smaller side move."""
        return orthogonalize(momenta)

    def _momentum(self, parameter: Parameter) -> Tensor:
        """Take in a parameter's gradient; return the Nesterov momentum."""
        gradient, state = parameter.grad, self.state.setdefault(parameter, {})
        assert gradient is not None, "a parameter without a gradient does not move"
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        decay = self._momentum_decay
        return gradient.lerp(state["momentum_buffer"].lerp_(gradient, 1 - decay), decay)


class AdamW:
    """Adam with decoupled weight decay: torch's own fused update, without its `Optimizer`.

    Making one of those imports torch's compiler: a second and 75 MB for every process that trains.

    Args:
        parameters: What it moves.
        learning_rate: Step size.
        weight_decay: Decoupled, as a share of the step size.
        betas: Decay of the gradient's mean and of its square's.

    Attributes:
        state: What is remembered of the gradients of each parameter that has had one.

    Source: Loshchilov & Hutter, "Decoupled weight decay regularization", 2019.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        *,
        learning_rate: float,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.95),
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.state: dict[Parameter, State] = {}
        self._weight_decay = weight_decay
        self._betas = betas

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        moving: list[Moving] = []
        steps: list[Tensor] = []
        for parameter in self.parameters:
            if parameter.grad is not None:
                state = self.state.get(parameter) or self._begin(parameter)
                moving.append((parameter, parameter.grad, state["exp_avg"], state["exp_avg_sq"]))
                steps.append(state["step"])
        if moving:
            torch._foreach_add_(steps, 1)
            self._move(moving, steps)

    def _move(self, moving: Sequence[Moving], steps: list[Tensor]) -> None:
        """Update parameters and means in place; `steps` counts the updates of each, this one included."""
        parameters, gradients, means, squares = map(list, zip(*moving, strict=True))
        torch._fused_adamw_(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            lr=self.learning_rate,
            beta1=self._betas[0],
            beta2=self._betas[1],
            weight_decay=self._weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )

    def _begin(self, parameter: Parameter) -> State:
        mean, square = torch.zeros_like(parameter), torch.zeros_like(parameter)
        self.state[parameter] = {"step": torch.zeros(()), "exp_avg": mean, "exp_avg_sq": square}
        return self.state[parameter]


class HybridOptimizer:
    """Muon on the trunk's matrices and AdamW on the rest, moved by one dial.

    Args:
        model: With a `trunk`.
        learning_rate: Peak step size of AdamW.
        matrix_learning_rate: Peak step size of Muon.
        weight_decay: As a share of the step size.
        qat: Whether the model's weights are rounded, now and after each update.
        muon: Makes the one, as `Muon` itself does.
        adamw: Makes the other, as `AdamW` does.

    Attributes:
        parts: Both, by name, in the order in which they move weights.
        peaks: The peak learning rate of each.
        after_step: Called once the weights have moved, if there is something to call.
    """

    def __init__(
        self,
        model: Module,
        *,
        learning_rate: float,
        matrix_learning_rate: float,
        weight_decay: float,
        qat: bool = False,
        muon: Callable[..., Muon] = Muon,
        adamw: Callable[..., AdamW] = AdamW,
    ) -> None:
        matrices, others = split_parameters(model)
        self.parts: dict[str, Muon | AdamW] = {
            "muon": muon(matrices, learning_rate=matrix_learning_rate, weight_decay=weight_decay),
            "adamw": adamw(others, learning_rate=learning_rate, weight_decay=weight_decay),
        }
        self.peaks = {"muon": matrix_learning_rate, "adamw": learning_rate}
        self.after_step: Callable[[], None] | None = None
        self._latent = LatentWeights(model) if qat else None

    @property
    def parameters(self) -> list[Parameter]:
        """All that it moves, in an order that is always the same."""
        return [parameter for part in self.parts.values() for parameter in part.parameters]

    def set_learning_rate_factor(self, factor: float) -> None:
        """Use `factor` of each peak learning rate from the next step on."""
        for name, part in self.parts.items():
            part.learning_rate = self.peaks[name] * factor

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def forget_all_but(self, parameters: Iterable[Parameter]) -> None:
        """Forget the gradients' moments of all other parameters."""
        for part in self.parts.values():
            part.state = {one: part.state[one] for one in parameters if one in part.state}

    def step(self) -> None:
        """Move the weights by their gradients."""
        if self._latent is not None:
            self._latent.show()
        for part in self.parts.values():
            part.step()
        if self.after_step is not None:
            self.after_step()
        if self._latent is not None:
            self._latent.hide()

    def tensors(self) -> dict[str, Tensor]:
        """Return all state, named so that `load_tensors` puts it back."""
        moments = {
            f"{name}.{index}.{key}": value
            for name, part in self.parts.items()
            for index, parameter in enumerate(part.parameters)
            for key, value in part.state.get(parameter, {}).items()
        }
        latent = self._latent.tensors() if self._latent is not None else {}
        return moments | {LATENT + name: value for name, value in latent.items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` returned, once the model has the weights that belong to it.

        Latent weights count only where weights are rounded; where they are not, training goes on from the
        rounded ones, which made all predictions so far.
        """
        latent = {name.removeprefix(LATENT): tensors[name] for name in tensors if name.startswith(LATENT)}
        if self._latent is not None:
            self._latent.load_tensors(latent)
        for part in self.parts.values():
            part.state = {}
        for key, value in tensors.items():
            if key.startswith(LATENT):
                continue
            name, index, entry = key.split(".")
            part = self.parts[name]
            part.state.setdefault(part.parameters[int(index)], {})[entry] = value.clone()


def adjust_learning_rate(optimizer: HybridOptimizer | Optimizer, factor: float) -> float:
    """Multiply the learning rates by a factor, for good, and return the one that is then in force.

    Args:
        optimizer: A trainer's, whose peak rates are multiplied, so that warm-up and annealing are as before
            to the new peaks; or one of torch's, whose groups' rates are.
        factor: Above 0; after a growth 1/√2.

    Returns:
        AdamW's peak of a trainer's optimizer, the first group's rate of one of torch's.

    Raises:
        ConfigError: The factor is not a number above 0.
    """
    if not 0 < factor < inf:
        raise ConfigError("factor", factor, "use a number above 0, such as 0.7 for slower.")
    if isinstance(optimizer, HybridOptimizer):
        optimizer.peaks = {name: peak * factor for name, peak in optimizer.peaks.items()}
        return optimizer.peaks["adamw"]
    for group in optimizer.param_groups:
        group["lr"] *= factor
    rate: float = optimizer.param_groups[0]["lr"]
    return rate


def split_parameters(model: Module) -> tuple[list[Parameter], list[Parameter]]:
    """Return (the trunk's matrices, all other parameters) of a model that has a `trunk`."""
    matrices = [
        parameter for parameter in model.get_submodule("trunk").parameters() if parameter.dim() == MATRIX
    ]
    chosen = {id(parameter) for parameter in matrices}
    return matrices, [parameter for parameter in model.parameters() if id(parameter) not in chosen]
