"""The causal bit-tree language model on an exactly reversible trunk."""

from bitlm.model.attention_summary import AttentionSummary
from bitlm.model.bit_tree import leaf_log_probabilities, path_nodes
from bitlm.model.config import ModelConfig
from bitlm.model.decoding import DecodingCache
from bitlm.model.transformer import BitTransformer, ModelOutput

__all__ = [
    "AttentionSummary",
    "BitTransformer",
    "DecodingCache",
    "ModelConfig",
    "ModelOutput",
    "leaf_log_probabilities",
    "path_nodes",
]
