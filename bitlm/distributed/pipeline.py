"""A step's parts on their way through processes of which each computes a stretch of the model.

Source: Huang et al., "GPipe: Efficient training of giant neural networks using pipeline parallelism", NeurIPS
2019; Narayanan et al., "PipeDream: Generalized pipeline parallelism for DNN training", SOSP 2019, for 1F1B.
"""

from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from bitlm.distributed.group import Group

Schedule = Literal["1f1b", "gpipe"]
"""When a part goes back: 1f1b as soon as the last stage is done with it, gpipe once all parts are."""

Carried = tuple[Tensor, ...]
"""What goes from a stage to the next."""


@runtime_checkable
class Work(Protocol):
    """What a stage does, to one part after another."""

    def forward(self, part: int, received: Carried) -> Carried:
        """Return what the next stage is to get, and of the last one `loss`; of the same shapes."""

    def loss(self, part: int, carried: Carried) -> Tensor:
        """Return what a part adds to what is minimised; for the last stage."""

    def learned(self) -> None:
        """Take in the gradient of a part, once it is there; the order is that of the parts."""


class Pipeline:
    """One process's stage, and its schedule; every process of the group makes one, and runs it as often.

    The schedules are torch's. What shapes are sent is told to them, or they would pickle it.

    Args:
        work: Of this process's stage.
        group: Each of its processes has a stage, by rank.
        schedule: When parts go back.
        parts: Of a step; at least one for each stage.
        carried: The shapes of what goes from each stage to the next, in fp32.
    """

    def __init__(
        self, work: Work, group: Group, schedule: Schedule, parts: int, carried: tuple[torch.Size, ...]
    ) -> None:
        # 1.3 s and 70 MB that nobody else needs.
        from torch.distributed.pipelining import (  # noqa: PLC0415 - see above
            PipelineStage,
            Schedule1F1B,
            ScheduleGPipe,
        )

        self._is_last = group.rank == group.size - 1
        self._parts = torch.arange(parts)
        like = tuple(torch.empty(shape, device="meta", requires_grad=True) for shape in carried)
        stage = PipelineStage(
            _Module(work), group.rank, group.size, torch.device("cpu"),
            input_args=like if group.rank else (), output_args=like,
            dw_builder=lambda: work.learned,
        )  # fmt: skip
        schedules = {"1f1b": Schedule1F1B, "gpipe": ScheduleGPipe}
        self._schedule = schedules[schedule](
            stage,
            parts,
            loss_fn=lambda carried, part: work.loss(int(part), carried),
            scale_grads=False,
        )

    def run(self) -> None:
        """Send the parts of a step through all stages, and their gradients back."""
        target = self._parts if self._is_last else None
        self._schedule.step(part=self._parts, target=target, return_outputs=False)


class _Module(nn.Module):
    """Work as torch calls it."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    def forward(self, *received: Tensor, part: Tensor) -> Carried:
        return self._work.forward(int(part), received)
