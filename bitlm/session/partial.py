"""Learners of which each has a part of the weights and of the optimizer's state."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bitlm.data import Corpus
from bitlm.distributed import Group
from bitlm.reference import ReferenceModel
from bitlm.session.checkpoint import IN_SHARDS, Snapshot
from bitlm.session.config import RunConfig
from bitlm.session.leading import LeadingLearner, tell
from bitlm.session.learner import Learner
from bitlm.session.shards import ShardedSnapshot


class PartialLearner(Learner):
    """The learner of one of several processes; what rank 0's does, the others' have to do as well."""

    @abstractmethod
    def _own_state(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return what this process alone has of weights and optimizer state."""

    def write_shard(self, folder: str) -> list[str]:
        """Write what this process has into a folder, and return the names of all processes' files, by rank.

        Raises:
            OSError: In rank 0: one could not be written.
        """
        from bitlm.distributed.shards import write_shard  # noqa: PLC0415 - seconds, for torch's part of it

        tensors = {
            prefix + name: tensor
            for prefix, part in zip(IN_SHARDS, self._own_state(), strict=True)
            for name, tensor in part.items()
        }
        told: dict[str, Any] = {}
        try:
            told["name"] = write_shard(Path(folder), tensors, self._group.rank)
        except OSError as error:
            told["failure"] = (error.errno, error.strerror)
        of_all = self._group.gathered(told)
        for each in of_all:
            if self._group.rank == 0 and "failure" in each:
                raise OSError(*each["failure"], folder)
        return [each.get("name", "") for each in of_all]


class LeadingPartialLearner(LeadingLearner, PartialLearner):
    """Rank 0's.

    Args:
        in_shards: Whether a checkpoint is written by all processes, rather than gathered and written here.
    """

    def __init__(
        self, config: RunConfig, corpus: Corpus, reference: ReferenceModel, group: Group,
        *, in_shards: bool = False, **how: Any,
    ) -> None:  # fmt: skip
        super().__init__(config, corpus, reference, group, **how)
        self._in_shards = in_shards

    def to_save(self) -> Snapshot:
        """As the learner's."""
        return ShardedSnapshot(self._state(), self._write_shards) if self._in_shards else self.snapshot()

    def _write_shards(self, folder: Path) -> list[str]:
        place = str(folder.absolute())
        tell(self._group, "write_shard", folder=place)
        return self.write_shard(place)
