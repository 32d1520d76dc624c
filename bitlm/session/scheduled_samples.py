"""The same prompt gone on from along training: what was drawn, and how."""

from pydantic import BaseModel, ConfigDict

from bitlm.bits import bytes_to_bits
from bitlm.draw import Draw
from bitlm.model import BitTransformer
from bitlm.session.commands import SampleSchedule
from bitlm.telemetry import measure

SURPRISE_DECIMALS = 2
"""Of a character's surprise in bits: enough for its colour, and a text has hundreds of them."""


class ScheduledSample(BaseModel):
    """A text that the schedule asked for, whole, whatever the gate would say of it.

    Attributes:
        step: Updates done when it was drawn.
        at: Unix time in seconds.
        schedule: The one that was in force.
        text: What was emitted, each byte that is not UTF-8 as a U+FFFD.
        surprise_bits: Of each character.
        bits_per_byte: Its code length under the model itself.
        K: Negentropy of the model's predictions.
        C: LZ complexity of its bits.
        S: Symbiosis of the same.
    """

    model_config = ConfigDict(frozen=True)

    step: int
    at: float
    schedule: SampleSchedule
    text: str
    surprise_bits: tuple[float, ...]
    bits_per_byte: float
    K: float
    C: float
    S: float


def draw(
    model: BitTransformer, schedule: SampleSchedule, *, step: int, at: float, denoise: bool = False
) -> ScheduledSample:
    """Draw what the schedule asks for; the seed is the same at every step, so that texts can be compared."""
    reference = model.reference
    assert reference is not None, "a session's model always carries its reference"
    drawing = Draw(
        model,
        bytes_to_bits(schedule.prompt.encode(), parity=model.config.parity),
        schedule.max_new_bytes,
        schedule.temperature,
        schedule.top_p,
        schedule.seed,
    )
    sample = (drawing.in_other_mode() if denoise else drawing).sample()
    found = measure(sample.payload_bits, sample.probabilities, reference)
    characters = sample.characters
    return ScheduledSample(
        step=step,
        at=at,
        schedule=schedule,
        text=sample.text,
        surprise_bits=tuple(round(surprise, SURPRISE_DECIMALS) for _, surprise in characters),
        bits_per_byte=sum(sample.surprises_bits) / len(sample.data),
        K=found.K,
        C=found.C,
        S=found.S,
    )
