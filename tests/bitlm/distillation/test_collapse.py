import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bitlm.bits import encode_frames
from bitlm.data import Corpus, even_windows
from bitlm.distillation import (
    Distilled,
    Floors,
    Lesson,
    Representatives,
    Standing,
    collapse_submodel,
    save_distilled_model,
)
from bitlm.distillation.floors import Achieved
from bitlm.errors import ConfigError, MissingReferenceError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.training import TrainingConfig

CORPUS = Corpus("the first 20 kB of the embedded text", Corpus.embedded().data[:20_000])
SHAPE: dict[str, Any] = {
    "d_model": 16, "nhead": 2, "num_layers": 4, "dim_feedforward": 32, "max_seq_len": 288, "parity": True,
    "mixing": "reference",
}  # fmt: skip
REPRESENTATIVES = Representatives(even_windows(CORPUS.train, 32, 3), torch.tensor([0.5, 0.3, 0.2]))
OUT_OF_REACH = Floors(S=1.0)


def believed_of_counts(model: BitTransformer) -> torch.Tensor:
    """How far a model believes what each length of context has counted."""
    assert model.mixer is not None
    return model.mixer.project_out.bias.detach()


@pytest.fixture(scope="module")
def teacher() -> BitTransformer:
    """A model with opinions of its own: nobody taught it these."""
    model = BitTransformer(ModelConfig(**SHAPE), seed=1)
    model.reference = ReferenceModel.fit(CORPUS.train)
    model.head.weight.data *= 200
    believed_of_counts(model).data *= -3
    return model.eval()


def collapsed(
    teacher: BitTransformer,
    floors: Floors,
    *,
    rounds: int = 3,
    heads: int | None = None,
    told: list[Standing] | None = None,
    **lesson: Any,
) -> Distilled:
    return collapse_submodel(
        teacher,
        REPRESENTATIVES,
        int(0.75 * teacher.parameter_count),
        floors,
        rounds,
        heads=heads,
        lesson=Lesson(CORPUS, TrainingConfig(warmup_steps=2), **{"steps": 2, **lesson}),
        progress=(lambda _: None) if told is None else told.append,
    )


def distance(teacher: BitTransformer, student: BitTransformer) -> float:
    """How far the student's probabilities are from the teacher's on text that neither has seen."""
    bits = encode_frames(even_windows(CORPUS.held_out, 32, 16), parity=True)
    with torch.no_grad():
        first, second = (model(bits).logits.sigmoid() for model in (teacher, student))
    return float((first - second).abs().mean())


def test_a_student_learns_what_its_teacher_says_and_not_only_what_the_text_does(
    teacher: BitTransformer,
) -> None:
    told, alone = (
        collapsed(teacher, Floors(), rounds=1, steps=10, teacher_weight=weight) for weight in (1.0, 0.0)
    )
    assert distance(teacher, told.student) < 0.7 * distance(teacher, alone.student)
    assert alone.rounds[-1].achieved.bits_per_byte < told.rounds[-1].achieved.bits_per_byte
    assert bool((believed_of_counts(told.student)[3:6] < believed_of_counts(alone.student)[3:6]).all())


def test_a_student_gets_deeper_and_once_wider_as_long_as_it_misses_a_floor(
    teacher: BitTransformer, tmp_path: Path
) -> None:
    told: list[Standing] = []
    found = collapsed(teacher, OUT_OF_REACH, heads=1, told=told)
    assert not found.met
    shapes = [(one.config.num_layers, one.config.dim_feedforward) for one in found.rounds]
    assert shapes == [(1, 21), (2, 21), (2, 32)]
    assert found.student.config == found.rounds[-1].config
    assert [(one.round, one.rounds, one.steps) for one in told] == [
        (0, 3, 1), (0, 3, 2), (1, 3, 3), (1, 3, 4), (2, 3, 5), (2, 3, 6)
    ]  # fmt: skip
    save_distilled_model(found, tmp_path / "student")
    metrics = json.loads((tmp_path / "student" / "metrics.json").read_text())
    last = found.rounds[-1].achieved
    assert (metrics["C"], metrics["S"], metrics["bits_per_byte"]) == (last.C, last.S, last.bits_per_byte)
    assert metrics["floors"] == {"C": 0.3, "S": 1.0, "most_worse": 0.1}
    assert metrics["met"] is False
    assert [(one["num_layers"], one["nhead"]) for one in metrics["rounds"]] == [(1, 1), (2, 1), (2, 1)]
    again = BitTransformer(ModelConfig(**json.loads((tmp_path / "student" / "model.json").read_text())))
    again.reference = teacher.reference
    again.load_state_dict(load_file(tmp_path / "student" / "weights.safetensors"))
    assert distance(again.eval(), found.student) == 0


def test_the_first_that_meets_the_floors_is_enough_and_the_same_every_time(teacher: BitTransformer) -> None:
    anything = Floors(C=0, S=0, most_worse=100)
    first, again = (collapsed(teacher, anything) for _ in range(2))
    assert first.met
    assert len(first.rounds) == 1
    weights = first.student.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in again.student.state_dict().items())


def test_floors_are_met_at_equality_and_each_is_one() -> None:
    floors = Floors(C=0.25, S=0.5, most_worse=0.5)
    assert floors.met_by(Achieved(0.25, 0.5, 2.5, 2.0))
    for missed in (
        Achieved(0.24, 0.5, 2.5, 2.0),
        Achieved(0.25, 0.4, 2.5, 2.0),
        Achieved(0.25, 0.5, 2.6, 2.0),
    ):
        assert not floors.met_by(missed)


def test_what_cannot_be_taught_is_refused(teacher: BitTransformer) -> None:
    denoiser = BitTransformer(ModelConfig(**SHAPE | {"objective": "mixed"}))
    with pytest.raises(ConfigError, match="masked bits"):
        collapsed(denoiser, Floors())
    with pytest.raises(MissingReferenceError):
        collapsed(BitTransformer(teacher.config), Floors())
    for wrong in ({"steps": 1}, {"teacher_weight": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            collapsed(teacher, Floors(), **wrong)
    for field in ("C", "S", "most_worse"):
        with pytest.raises(ConfigError, match=field):
            Floors(**{field: -0.1})
