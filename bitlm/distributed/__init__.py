"""Processes that train one model together."""

from bitlm.distributed.group import ALONE, Group, joined
from bitlm.distributed.launch import Launch
from bitlm.distributed.pairwise import PairwiseSum
from bitlm.distributed.pipeline import Pipeline, Schedule
from bitlm.distributed.trial import try_alone

__all__ = ["ALONE", "Group", "Launch", "PairwiseSum", "Pipeline", "Schedule", "joined", "try_alone"]
