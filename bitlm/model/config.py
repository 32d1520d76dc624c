"""The shape of a model, checked when made."""

from dataclasses import dataclass

from bitlm.bits import PAYLOAD_BITS, frame_bits
from bitlm.context_index import MAX_ORDER
from bitlm.errors import ConfigError
from bitlm.model.reversible import MEMORY_MODES
from bitlm.model.visibility import Visibility

MOST_PARAMETERS = 1_000_000_000

BIT_WIDTH = 16
"""Width of one bit's embedding, before a patch's bits are projected together."""

BIT_STATES = 3
"""0, 1, and not known yet, where a text is denoised."""

MASK_UNITS = ("byte", "bit")

NEIGHBOURS = 3
"""Patches that a position is told of when a text is denoised: the one before, its own, the one after."""

PATTERNS = ((-1, 1), (-2, -1, 1), (-1, 1, 2), (-2, -1, 1, 2))
"""Bytes beside a position that have a vector together when a text is denoised, by how far away they are."""

MIXER_WIDTH = 32
"""Width inside the network that weighs counts."""

RECALL_MOST_BYTES = 16
"""Of the last bytes, how many are compared with earlier ones."""

RECALL_VECTORS = 256 + 1 + RECALL_MOST_BYTES
"""Of each byte recalled, then of none, and of each length that one can rest on."""

_WHOLE_NUMBER_BOUNDS = {
    "d_model": (2, 4096),
    "nhead": (1, 256),
    "head_width": (0, 4096),
    "num_layers": (1, 1024),
    "dim_feedforward": (1, 16384),
    "max_seq_len": (PAYLOAD_BITS, 2**18),
    "sinusoid_width": (0, 4096),
    "patch_bits": (1, PAYLOAD_BITS),
    "ngram_order": (1, 8),
    "ngram_slots": (2, 2**22),
    "chunk_size": (0, 2**18),
    "overlap": (0, 2**18),
    "block_bytes": (0, 2**18),
    "mixing_order": (0, MAX_ORDER),
}

_CHOICES = {
    "patch_bits": (1, PAYLOAD_BITS),
    "memory": (*MEMORY_MODES, "auto"),
    "objective": ("causal", "diffusion", "mixed"),
    "mask_unit": MASK_UNITS,
    "mixing": ("none", "reference"),
}


