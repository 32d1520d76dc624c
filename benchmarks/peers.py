"""The libraries benchmarks compare with: installed from benchmarks/requirements.txt, imported when needed."""

from importlib import import_module
from types import ModuleType

from torch import nn

from bitlm.model import ModelConfig


class PeerMissingError(SystemExit):
    """A library to compare with is not installed; says how to install it, and ends what cannot do without."""


def peer(name: str) -> ModuleType:
    """Return the module `name`; its names are untyped, so type checks pass where it is not installed.

    Raises:
        PeerMissingError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise PeerMissingError(
            f"{name} cannot be imported ({error}); "
            ".venv/bin/python -m pip install -r benchmarks/requirements.txt installs what is compared with."
        ) from error


def gpt2(config: ModelConfig, *, generates: bool = False) -> nn.Module:
    """Return Hugging Face's GPT-2 with a vocabulary of bytes, without dropout.

    Args:
        config: Of the BitLM of the same shape.
        generates: Whether it keeps keys and values. It knows no end token, so each text has full length.
    """
    library = peer("transformers")
    library.logging.set_verbosity_error()
    shape = library.GPT2Config(
        vocab_size=256,
        n_positions=config.window_bytes,
        n_embd=config.d_model,
        n_layer=config.num_layers,
        n_head=config.nhead,
        n_inner=config.dim_feedforward,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=generates,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    model: nn.Module = library.GPT2LMHeadModel(shape)
    return model
