"""What the body of a request may say; what its address may, is in `queries`."""

from base64 import b64decode
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from app.service.requests import Denoise
from bitlm.diffusion import MOST_STEPS
from bitlm.distillation import TEACHER_WEIGHT, Floors
from bitlm.growth import Growth
from bitlm.history.distilling import Student
from bitlm.session import AlertAction, GrowthRule, SampleSchedule
from bitlm.session.presets import DEFAULT_SIZE

Bit = Annotated[int, Field(strict=True, ge=0, le=1)]
"""Exactly 0 or 1; `true` and 1.0 are not bits."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
StoredNumber = Annotated[int, Field(ge=0, lt=2**63)]
Seed = StoredNumber

PASTED = "pasted text"
"""What a text that came with the request is called."""

LONGEST_PROMPT = 65_536
"""Characters of a prompt; the model sees the last window of them."""

MOST_FILE_BYTES = 2**22
"""Bytes of a file to be coded over REST, which takes some minutes."""

MOST_BITS = 2**20
"""Bits a request may spell out; longer data goes as text or as a corpus."""


class Body(BaseModel):
    """A JSON body: no unknown fields, and no type stands in for another."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Empty(Body):
    """A body that has nothing to say; leaving it out says the same."""


class InitRequest(Body):
    """Settings of a new run; whatever is left out has the value of its size.

    Attributes:
        size: Preset the other fields start from: tiny, small or base.
        corpus: "embedded", or the path of a text file, a folder or a packed text on the service's machine.
        text: Text to learn from instead of a corpus.
        text_name: What to call it.
        seed: Key of every random draw of the run.
    """

    size: str = DEFAULT_SIZE
    corpus: Annotated[str, Field(min_length=1, max_length=4096)] = "embedded"
    text: Annotated[str, Field(min_length=1)] | None = None
    text_name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)] = PASTED
    seed: Seed = 0

    d_model: int | None = None
    nhead: int | None = None
    head_width: int | None = None
    num_layers: int | None = None
    dim_feedforward: int | None = None
    max_seq_len: int | None = None
    sinusoid_width: int | None = None
    patch_bits: int | None = None
    parity: bool | None = None
    chunk_size: int | None = None
    overlap: int | None = None
    dropout: Number | None = None
    use_act: bool | None = None
    act_threshold: Number | None = None
    memory: str | None = None
    ngram_order: int | None = None
    ngram_slots: int | None = None
    recall: bool | None = None
    mixing: str | None = None
    mixing_order: int | None = None
    objective: str | None = None
    mask_unit: str | None = None
    block_bytes: int | None = None

    batch_size: int | None = None
    accumulation_steps: int | None = None
    learning_rate: Number | None = None
    matrix_learning_rate: Number | None = None
    warmup_steps: int | None = None
    weight_decay: Number | None = None
    gradient_clip: Number | None = None
    ponder_cost: Number | None = None
    ponder_budget: Number | None = None
    ponder_start: int | None = None
    causal_share: Number | None = None
    mask_floor: Number | None = None
    mask_curriculum_steps: int | None = None
    validation_interval: int | None = None
    probe_interval: int | None = None
    diagnostics_interval: int | None = None
    telemetry_budget: Number | None = None
    checkpoint_interval: int | None = None
    reference_bytes: int | None = None
    compress_prob: Number | None = None
    autocast: str | None = None
    qat: bool | None = None

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if self.text is not None and "corpus" in self.model_fields_set:
            raise ValueError("corpus and text exclude each other: give one of them")
        return self

    def changes(self) -> dict[str, Any]:
        """Return the settings of model and training that differ from the size's."""
        return self.model_dump(exclude=NO_SETTINGS, exclude_none=True)


NO_SETTINGS = {"size", "corpus", "text", "text_name", "text_bytes", "seed"}
"""Fields of a request for a run, or for its estimate, that are no setting of model or training."""


class EstimateRequest(InitRequest):
    """Settings of a run that may be made.

    Attributes:
        text_bytes: Length of the text, which need not be sent for this.
    """

    text_bytes: Annotated[int, Field(ge=0)] | None = None


