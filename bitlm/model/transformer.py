"""The language model: patch embedding or denoiser, reversible trunk, bit-tree head."""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from torch.nn.functional import pad

from bitlm.bits import MASK, PAYLOAD_BITS
from bitlm.context_index import ContextIndex, Counts
from bitlm.errors import BitFormatError, ConfigError, MissingReferenceError
from bitlm.model.attention_summary import AttentionSummary, summarise_attention
from bitlm.model.bit_tree import gather_paths, patch_values
from bitlm.model.config import ModelConfig
from bitlm.model.context_reader import ContextReader
from bitlm.model.decoding import DecodingCache
from bitlm.model.denoiser import Denoiser, known_before, require_denoises
from bitlm.model.embedding import PatchEmbedding
from bitlm.model.initialisation import initialise
from bitlm.model.mixing import Mixer
from bitlm.model.trunk import Trunk
from bitlm.model.unfilled import linear
from bitlm.model.visibility import Denoised
from bitlm.reference import ReferenceModel

BATCH_AND_BIT = 2


@dataclass(frozen=True)
class ModelOutput:
    """What a model predicts of the bits it was given.

    Attributes:
        logits: At (b, t) the logit of P(bit t = 1 | bits < t) of row b.
        is_payload: False at parity bits, whose logits are not meaningful.
        depth_mean: Mean number of layers a position ran, from 1 to num_layers; in training the mean over all
            thresholds that could be drawn, with its gradient. None without ACT.
        unmixed: The tree's own logits, before counts were mixed in. None without mixing.
    """

    logits: Float[Tensor, "batch bit"]
    is_payload: Bool[Tensor, " bit"]
    depth_mean: Float[Tensor, ""] | None = None
    unmixed: Float[Tensor, "batch bit"] | None = None