@dataclass(frozen=True)
class ModelConfig:
    """Settings of a `BitTransformer`, under PyTorch's own names.

    Attributes:
        d_model: Width of each of the two streams.
        nhead: Attention heads; they share d_model evenly, unless head_width says otherwise.
        head_width: Channels of each head, an even number, whatever d_model is. 0 is d_model / nhead.
            A model whose heads were cut keeps the width they had (bitlm.distillation).
        num_layers: Reversible blocks.
        dim_feedforward: Width inside the MLP.
        max_seq_len: Window in bits, parity bits included.
        sinusoid_width: Width of the sinusoids that tell a position where it is, repeated to fill d_model: an
            even divisor of it. 0 is d_model. A model that was made wider keeps those it had (bitlm.growth).
        patch_bits: Payload bits one position carries: 8 (one byte) or 1 (the plain bit sequence).
        ngram_order: The most bytes that have a vector of their own at the input when taken together: with 3,
            the last byte, the last two and the last three do. 1 with patch_bits=1.
        ngram_slots: Vectors for all n-grams of a length, a power of two; which one each has, a hash decides.
        recall: Whether each byte has vectors, at the input, of what followed when the last bytes last stood
            in the window, and of how many bytes those were. Not with patch_bits=1.
        parity: Whether a frame ends with an even-parity bit.
        chunk_size: Bits of an attention chunk, whole frames: a position sees its own chunk up to itself, in
            time and memory linear in length. 0 is full attention: it sees all of the window up to itself.
        overlap: Bits before its chunk that a position sees as well, whole frames; 0 with full attention.
        dropout: Share of each branch's output dropped in training, in [0, 1).
        use_act: Whether each position decides how many of the layers it runs (adaptive computation time).
        act_threshold: Accumulated halting at which a position halts outside training, above 0, at most 1:
            lower is sooner. Training draws it for each position, so it can be chosen afterwards.
        memory: "store" keeps all activations for the backward pass, "checkpoint" each layer's input, and
            "recompute" the last layer's activations only, inverting the others, exactly. The results are
            equal bit for bit; `model.trunk.memory` is the mode in force and can be changed at any time.
            "auto" lets a session time the three (`choose_memory`); until then activations are stored.
        objective: What is learned. "causal" predicts each bit from all earlier ones; "diffusion" predicts
            masked bits from all that are not, earlier and later ones; "mixed" learns both with one trunk.
            What denoises has weights of its own at the input. Not with patch_bits=1, unless causal.
        mask_unit: What is masked and revealed together where a text is denoised: a whole "byte", or each
            "bit" by itself.
        block_bytes: Where a text is denoised, the bytes of a block, a divisor of the window's. A block is
            denoised seeing those before it as they are, and nothing after it. 0 is one block, the window, of
            which all is seen.
        mixing: "reference" mixes each bit's logit with what the counts of the training text say of it, all
            weighed by a small network; the model then needs its `reference`. "none" leaves the trunk alone
            with it.
        mixing_order: The longest context whose counts are mixed in, in bytes.

    Raises:
        ConfigError: A setting is out of range; names field, value and fix.
    """

    d_model: int = 128
    nhead: int = 4
    head_width: int = 0
    num_layers: int = 4
    dim_feedforward: int = 512
    max_seq_len: int = 2048
    sinusoid_width: int = 0
    patch_bits: int = 8
    ngram_order: int = 1
    ngram_slots: int = 4096
    recall: bool = False
    parity: bool = False
    chunk_size: int = 0
    overlap: int = 0
    dropout: float = 0.0
    use_act: bool = False
    act_threshold: float = 0.5
    memory: str = "store"
    objective: str = "causal"
    mask_unit: str = "byte"
    block_bytes: int = 0
    mixing: str = "none"
    mixing_order: int = 8

    def __post_init__(self) -> None:
        for field, (least, most) in _WHOLE_NUMBER_BOUNDS.items():
            _check_whole_number(field, getattr(self, field), least, most)
        for field in ("parity", "use_act", "recall"):
            if not isinstance(getattr(self, field), bool):
                raise ConfigError(field, getattr(self, field), "use true or false.")
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                allowed = " or ".join(repr(choice) for choice in choices)
                raise ConfigError(field, getattr(self, field), f"use {allowed}.")
        _check_dropout(self.dropout)
        _check_threshold(self.act_threshold)
        if self.use_act and self.num_layers == 1:
            raise ConfigError("use_act", self.use_act, "use at least 2 layers: one leaves no choice.")
        self._check_heads()
        self._check_lookups()
        if self.max_seq_len < self.frame_bits:
            raise ConfigError(
                "max_seq_len", self.max_seq_len, f"use at least {self.frame_bits} bits, one whole frame."
            )
        self._check_chunks()
        if self.block_bytes and self.window_bytes % self.block_bytes:
            raise ConfigError(
                "block_bytes",
                self.block_bytes,
                f"use a divisor of the window, {self.window_bytes} bytes, or 0.",
            )
        if self.parameter_count > MOST_PARAMETERS:
            raise ConfigError(
                "num_layers",
                self.num_layers,
                f"with the other settings this makes {self.parameter_count:,} parameters; "
                f"use fewer or narrower layers (at most {MOST_PARAMETERS:,} parameters).",
            )

    def _check_heads(self) -> None:
        if self.head_width % 2:
            raise ConfigError(
                "head_width", self.head_width, "use an even number: rotary positions turn pairs of channels."
            )
        if not self.head_width and self.d_model % self.nhead:
            raise ConfigError(
                "nhead",
                self.nhead,
                f"use a number that divides d_model={self.d_model} without remainder, or set head_width.",
            )
        if self.channels_per_head % 2:
            raise ConfigError(
                "d_model",
                self.d_model,
                f"use an even multiple of nhead={self.nhead}: rotary positions turn pairs of channels.",
            )
        if self.sinusoid_width and (self.sinusoid_width % 2 or self.d_model % self.sinusoid_width):
            raise ConfigError(
                "sinusoid_width",
                self.sinusoid_width,
                f"use an even number that divides d_model={self.d_model} without remainder, or 0.",
            )

    def _check_lookups(self) -> None:
        if self.ngram_order > 1 and self.patch_bits == 1:
            raise ConfigError(
                "ngram_order", self.ngram_order, "use 1: with patch_bits=1 no position carries a whole byte."
            )
        if self.recall and self.patch_bits == 1:
            raise ConfigError(
                "recall", self.recall, "use false: with patch_bits=1 no position carries a whole byte."
            )
        if self.denoises and self.patch_bits == 1:
            raise ConfigError(
                "objective",
                self.objective,
                "use 'causal': with patch_bits=1 no position carries a whole byte.",
            )
        if self.ngram_slots & (self.ngram_slots - 1):
            raise ConfigError("ngram_slots", self.ngram_slots, "use a power of two.")

    def _check_chunks(self) -> None:
        for field in ("chunk_size", "overlap"):
            if getattr(self, field) % self.frame_bits:
                raise ConfigError(
                    field, getattr(self, field), f"use a multiple of {self.frame_bits} bits, whole frames."
                )
        if self.overlap and not self.chunk_size:
            raise ConfigError(
                "overlap", self.overlap, "full attention has no chunks to overlap: use 0, or set chunk_size."
            )

    @property
    def frame_bits(self) -> int:
        """Bits of one coded byte: 8, or 9 with parity."""
        return frame_bits(self.parity)

    @property
    def positions_per_frame(self) -> int:
        """Positions one frame takes: 1, or each of its bits when patch_bits=1."""
        return self.frame_bits if self.patch_bits == 1 else 1

    @property
    def positions(self) -> int:
        """Positions of a full window."""
        return self.window_bytes * self.positions_per_frame

    @property
    def visibility(self) -> Visibility:
        """Which earlier positions a position sees."""
        frames = (self.chunk_size // self.frame_bits, self.overlap // self.frame_bits)
        return Visibility(*(count * self.positions_per_frame for count in frames))

    @property
    def window_bytes(self) -> int:
        """Whole frames that fit in max_seq_len."""
        return self.max_seq_len // self.frame_bits

    @property
    def channels_per_head(self) -> int:
        """Width of a head: head_width, or its share of d_model."""
        return self.head_width or self.d_model // self.nhead

    @property
    def attention_width(self) -> int:
        """Channels of all heads of a layer: d_model, unless head_width says otherwise."""
        return self.nhead * self.channels_per_head

    @property
    def denoises(self) -> bool:
        """Whether there are weights that take in masked bits."""
        return self.objective != "causal"

    @property
    def leaves(self) -> int:
        """Values a patch can have; its tree has one inner node less."""
        return 1 << self.patch_bits

    @property
    def parameter_count(self) -> int:
        """Weights a model of this shape has."""
        width = self.d_model
        matrices = 4 * width * self.attention_width + 2 * width * self.dim_feedforward
        layer = matrices + 4 * width + self.channels_per_head
        bits = 2 * BIT_WIDTH + self.patch_bits * BIT_WIDTH * width
        ngrams = (self.ngram_order - 1) * self.ngram_slots * width
        recall = RECALL_VECTORS * width if self.recall else 0
        phases = self.frame_bits * width if self.patch_bits == 1 else 0
        head = (self.leaves - 1) * (width + 1)
        orders = self.mixing_order + 1
        mixer = MIXER_WIDTH * (PAYLOAD_BITS + 2 * orders) + (MIXER_WIDTH + 1) * (orders + 1)
        mixer = mixer if self.mixing == "reference" else 0
        denoiser = BIT_STATES * BIT_WIDTH + NEIGHBOURS * self.patch_bits * BIT_WIDTH * width
        denoiser += len(PATTERNS) * self.ngram_slots * width if self.ngram_order > 1 else 0
        denoiser = denoiser if self.denoises else 0
        halting = (self.num_layers - 1) * (2 * width + 1) if self.use_act else 0
        embedding = bits + ngrams + recall + width + phases + denoiser
        return embedding + self.num_layers * layer + halting + width + head + mixer


def _check_whole_number(field: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(field, value, f"use a whole number from {least} to {most}.")


def _check_threshold(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ConfigError("act_threshold", value, "use a number above 0, at most 1.")


def _check_dropout(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError("dropout", value, "use a number from 0 up to, but not including, 1.")
