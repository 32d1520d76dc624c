from dataclasses import replace
from itertools import islice
from math import inf
from typing import Any

import pytest
import torch

from bitlm.bits import bytes_to_bits, parity_errors
from bitlm.data import Corpus
from bitlm.errors import (
    BitFormatError,
    ConfigError,
    MissingReferenceError,
    ParityError,
    SafetyGateError,
    SafetyGateWarning,
)
from bitlm.gate import GateVerdict, SafetyGate
from bitlm.generation import Sample, collect, generate
from bitlm.model import BitTransformer, ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.safety import hil_safe_inference, safe_sample_with_retry
from bitlm.telemetry import repetition

LENGTH = 128
NOTHING = torch.zeros(0, dtype=torch.uint8)


@pytest.fixture(scope="module")
def text() -> Corpus:
    return Corpus("the first 100 kB of the embedded text", Corpus.embedded().data[:100_000])


@pytest.fixture(scope="module")
def reference(text: Corpus) -> ReferenceModel:
    return ReferenceModel.fit(text.train, order=3)


@pytest.fixture
def model(reference: ReferenceModel) -> BitTransformer:
    made = BitTransformer(ModelConfig(d_model=16, nhead=2, num_layers=2, dim_feedforward=32, max_seq_len=256))
    made.reference = reference
    return made


def sample_of(data: bytes) -> Sample:
    return Sample(data, torch.full((8 * len(data),), 0.7, dtype=torch.float64), parity=False)


def make_loop(model: BitTransformer, value: int = 101) -> None:
    """Set the weights so that one byte is nearly certain, whatever came before."""
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
        node = 0
        for place in range(7, -1, -1):
            bit = value >> place & 1
            model.head.bias[node] = 20.0 if bit else -20.0
            node = 2 * node + 1 + bit


def test_a_stretch_of_held_out_text_passes(text: Corpus, reference: ReferenceModel) -> None:
    for start in range(0, 5 * LENGTH, LENGTH):
        verdict = SafetyGate().judge(sample_of(text.held_out[start : start + LENGTH]), reference)
        assert verdict.passed, verdict
        assert verdict.reasons == ()
        assert verdict.margin == pytest.approx(min(verdict.C / 0.3, verdict.S / 0.5) - 1)


