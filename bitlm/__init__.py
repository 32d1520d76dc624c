"""BitLM: train, watch, steer and sample a language model whose alphabet is the bit."""

from bitlm.bits import bits_to_text, enforce_parity, text_to_bits
from bitlm.data import Corpus
from bitlm.distillation import TelemetrySynthesizer, collapse_submodel, save_distilled_model
from bitlm.errors import BitLMError, MetricDriftWarning, SafetyGateError
from bitlm.gate import SafetyGate
from bitlm.generation import generate, generate_batch
from bitlm.model import (
    BitTransformer,
    MemoryChoice,
    ModelConfig,
    ModelOutput,
    Reversibility,
    choose_memory,
    cpu_autocast,
    reversibility,
)
from bitlm.model_file import ModelFile, load_model, save_model
from bitlm.quantisation import quantize_dynamic
from bitlm.reference import ReferenceModel
from bitlm.run_length import RunLengths, batch_rle_decode, batch_rle_encode
from bitlm.safety import hil_safe_inference, safe_sample_with_retry
from bitlm.session import RunStore, Session, preset
from bitlm.streaming_gate import StreamingGate
from bitlm.telemetry import (
    detect_metric_drift,
    lz_complexity,
    negentropy_score,
    symbiosis_kl,
    symbiosis_score,
)
from bitlm.training import TrainingConfig, adjust_learning_rate
from bitlm.version import VERSION

__version__ = VERSION

__all__ = [
    "BitLMError",
    "BitTransformer",
    "Corpus",
    "MemoryChoice",
    "MetricDriftWarning",
    "ModelConfig",
    "ModelFile",
    "ModelOutput",
    "ReferenceModel",
    "Reversibility",
    "RunLengths",
    "RunStore",
    "SafetyGate",
    "SafetyGateError",
    "Session",
    "StreamingGate",
    "TelemetrySynthesizer",
    "TrainingConfig",
    "adjust_learning_rate",
    "batch_rle_decode",
    "batch_rle_encode",
    "bits_to_text",
    "choose_memory",
    "collapse_submodel",
    "cpu_autocast",
    "detect_metric_drift",
    "enforce_parity",
    "generate",
    "generate_batch",
    "hil_safe_inference",
    "load_model",
    "lz_complexity",
    "negentropy_score",
    "preset",
    "quantize_dynamic",
    "reversibility",
    "safe_sample_with_retry",
    "save_distilled_model",
    "save_model",
    "symbiosis_kl",
    "symbiosis_score",
    "text_to_bits",
]