class TrainStepRequest(Body):
    """Steps to do, on the corpus or on data given here."""

    steps: Annotated[int, Field(ge=1, le=10_000)] = 1
    text: Annotated[str, Field(min_length=1)] | None = None
    bits: Annotated[list[Bit], Field(min_length=8, max_length=MOST_BITS, fail_fast=True)] | None = None

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if self.text is not None and self.bits is not None:
            raise ValueError("text and bits exclude each other: give one of them")
        return self


DENOISING_FIELDS = {"steps", "noise_schedule", "sampler", "block_bytes", "suffix", "template"}
"""Fields of a request for a text that only mean something where it is denoised."""

TemplatePart = (
    Annotated[str, Field(max_length=LONGEST_PROMPT)] | Annotated[int, Field(strict=True, ge=1, le=4096)]
)
"""A text that is given, or a gap of so many bytes."""


class InferRequest(Body):
    """A prompt and how to go on from it.

    Attributes:
        strict: Refuse a sample below a floor instead of marking it.
        c_floor: Of this request alone; the run's unless given.
        s_floor: The same of S.
        stream: Answer line by line while it is generated.
        details: Tell of each character its bytes, the probabilities of their bits, and alternatives.
        switch_modes: Draw every other retry in the other mode.
        mode: Write from left to right, or fill in; the fields below are of the latter.
        suffix: What comes after the gap.
        template: Texts and gaps, each of so many bytes, instead of prompt, max_new_bytes and suffix.
    """

    prompt: Annotated[str, Field(max_length=LONGEST_PROMPT)] | None = None
    bits: Annotated[list[Bit], Field(max_length=MOST_BITS, fail_fast=True)] | None = None
    max_new_bytes: Annotated[int, Field(ge=1, le=4096)] = 128
    temperature: Annotated[float, Field(ge=0.0, le=5.0, allow_inf_nan=False)] = 0.8
    top_p: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] = 1.0
    seed: Seed | None = None
    strict: bool = False
    c_floor: Share | None = None
    s_floor: Share | None = None
    stream: bool = False
    details: bool = False
    switch_modes: bool = False
    mode: Literal["causal", "diffusion"] = "causal"
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 16
    noise_schedule: Literal["linear", "cosine", "exp"] = "cosine"
    sampler: Literal["ancestral", "confidence", "remask"] = "ancestral"
    block_bytes: Annotated[int, Field(ge=1)] | None = None
    suffix: Annotated[str, Field(max_length=LONGEST_PROMPT)] = ""
    template: Annotated[list[TemplatePart], Field(min_length=1, max_length=1024)] | None = None

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if self.prompt is not None and self.bits is not None:
            raise ValueError("prompt and bits exclude each other: give one of them")
        of_denoising = sorted(DENOISING_FIELDS & self.model_fields_set)
        if self.mode == "causal" and of_denoising:
            raise ValueError(
                f"{of_denoising[0]} is of denoising: give mode='diffusion' with it, or leave it out"
            )
        if self.template is not None:
            apart = sorted({"prompt", "bits", "suffix", "max_new_bytes"} & self.model_fields_set)
            if apart:
                raise ValueError(f"template says all that is given and left out: leave {apart[0]} out")
        return self

    @property
    def denoise(self) -> Denoise | None:
        """How the text is denoised, if it is to be."""
        if self.mode == "causal":
            return None
        template = None if self.template is None else tuple(self.template)
        return Denoise(self.steps, self.noise_schedule, self.sampler, self.block_bytes, self.suffix, template)


class TelemetryRequest(Body):
    """Any of the telemetry settings; those left out stay as they are."""

    lambda_K: Share | None = None
    lambda_C: Share | None = None
    lambda_S: Share | None = None
    c_floor: Share | None = None
    s_floor: Share | None = None
    causal_share: Share | None = None


class AlertSettings(Body):
    """What an alert about the live run leads to."""

    action: AlertAction


class SampleSettings(Body):
    """What is drawn along training; null for nothing."""

    schedule: SampleSchedule | None


class GrowthSettings(Body):
    """When the live run goes on as a larger one; null for never."""

    rule: GrowthRule | None