def test_a_loop_fails_because_it_repeats_itself(reference: ReferenceModel) -> None:
    verdict = SafetyGate().judge(sample_of(b"the of a" * (LENGTH // 8)), reference)
    assert not verdict.passed
    assert verdict.reasons == (
        f"C {verdict.C:.2f} is below the floor 0.3: the text repeats itself",
        "100% of the text are copies of the same 8 bytes, more than 75%",
    )
    assert verdict.repeats


def test_a_loop_of_four_copies_fails_though_c_is_above_its_floor(
    text: Corpus, reference: ReferenceModel
) -> None:
    verdict = SafetyGate(c_floor=0.1).judge(sample_of(text.held_out[40:72] * 4), reference)
    assert verdict.C > 0.2
    assert verdict.reasons == ("100% of the text are copies of the same 32 bytes, more than 75%",)
    assert verdict.repeats
    assert verdict.margin == pytest.approx(1 - 1 / 0.75)


def test_three_quarters_of_copies_pass_and_a_byte_more_fails(text: Corpus, reference: ReferenceModel) -> None:
    gate = SafetyGate(c_floor=0.01, s_floor=0.0)
    before = b"0123456789abcdefghijklmnopqrstuv"
    assert gate.judge(sample_of(before + b"-" * 96), reference).passed
    assert not gate.judge(sample_of(before[1:] + b"-" * 97), reference).passed


def test_text_that_is_not_utf_8_fails_where_the_training_text_is(
    text: Corpus, reference: ReferenceModel
) -> None:
    broken = bytearray(text.held_out[:LENGTH])
    broken[70] = 0xE2
    verdict = SafetyGate().judge(sample_of(bytes(broken)), reference)
    assert verdict.reasons == ("byte 70 (0xe2) is not UTF-8, which the training text is",)
    assert verdict.broken_at == 70
    assert verdict.margin < 0
    latin = ReferenceModel.fit(bytes(text.train) + "é".encode("latin-1") + b" ", order=3)
    assert SafetyGate().judge(sample_of(bytes(broken)), latin).passed


def test_frames_from_elsewhere_fail_where_their_parity_is_wrong(
    text: Corpus, reference: ReferenceModel
) -> None:
    passage = text.held_out[:LENGTH]
    frames = bytes_to_bits(passage, parity=True)
    probabilities = sample_of(passage).probabilities
    assert SafetyGate().judge(Sample.of_frames(frames, probabilities, parity=True), reference).passed
    frames[9 * 5 + 8] ^= 1
    frames[9 * 70 + 8] ^= 1
    damaged = Sample.of_frames(frames, probabilities, parity=True)
    assert damaged.data == passage
    verdict = SafetyGate().judge(damaged, reference)
    assert verdict.reasons == ("the parity of 2 frames is wrong, first of frame 5",)
    assert verdict.margin < 0
    assert SafetyGate(s_floor=0.0).judge(damaged, reference).passed


def test_a_character_that_the_prompt_begins_or_the_end_cuts_off_is_not_broken(
    text: Corpus, reference: ReferenceModel
) -> None:
    euro = "€".encode()
    rest = sample_of(euro[1:] + text.held_out[:LENGTH] + euro[:2])
    assert SafetyGate().judge(rest, reference, history=b"5 " + euro[:1]).passed
    assert not SafetyGate().judge(rest, reference, history=b"5 ").passed


def test_a_sample_may_go_on_with_a_character_that_its_prompt_begins(model: BitTransformer) -> None:
    first, second = "é".encode()
    make_loop(model, second)
    begun = bytes_to_bits(bytes([first]))
    assert hil_safe_inference(model, begun, 0.0, 1e-9, max_new_bytes=1).verdict.passed
    with pytest.raises(SafetyGateError, match="0xa9"):
        hil_safe_inference(model, bytes_to_bits(b"a"), 0.0, 1e-9, max_new_bytes=1)


def test_floors_of_0_let_everything_pass(reference: ReferenceModel) -> None:
    gate = SafetyGate(c_floor=0.0, s_floor=0.0)
    verdict = gate.judge(sample_of(b"\xff" * LENGTH), reference)
    assert (verdict.passed, verdict.margin) == (True, inf)


def test_noise_fails_because_it_is_unlike_the_training_text(reference: ReferenceModel) -> None:
    draw = torch.Generator().manual_seed(0)
    noise = bytes(torch.randint(0, 256, (LENGTH,), generator=draw).tolist())
    verdict = SafetyGate().judge(sample_of(noise), reference)
    reason, not_text = verdict.reasons
    assert "not UTF-8" in not_text
    assert reason.startswith(f"S {verdict.S:.2f} is below the floor 0.5: ")
    assert "unlike what the model was trained on" in reason


def test_being_equal_to_a_floor_passes(text: Corpus, reference: ReferenceModel) -> None:
    sample = sample_of(text.held_out[:LENGTH])
    found = SafetyGate().judge(sample, reference)
    assert SafetyGate(c_floor=found.C, s_floor=found.S).judge(sample, reference).passed
    failed = SafetyGate(c_floor=found.C + 1e-9, s_floor=found.S + 1e-9).judge(sample, reference)
    assert len(failed.reasons) == 2


def test_an_empty_sample_cannot_be_judged(reference: ReferenceModel) -> None:
    with pytest.raises(BitFormatError, match="nothing was emitted"):
        SafetyGate().judge(sample_of(b""), reference)


@pytest.mark.parametrize(
    ("field", "value"), [("c_floor", -0.1), ("s_floor", 1.1), ("c_floor", float("nan")), ("s_floor", "0.5")]
)
def test_a_floor_outside_0_to_1_is_named(unchecked_types: None, field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{field}="):
        SafetyGate(**{field: value})


def test_without_a_reference_the_error_says_how_to_get_one(model: BitTransformer) -> None:
    model.reference = None
    with pytest.raises(MissingReferenceError, match=r"model\.reference = ReferenceModel\.fit"):
        hil_safe_inference(model, NOTHING)


def test_strict_refuses_an_untrained_model_and_hands_over_the_verdict(model: BitTransformer) -> None:
    with pytest.raises(SafetyGateError, match=r"S 0\.\d\d is below the floor 0\.5") as caught:
        hil_safe_inference(model, NOTHING, max_new_bytes=32)
    assert isinstance(caught.value.verdict, GateVerdict)
    assert caught.value.verdict.passed is False
    assert len(caught.value.attempts) == 1


def test_lenient_warns_and_marks_what_it_lets_through(model: BitTransformer) -> None:
    with pytest.warns(SafetyGateWarning, match=r"^let through below a floor: S .* trained on; byte 1"):
        gated = hil_safe_inference(model, NOTHING, strict=False, max_new_bytes=32)
    assert not gated.verdict.passed
    assert len(gated.sample.data) == 32


def test_a_sample_above_the_floors_is_returned_without_a_warning(model: BitTransformer) -> None:
    gated = hil_safe_inference(model, NOTHING, c_floor=0, s_floor=0, max_new_bytes=16)
    assert gated.verdict.passed
    assert gated.attempts[0].verdict is gated.verdict


def test_the_prompt_is_not_measured(model: BitTransformer, text: Corpus) -> None:
    make_loop(model)
    prompt = torch.tensor(
        [int(bit) for byte in text.held_out[:16] for bit in f"{byte:08b}"], dtype=torch.uint8
    )
    gated = hil_safe_inference(model, prompt, c_floor=0, s_floor=0, max_new_bytes=32)
    assert gated.sample.data == b"e" * 32


def test_noise_is_retried_with_new_seeds_and_falling_temperature(model: BitTransformer) -> None:
    with pytest.raises(SafetyGateError) as caught:
        safe_sample_with_retry(model, NOTHING, max_new_bytes=24, temperature=0.8, max_retries=3)
    attempts = caught.value.attempts
    assert [round(attempt.temperature, 9) for attempt in attempts] == [0.8, 0.72, 0.64, 0.56]
    assert len({attempt.seed for attempt in attempts}) == 4
    assert all(attempt.verdict.reasons for attempt in attempts)


@pytest.mark.parametrize(("first", "then"), [(1.0, [1.1, 1.2]), (0.0, [0.99, 1.08])])
def test_a_loop_is_retried_hotter(model: BitTransformer, first: float, then: list[float]) -> None:
    make_loop(model)
    with pytest.warns(SafetyGateWarning):
        gated = safe_sample_with_retry(
            model, NOTHING, strict=False, max_new_bytes=32, temperature=first, max_retries=2
        )
    assert [round(attempt.temperature, 9) for attempt in gated.attempts] == [first, *then]


def test_the_first_sample_that_passes_ends_the_retries(model: BitTransformer) -> None:
    gated = safe_sample_with_retry(model, NOTHING, c_floor=0, s_floor=0, max_new_bytes=8)
    assert gated.verdict.passed
    assert len(gated.attempts) == 1


def test_the_best_of_the_failed_attempts_is_returned_marked(model: BitTransformer) -> None:
    with pytest.warns(SafetyGateWarning):
        gated = safe_sample_with_retry(model, NOTHING, strict=False, max_new_bytes=24, max_retries=3)
    assert not gated.verdict.passed
    assert len(gated.attempts) == 4
    assert gated.verdict.margin == max(attempt.verdict.margin for attempt in gated.attempts)


def test_a_retry_can_save_an_answer(model: BitTransformer, text: Corpus) -> None:
    model.reference = ReferenceModel.fit(bytes(text.train) + b"\xff", order=3)  # so that S alone decides
    with pytest.warns(SafetyGateWarning):
        failed = safe_sample_with_retry(
            model, NOTHING, 0, 1, strict=False, max_new_bytes=8, max_retries=3, seed=0
        )
    first, *later = (attempt.verdict.S for attempt in failed.attempts)
    assert max(later) > first
    gated = safe_sample_with_retry(
        model, NOTHING, 0, (first + max(later)) / 2, max_new_bytes=8, max_retries=3, seed=0
    )
    assert gated.verdict.passed
    assert 1 < len(gated.attempts) <= 4


def test_an_attempt_that_can_no_longer_pass_is_given_up_and_the_verdict_says_where(
    model: BitTransformer,
) -> None:
    make_loop(model)
    with pytest.raises(SafetyGateError) as caught:
        safe_sample_with_retry(model, NOTHING, temperature=0.5, max_retries=1)
    for attempt in caught.value.attempts:
        assert attempt.verdict.stopped_at == 112
        assert "100% of the text are copies of the same 1 byte, more than 75%" in attempt.verdict.reasons
    with pytest.raises(SafetyGateError) as whole:
        safe_sample_with_retry(model, NOTHING, temperature=0.5, max_retries=1, stop_early=False)
    assert all(attempt.verdict.stopped_at is None for attempt in whole.value.attempts)
    with pytest.raises(SafetyGateError) as at_once:
        hil_safe_inference(model, NOTHING)
    assert at_once.value.verdict.stopped_at == 112


def test_an_answer_that_is_let_through_is_whole_and_the_very_text_that_its_seed_gives(
    model: BitTransformer, reference: ReferenceModel
) -> None:
    with pytest.warns(SafetyGateWarning):
        gated = safe_sample_with_retry(model, NOTHING, strict=False, max_new_bytes=64, max_retries=3)
    assert len(gated.sample.data) == 64
    assert [attempt.verdict.stopped_at is None for attempt in gated.attempts].count(True) == 1
    (taken_up,) = [attempt for attempt in gated.attempts if attempt.verdict is gated.verdict]
    emitted = generate(model, NOTHING, max_new_bytes=64, temperature=taken_up.temperature, seed=taken_up.seed)
    alone = collect(emitted, parity=False)
    assert gated.sample.data == alone.data
    assert torch.equal(gated.sample.probabilities, alone.probabilities)
    assert SafetyGate().judge(alone, reference) == gated.verdict


def test_giving_up_changes_no_sample_that_passes(model: BitTransformer, text: Corpus) -> None:
    model.reference = ReferenceModel.fit(bytes(text.train) + b"\xff", order=3)  # so that S alone decides
    retrying: dict[str, Any] = {"max_new_bytes": 64, "max_retries": 5}
    with pytest.warns(SafetyGateWarning):
        failed = safe_sample_with_retry(model, NOTHING, 0, 1, strict=False, stop_early=False, **retrying)
    first, *later = (attempt.verdict.S for attempt in failed.attempts)
    floor = (first + max(later)) / 2
    gated = [
        safe_sample_with_retry(model, NOTHING, 0, floor, stop_early=stop, **retrying)
        for stop in (True, False)
    ]
    assert len(gated[0].attempts) > 1
    assert gated[0].sample.data == gated[1].sample.data
    assert gated[0].verdict == gated[1].verdict


def test_a_retry_never_reads_what_was_refused(model: BitTransformer, reference: ReferenceModel) -> None:
    prompt = bytes_to_bits(b"The ")
    with pytest.raises(SafetyGateError) as caught:
        safe_sample_with_retry(model, prompt, max_new_bytes=16, max_retries=2)
    for attempt in caught.value.attempts:
        emitted = generate(
            model, prompt, max_new_bytes=16, temperature=attempt.temperature, seed=attempt.seed
        )
        of_the_prompt_alone = collect(islice(emitted, attempt.verdict.stopped_at), parity=False)
        verdict = SafetyGate().judge(of_the_prompt_alone, reference, history=b"The ")
        assert replace(verdict, stopped_at=attempt.verdict.stopped_at) == attempt.verdict


@pytest.mark.parametrize("patch_bits", [1, 8])
def test_what_is_emitted_has_valid_parity_and_bits_from_elsewhere_without_it_are_refused(
    reference: ReferenceModel, patch_bits: int
) -> None:
    config = ModelConfig(
        d_model=16, nhead=2, num_layers=2, dim_feedforward=32, max_seq_len=288, parity=True,
        patch_bits=patch_bits,
    )  # fmt: skip
    model = BitTransformer(config)
    model.reference = reference
    gated = hil_safe_inference(model, NOTHING, 0, 0, max_new_bytes=16)
    assert parity_errors(gated.sample.bits) == []
    foreign = gated.sample.bits.clone()
    foreign[20] ^= 1
    with pytest.raises(ParityError, match=r"1 frame\(s\) fail even parity \(first: 2\)"):
        hil_safe_inference(model, foreign, 0, 0, max_new_bytes=16)


def test_the_wait_doubles_from_retry_to_retry_and_is_none_by_default(model: BitTransformer) -> None:
    waits: list[float] = []
    for backoff_s in (0.0, 0.5):
        with pytest.raises(SafetyGateError):
            safe_sample_with_retry(
                model, NOTHING, max_new_bytes=8, max_retries=3, backoff_s=backoff_s, sleep=waits.append
            )
    assert waits == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_retries", -1), ("max_retries", 2.5), ("max_retries", 10**6), ("backoff_s", -1.0)],
)
def test_a_wrong_retry_setting_is_named(
    unchecked_types: None, model: BitTransformer, field: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=f"^{field}="):
        safe_sample_with_retry(model, NOTHING, **{field: value})


def test_a_verdict_is_a_value_of_its_request_alone(model: BitTransformer) -> None:
    gated = [hil_safe_inference(model, NOTHING, 0, 0, max_new_bytes=8, seed=seed) for seed in (1, 2, 1)]
    assert gated[0].verdict == gated[2].verdict
    assert replace(gated[0].verdict) == gated[0].verdict
    assert gated[0].sample.data != gated[1].sample.data


@pytest.mark.parametrize(
    ("C", "floor", "said"),
    [
        (0.22, 0.247, "C 0.22 is below the floor 0.247: "),
        (0.246, 0.247, "C 0.246 is below the floor 0.247: "),
        (0.2999, 0.3, "C 0.2999 is below the floor 0.3: "),
        (0.12341, 0.12342, "C 0.12 is below the floor 0.12342: "),
    ],
)
def test_a_verdict_names_the_floor_as_it_was_set_and_a_figure_that_reads_as_below_it(
    C: float, floor: float, said: str
) -> None:
    copies = repetition(b"no copies")
    verdict = SafetyGate(c_floor=floor, s_floor=0).verdict_of(C=C, S=1.0, copies=copies, broken=None)
    assert verdict.reasons[0].startswith(said)
