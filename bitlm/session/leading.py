"""One run in many processes: rank 0 has the session, and what its learner does, the others' do as well.

A learner is all that computes, and it is only told things: to follow an entry of the journal, to do an
update, to restore a state. So a session needs to know nothing of other processes. Resuming, recovery and the
journal are those of one process, and only rank 0 has a data folder.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from bitlm.data import Corpus
from bitlm.distributed import Group
from bitlm.errors import GridOverflowError, HaltedError
from bitlm.model import MemoryChoice
from bitlm.reference import ReferenceModel
from bitlm.session.checkpoint import (
    MANIFEST,
    OPTIMIZER,
    WEIGHTS,
    Checkpoint,
    decode_checkpoint,
    encode_checkpoint,
    state_hashes,
)
from bitlm.session.config import RunConfig
from bitlm.session.events import EventKind
from bitlm.session.learner import Learner, Texts, Update
from bitlm.session.reference_file import fit_reference


class LeadingLearner(Learner):
    """Rank 0's: tells the others what it does, and then does its part of it.

    Args:
        how: What else its kind of learner is made with.
    """

    def __init__(
        self, config: RunConfig, corpus: Corpus, reference: ReferenceModel, group: Group, **how: Any
    ) -> None:
        tell(group, "begin", config=config.model_dump(mode="json"))
        group.broadcast(bytes(corpus.data))
        super().__init__(config, corpus, reference, group, **how)

    def choose_memory(self) -> MemoryChoice | None:
        """As the learner's; each machine chooses for itself."""
        tell(self._group, "choose_memory")
        return super().choose_memory()

    def follow(self, kind: EventKind, payload: dict[str, Any], texts: Texts) -> None:
        """As the learner's."""
        tell(self._group, "follow", kind=kind, payload=payload)
        super().follow(kind, payload, self._telling(texts))

    def update(self) -> Update:
        """As the learner's."""
        tell(self._group, "update")
        return super().update()

    def restore(self, checkpoint: Checkpoint, texts: Texts) -> None:
        """As the learner's."""
        tell(self._group, "restore")
        for data in encode_checkpoint(checkpoint).values():
            self._group.broadcast(data)
        super().restore(checkpoint, self._telling(texts))

    def snapshot(self) -> Checkpoint:
        """As the learner's, where every process has the same.

        Raises:
            HaltedError: One has not.
        """
        tell(self._group, "compare")
        checkpoint = super().snapshot()
        theirs = self._group.gathered(asdict(state_hashes(checkpoint)))
        other = next((rank for rank, hashes in enumerate(theirs) if hashes != theirs[0]), None)
        if other is not None:
            raise HaltedError(
                f"at step {self.step_count} rank {other} has other weights than rank 0: its machine computes "
                "otherwise. Use machines with the same processor and libraries, or one; the run goes on from "
                "its last checkpoint."
            )
        return checkpoint

    def _telling(self, texts: Texts) -> Texts:
        return lambda digest: self._group.broadcast(bytes(texts(digest)))


def tell(group: Group, do: str, **what: Any) -> None:
    """Let the other processes do something; for rank 0. "end" dismisses them."""
    group.broadcast(json.dumps({"do": do, **what}).encode())


MakeShared = Callable[[RunConfig, Corpus, ReferenceModel, Group], Learner]
"""Makes the learner of one of several processes, such as `Learner` itself."""


def follow_leader(group: Group, make: MakeShared = Learner, also: Sequence[str] = ()) -> None:
    """Do what rank 0's learner does, until it dismisses the others; for these.

    Args:
        group: The processes.
        make: Makes what follows.
        also: What it can be told beside what any learner can, by the names of its methods.
    """

    def texts(_digest: str) -> bytes:
        return group.broadcast()

    first = json.loads(group.broadcast())
    while first["do"] == "begin":
        config = RunConfig.model_validate(first["config"])
        corpus = Corpus(config.corpus, group.broadcast())
        learner = make(config, corpus, fit_reference(corpus, config), group)
        first = _follow_with(learner, group, texts, also)


def _follow_with(learner: Learner, group: Group, texts: Texts, also: Sequence[str]) -> dict[str, Any]:
    """Follow with one learner; return the first thing told that is not for it."""
    done: dict[str, Callable[[dict[str, Any]], Any]] = {
        "choose_memory": lambda _: learner.choose_memory(),
        "follow": lambda told: learner.follow(told["kind"], told["payload"], texts),
        "update": lambda _: _update(learner),
        "restore": lambda _: learner.restore(_received(group), texts),
        "compare": lambda _: group.gathered(asdict(state_hashes(learner.snapshot()))),
        **{name: lambda told: getattr(learner, told.pop("do"))(**told) for name in also},
    }
    told: dict[str, Any] = json.loads(group.broadcast())
    while told["do"] in done:
        done[told["do"]](told)
        told = json.loads(group.broadcast())
    return told


def _update(learner: Learner) -> None:
    """Do an update; what rank 0 makes of one that cannot be done, it tells next."""
    with suppress(GridOverflowError):
        learner.update()


def _received(group: Group) -> Checkpoint:
    """Return the checkpoint whose files rank 0 tells, in their order."""
    return decode_checkpoint({name: group.broadcast() for name in (WEIGHTS, OPTIMIZER, MANIFEST)})