class BitTransformer(nn.Module):
    """A language model over bits: an exact product of P(bit | all earlier bits).

    Args:
        config: The model's shape.
        seed: Decides the first weights, alone.

    Attributes:
        reference: The counts of the training text, which S compares with and mixing adds; None until set.
        denoiser: Takes in masked bits; None where the model is causal only.
        mixer: Weighs the counts; None without mixing.
    """

    def __init__(self, config: ModelConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.reference: ReferenceModel | None = None
        self.embedding = PatchEmbedding(config)
        self.trunk = Trunk(config)
        self.head = linear(config.d_model, config.leaves - 1, bias=True)
        self.denoiser = Denoiser(config) if config.denoises else None
        self.mixer = Mixer(config.mixing_order) if config.mixing == "reference" else None
        initialise(self, seed, config.num_layers)

    @property
    def parameter_count(self) -> int:
        """Weights, all told."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(
        self,
        bits: Integer[Tensor, "batch bit"],
        *,
        dropout_seed: int | None = None,
        counts: Counts | None = None,
        full_depth: bool = False,
    ) -> ModelOutput:
        """Predict every bit from the earlier ones.

        Args:
            bits: Whole frames of 0 and 1, at most max_seq_len of them a row.
            dropout_seed: Key of the dropout masks and of ACT's thresholds; needed in training with either,
                ignored otherwise.
            counts: What is mixed in; the reference's own by default. For bits of the text it counted give
                those of `EarlierCounts`, or each bit would be told its answer. Ignored without mixing.
            full_depth: With ACT, run every layer on every position all the same.

        Raises:
            BitFormatError: Not bits, not whole frames, or too many.
            ConfigError: Dropout or ACT draws, and has no key.
            GridOverflowError: An activation left the exact range; names the layer.
            MissingReferenceError: Counts are to be mixed in, and there are none.
        """
        check_frames(bits, self.config)
        key = self._dropout_key(dropout_seed)
        hidden = self.embedding(patch_values(self.patches(bits)))
        hidden, depth_mean = self.trunk.run(hidden, key, full_depth=full_depth)
        return self.read_out(hidden, bits, counts, depth_mean)

    def read_out(
        self,
        hidden: Float[Tensor, "batch position width"],
        bits: Integer[Tensor, "batch bit"],
        counts: Counts | None = None,
        depth_mean: Float[Tensor, ""] | None = None,
    ) -> ModelOutput:
        """Return what the trunk's output says of these bits.

        Args:
            hidden: What the trunk made of them.
            bits: As for `forward`.
            counts: As for `forward`.
            depth_mean: As of the output.

        Raises:
            MissingReferenceError: As `forward`.
        """
        values = patch_values(self.patches(bits))
        logits = gather_paths(self.head(hidden), values, self.config.patch_bits)
        if self.config.patch_bits == PAYLOAD_BITS:
            logits = pad(logits, (0, self.config.frame_bits - PAYLOAD_BITS))
        unmixed = None
        if self.mixer is not None:
            counted = counts or self._counts(bits)
            frames = logits.reshape(len(bits), -1, self.config.frame_bits)
            mixed = self.mixer(frames[..., :PAYLOAD_BITS], counted, torch.arange(PAYLOAD_BITS))
            unmixed, logits = logits.flatten(1), pad(mixed, (0, self.config.frame_bits - PAYLOAD_BITS))
        in_frame = torch.arange(bits.shape[1], device=bits.device) % self.config.frame_bits
        return ModelOutput(logits.flatten(1), in_frame < PAYLOAD_BITS, depth_mean, unmixed)

    def denoise(
        self,
        states: Integer[Tensor, "batch byte 8"],
        *,
        values: Integer[Tensor, "batch byte"] | None = None,
        dropout_seed: int | None = None,
    ) -> Float[Tensor, "batch byte node"]:
        """Predict every byte from the bits that are known, before and after it and its own.

        Attention is full and goes both ways, whatever the configuration's chunks; counts are not mixed in.
        With block_bytes a byte is predicted from what is known of its block and from the whole blocks before.

        Args:
            states: 0, 1 or MASK for each payload bit of at most a window of bytes.
            values: With block_bytes, the bytes as they are, so that all blocks can be predicted at once; None
                to take them from the states, of which all blocks but the last are then to be known.
            dropout_seed: As for `forward`.

        Returns:
            The logits of each byte's tree, as if nothing of the byte itself were known: what is known of it,
            `known_log_probabilities` takes into account.

        Raises:
            BitFormatError: Not such states, or too many bytes.
            ConfigError: The model was not made to denoise; or dropout draws, and has no key.
            GridOverflowError: An activation left the exact range; names the layer.
        """
        masked = self._denoised(states, values, dropout_seed)[:, -states.shape[1] :]
        trees: Tensor = self.head(masked)
        return trees

    def denoise_and_predict(
        self,
        states: Integer[Tensor, "batch byte 8"],
        values: Integer[Tensor, "batch byte"],
        *,
        dropout_seed: int | None = None,
    ) -> tuple[Float[Tensor, "batch byte node"], Float[Tensor, "batch bit"]]:
        """Do what `denoise` does with block_bytes; return also what the text as it is says of each next bit.

        A block reads the true text before it anyway, so these causal logits cost no more than their head.
        They are those of `forward`, up to rounding, at full depth, without counts and parity bits.

        Args:
            states: As for `denoise`.
            values: As for `denoise`.
            dropout_seed: As for `forward`.

        Raises:
            BitFormatError: As `denoise`.
            ConfigError: As `denoise`; or the model has no blocks.
            GridOverflowError: As `denoise`.
        """
        if not self.config.block_bytes:
            raise ConfigError("block_bytes", 0, "without blocks no text is read as it is; use `denoise`.")
        true, masked = self.head(self._denoised(states, values, dropout_seed)).chunk(2, dim=1)
        return masked, gather_paths(true, values.long(), PAYLOAD_BITS).flatten(1)

    def _denoised(
        self,
        states: Integer[Tensor, "batch byte 8"],
        values: Integer[Tensor, "batch byte"] | None,
        dropout_seed: int | None,
    ) -> Float[Tensor, "batch position width"]:
        """Return what the trunk makes of masked bytes; with blocks, of the true ones before them, too."""
        require_denoises(self.config)
        assert self.denoiser is not None, "a model that denoises has one"
        check_states(states, self.config)
        key = self._dropout_key(dropout_seed)
        if values is None:
            values = patch_values(states.masked_fill(states == MASK, 0))
        block, place = self.config.block_bytes, self.embedding.place(0, states.shape[1])
        hidden = self.denoiser(states, values)
        if not block:
            return self.trunk.run(hidden + place, key, denoised=Denoised())[0]
        true = self.embedding(values)
        # Where all before a byte is known, it is also told what the position is that predicts it causally.
        masked = hidden + torch.where(known_before(states, block)[..., None], true, place)
        return self.trunk.run(torch.cat([true, masked], dim=1), key, denoised=Denoised(block))[0]

    @torch.inference_mode()
    def new_cache(self, batch: int = 1) -> DecodingCache:
        """Return the cache of an empty window, with the weights as they are now.

        Raises:
            MissingReferenceError: Counts are to be mixed in, and there are none.
        """
        reader = None
        if self.mixer is not None:
            reader = partial(ContextReader, self.mixer, self._index(), self.config, batch)
        return DecodingCache(self.embedding, self.trunk, self.head, batch, reader)

    def next_patch_logits(
        self, cache: DecodingCache, patch: Integer[Tensor, "batch patch_bits"] | None
    ) -> Float[Tensor, "batch node"]:
        """Take in one patch and return the tree of the next one, at temperature 1, without dropout.

        A row's tree is the same to the last bit whatever the batch; with that of `forward` it agrees up to
        rounding.

        Args:
            cache: Extended by one position.
            patch: The payload bits (or, when patch_bits=1, the bit) just decided; None begins a window.

        Raises:
            BitFormatError: The window is full, or None was given in mid-window or not at its start.
            GridOverflowError: An activation left the exact range; names the layer.
        """
        if (patch is None) != (cache.length == 0):
            raise BitFormatError("patch=None begins a window, and only that; give the last patch after it.")
        values = (
            torch.zeros(cache.batch, 0, dtype=torch.int64) if patch is None else patch_values(patch)[:, None]
        )
        return torch.from_numpy(cache.read(values.cpu().numpy()))

    def prefill(
        self, cache: DecodingCache, bits: Integer[Tensor, "batch bit"]
    ) -> Float[Tensor, "batch node"]:
        """Take in a whole history at once and return the tree of the patch after it.

        Args:
            cache: An empty cache.
            bits: Whole frames, possibly none, fewer than a window holds.

        Raises:
            BitFormatError: Not whole frames of bits, or too many, or the cache is in use.
            GridOverflowError: An activation left the exact range; names the layer.
        """
        if cache.length:
            raise BitFormatError("this cache is in use; prefill needs a new_cache().")
        if bits.shape[1] == 0:
            return self.next_patch_logits(cache, None)
        check_frames(bits, self.config)
        if bits.shape[1] == self.config.window_bytes * self.config.frame_bits:
            raise BitFormatError("the history fills the window; prefill with its last half.")
        return torch.from_numpy(cache.read(patch_values(self.patches(bits)).cpu().numpy()))

    @torch.inference_mode()
    def attention_summary(
        self, bits: Integer[Tensor, "batch bit"], *, full_attn_logging: bool = False
    ) -> AttentionSummary:
        """Measure how widely each head looks on these bits, without dropout, in memory linear in length.

        Args:
            bits: As for `forward`; one window of 256 positions is enough for a probe.
            full_attn_logging: Whether to keep the full attention maps as well; for short windows.

        Raises:
            BitFormatError: Not bits, not whole frames, or too many.
            ConfigError: The window is too long for its full maps.
        """
        check_frames(bits, self.config)
        hidden = self.embedding(patch_values(self.patches(bits)))
        return summarise_attention(self.trunk, hidden, full_attn_logging=full_attn_logging)

    def _index(self) -> ContextIndex:
        if self.reference is None:
            raise MissingReferenceError
        return self.reference.index

    def _counts(self, bits: Integer[Tensor, "batch bit"]) -> Counts:
        """Return what the training text counted after each context of these bits."""
        frames = bits.reshape(bits.shape[0], -1, self.config.frame_bits)
        values = patch_values(frames[..., :PAYLOAD_BITS]).to(torch.uint8).cpu().numpy()
        return self._index().path_counts(values, self.config.mixing_order)

    def patches(self, bits: Integer[Tensor, "batch bit"]) -> Integer[Tensor, "batch patch patch_bits"]:
        """Group the bits a position carries; byte patches leave out the parity bit."""
        if self.config.patch_bits == 1:
            return bits.unsqueeze(-1)
        return bits.reshape(bits.shape[0], -1, self.config.frame_bits)[..., :PAYLOAD_BITS]

    def _dropout_key(self, dropout_seed: int | None) -> int | None:
        if not self.training or (self.config.dropout == 0 and not self.config.use_act):
            return None
        if dropout_seed is None:
            raise ConfigError(
                "dropout_seed",
                None,
                "training with dropout or ACT needs a key for what it draws: pass dropout_seed, "
                "or call model.eval().",
            )
        return dropout_seed


def check_states(states: Tensor, config: ModelConfig) -> None:
    """Refuse anything but a batch of bytes of 0, 1 and MASK that fits the window.

    Raises:
        BitFormatError: Names the shape, type or value found and what is needed.
    """
    if states.dim() != BATCH_AND_BIT + 1 or states.shape[-1] != PAYLOAD_BITS:
        raise BitFormatError(f"states have shape {tuple(states.shape)}; give [batch, byte, {PAYLOAD_BITS}].")
    if states.is_floating_point() or states.is_complex():
        raise BitFormatError(f"states are {states.dtype}; give whole numbers, e.g. torch.uint8.")
    if states.numel() == 0 or states.shape[1] > config.window_bytes:
        raise BitFormatError(
            f"{states.shape[0]} row(s) of {states.shape[1]} bytes; "
            f"give at least one row of 1 to {config.window_bytes} bytes (max_seq_len={config.max_seq_len})."
        )
    if bool(((states < 0) | (states > MASK)).any()):
        raise BitFormatError(f"a state is none of 0, 1 and {MASK} (not known yet).")


def check_frames(bits: Tensor, config: ModelConfig) -> None:
    """Refuse anything but a batch of whole frames of 0 and 1 that fits the window.

    Raises:
        BitFormatError: Names the shape, type or value found and what is needed.
    """
    if bits.dim() != BATCH_AND_BIT:
        raise BitFormatError(f"bits have shape {tuple(bits.shape)}; give [batch, bit], e.g. bits[None].")
    if bits.is_floating_point() or bits.is_complex():
        raise BitFormatError(f"bits are {bits.dtype}; give whole numbers, e.g. torch.uint8.")
    rows, count = bits.shape
    if rows == 0 or count == 0 or count % config.frame_bits:
        raise BitFormatError(
            f"{rows} row(s) of {count} bits are not whole frames; "
            f"give at least one row of a multiple of {config.frame_bits} bits (parity={config.parity})."
        )
    if count > config.window_bytes * config.frame_bits:
        raise BitFormatError(
            f"{count} bits do not fit max_seq_len={config.max_seq_len}; "
            f"give at most {config.window_bytes} frames of {config.frame_bits} bits."
        )
    if bool((bits != bits.bool()).any()):
        raise BitFormatError("an element is neither 0 nor 1; give bits, e.g. from bytes_to_bits().")
