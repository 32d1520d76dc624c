"""Training for few bits: the model has rounded weights at every moment, and an update moves exact ones.

    w ← round(v),   v ← v - step(∂L/∂w)

v are the latent weights. The gradient is taken where the model is, at w, and moves v: rounding counts as the
identity in the backward pass (straight-through). As nothing but the update knows of v, passes in any memory
mode, decoding, evaluation, samples and checkpoints are those of the model that a file of few bits holds.

Source: Courbariaux, Bengio & David, "BinaryConnect", NeurIPS 2015; Bengio et al., "Estimating or propagating
gradients through stochastic neurons", 2013; Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", CVPR 2018.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import Module

from bitlm.quantisation import is_quantised, rounded

QAT_BITS = 4


class LatentWeights:
    """The exact weights behind a model's rounded ones.

    Args:
        model: Its weights become the latent ones, and are rounded.
    """

    def __init__(self, model: Module) -> None:
        self._parameters = [weight for name, weight in model.named_parameters() if is_quantised(name, weight)]
        self._latent: list[Tensor] = []
        self.hide()

    @torch.no_grad()
    def show(self) -> None:
        """Give the model its exact weights, for an update to move."""
        for parameter, latent in zip(self._parameters, self._latent, strict=True):
            parameter.copy_(latent)

    @torch.no_grad()
    def hide(self) -> None:
        """Take the model's weights as the exact ones, and round them."""
        self._latent = [parameter.detach().clone() for parameter in self._parameters]
        for parameter, latent in zip(self._parameters, self._latent, strict=True):
            parameter.copy_(rounded(latent, QAT_BITS))

    def tensors(self) -> dict[str, Tensor]:
        """Return the exact weights, named so that `load_tensors` puts them back."""
        return {str(index): latent for index, latent in enumerate(self._latent)}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` returned; of nothing, as a run has that learned exact weights, take these.

        Args:
            tensors: The model already has the weights that belong to them.
        """
        if tensors:
            self._latent = [tensors[str(index)].clone() for index in range(len(self._parameters))]
        else:
            self.hide()