class AnnealRequest(Body):
    """Steps over which the learning rate falls."""

    steps: Annotated[int, Field(ge=1, le=1_000_000)]


Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class LabelRequest(Body):
    """What a run is called, how it is sorted, and whether it is put away; null takes a name away."""

    name: Name | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=20, strict=False)] = ()
    archived: bool = False

    @field_validator("tags")
    @classmethod
    def _each_once(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(tags))


class DeleteRequest(Body):
    """The id once more, by whoever is sure."""

    confirm: str


class ForkRequest(Body):
    """Where to branch off, and what shall differ from there on.

    Attributes:
        step: Of a checkpoint; None for the newest.
        settings: Settings of training, dropout, act_threshold, memory or seed, by the names POST /init takes.
        telemetry: λ and floors.
        grow: Which way the model shall be larger while it predicts the same.
    """

    step: StoredNumber | None = None
    settings: dict[str, Any] = {}
    telemetry: TelemetryRequest | None = None
    grow: Growth | None = None


class DistilRequest(Body):
    """What a student shall be, and how it is to come about.

    Attributes:
        step: Of a checkpoint of the teacher; None for the newest.
        share: Of the teacher's parameters, how many it may have at most.
        steps: Updates of each round.
        rounds: Students, at most; with 1 the largest at once.
        width_scale: Of the last widening.
        c_floor: Least C of its texts.
        s_floor: Least S of its texts.
        most_worse: Bits per byte it may be worse than its teacher.
        representatives: Windows that decide what is kept.
        teacher_weight: Of the teacher's say; the rest is the text's.
        heads: Of each layer, how many it keeps; None for as many as are in proportion.
    """

    step: StoredNumber | None = None
    share: Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)] = 0.4
    steps: Annotated[int, Field(ge=2, le=1_000_000)] = 1000
    rounds: Annotated[int, Field(ge=1, le=100)] = 3
    width_scale: Annotated[float, Field(ge=1.0, le=100.0, allow_inf_nan=False)] = 1.5
    c_floor: Share = 0.3
    s_floor: Share = 0.5
    most_worse: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.1
    representatives: Annotated[int, Field(ge=1, le=1000)] = 8
    teacher_weight: Share = TEACHER_WEIGHT
    heads: Annotated[int, Field(ge=1, le=256)] | None = None

    @property
    def wanted(self) -> Student:
        """The student asked for."""
        return Student(
            self.share,
            Floors(self.c_floor, self.s_floor, self.most_worse),
            self.rounds,
            self.width_scale,
            self.steps,
            self.representatives,
            self.teacher_weight,
            self.heads,
        )


class RoundingRequest(Body):
    """Which model to measure.

    Attributes:
        step: Of a checkpoint; None for the newest.
    """

    step: StoredNumber | None = None


class TwinRequest(Body):
    """The change to do without; what to do in its place; or to go back to before it."""

    event_id: Annotated[int, Field(ge=1, lt=2**63)]
    instead: dict[str, Any] | None = None
    undo: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.undo and self.instead is not None:
            raise ValueError("undo and instead exclude each other: give one of them")
        return self


class CheckpointRequest(Body):
    """What a checkpoint is called; a named one is kept until it is deleted."""

    name: Name | None = None


class FileRequest(Body):
    """A file.

    Attributes:
        name: What it is called; what comes is called after it.
        data: Its bytes in base64.
    """

    name: Annotated[str, Field(min_length=1, max_length=255)]
    data: Annotated[str, Field(max_length=4 * MOST_FILE_BYTES // 3 + 4)]

    @field_validator("data")
    @classmethod
    def _is_base64(cls, data: str) -> str:
        try:
            size = len(b64decode(data, validate=True))
        except ValueError as error:
            raise ValueError("send the file's bytes in base64.") from error
        if size > MOST_FILE_BYTES:
            raise ValueError(f"send at most {MOST_FILE_BYTES} bytes; `bitlm compress` takes longer files.")
        return data

    @property
    def content(self) -> bytes:
        """The file's bytes."""
        return b64decode(self.data)
