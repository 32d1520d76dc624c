"""The bit-tree language model, causal and denoising, on an exactly reversible trunk."""

from bitlm.model.attention_summary import AttentionSummary
from bitlm.model.autocast import AutocastChoice, check_autocast, choose_autocast, cpu_autocast
from bitlm.model.bit_tree import (
    bit_marginals,
    known_log_probabilities,
    leaf_log_probabilities,
    path_nodes,
)
from bitlm.model.config import ModelConfig
from bitlm.model.decoding import DecodingCache
from bitlm.model.memory_choice import MemoryChoice, choose_memory
from bitlm.model.reversibility import Reversibility, reversibility
from bitlm.model.stages import Stage
from bitlm.model.transformer import BitTransformer, ModelOutput

__all__ = [
    "AttentionSummary",
    "AutocastChoice",
    "BitTransformer",
    "DecodingCache",
    "MemoryChoice",
    "ModelConfig",
    "ModelOutput",
    "Reversibility",
    "Stage",
    "bit_marginals",
    "check_autocast",
    "choose_autocast",
    "choose_memory",
    "cpu_autocast",
    "known_log_probabilities",
    "leaf_log_probabilities",
    "path_nodes",
    "reversibility",
]
