"""Looking into the model between its updates."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count, islice
from math import hypot
from typing import Any

import pytest
import torch

from bitlm.data import Corpus
from bitlm.generation import collect, generate
from bitlm.history.branching import fork
from bitlm.history.comparison import compare
from bitlm.model import BitTransformer, ModelConfig
from bitlm.randomness import counter_seed
from bitlm.session import CheckpointPolicy, RunStore, Session
from bitlm.session.events import SEEN_COLUMNS
from bitlm.session.inspection import attention, gradient_norms, meter, meter_bytes, parts_of
from bitlm.telemetry import measure
from bitlm.training import TrainingConfig

TEXT = bytes(range(97, 123)) * 20


@pytest.mark.parametrize(
    "settings", [{}, {"chunk_size": 64, "overlap": 32}, {"patch_bits": 1, "parity": True, "max_seq_len": 144}]
)
def test_a_run_says_where_heads_look_and_that_its_inverse_is_exact(
    store: RunStore,
    corpus: Corpus,
    model_config: ModelConfig,
    training_config: TrainingConfig,
    settings: dict[str, Any],
) -> None:
    config = replace(model_config, dropout=0.1, **settings)
    session = Session.create(store, model=config, training=training_config, corpus=corpus)
    events = list(islice(session, 5))
    seen = [event for event in events if event.attention_entropy is not None]
    assert [event.step for event in seen] == [1, 2, 4]
    for event in seen:
        assert event.attention_entropy_layers is not None
        assert len(event.attention_entropy_layers) == config.num_layers
        assert event.attention_entropy == pytest.approx(sum(event.attention_entropy_layers) / 2)
        assert event.attention_entropy_heads is not None
        by_head = [sum(heads) / config.nhead for heads in event.attention_entropy_heads]
        assert by_head == pytest.approx(event.attention_entropy_layers, abs=1e-3)
        assert (event.inversion_error, event.gradient_agreement) == (0.0, 0.0)
    assert all(event.resident_bytes for event in events), "the system these tests run on has a /proc"
    assert not session.model.training


def test_what_is_looked_at_is_kept_and_what_was_not_measured_is_empty(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    session = Session.create(store, model=model_config, training=training_config, corpus=corpus)
    events = list(islice(session, 3))
    session.close()
    columns = store.metrics(session.run_id)
    assert columns["attention_entropy"] == [event.attention_entropy for event in events]
    layers = [event.attention_entropy_layers for event in events]
    assert columns["attention_entropy_layers"] == [one and list(one) for one in layers]
    heads = [event.attention_entropy_heads for event in events]
    assert columns["attention_entropy_heads"] == [one and [list(layer) for layer in one] for one in heads]
    assert columns["depth_mean"] == columns["inversion_error"][2:] * 3 == [None] * 3


@pytest.mark.parametrize("mixing", ["none", "reference"])
def test_a_run_says_which_part_of_the_model_its_gradient_is_of(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig, mixing: str
) -> None:
    config = replace(model_config, mixing=mixing)
    clipped = replace(training_config, gradient_clip=0.01)
    session = Session.create(store, model=config, training=clipped, corpus=corpus)
    first = next(iter(session))
    norms = first.gradient_norm_blocks
    assert norms is not None
    assert len(norms) == 2 + config.num_layers + (mixing == "reference")
    assert hypot(*norms) == pytest.approx(first.gradient_norm)
    assert first.gradient_norm > clipped.gradient_clip
    gradients = [weight.grad for weight in session.model.trunk.blocks[1].parameters()]
    after_clipping = hypot(*(float(one.norm()) for one in gradients if one is not None))
    assert norms[2] / first.gradient_norm == pytest.approx(after_clipping / clipped.gradient_clip, rel=1e-3)


@pytest.mark.parametrize("settings", [{}, {"mixing": "reference", "use_act": True, "recall": True}])
def test_every_weight_is_in_one_part_of_the_model(
    model_config: ModelConfig, settings: dict[str, Any]
) -> None:
    model = BitTransformer(replace(model_config, **settings))
    weights = [one for part in parts_of(model) for module in part for one in module.parameters()]
    assert sorted(map(id, weights)) == sorted(map(id, model.parameters()))
    norms = [None for _ in model.parameters()]
    assert gradient_norms(model, norms) == (0.0,) * len(parts_of(model)), "nothing has moved it so far"


def test_a_probe_says_how_far_from_the_reference_and_whether_it_is_text(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    latin = Corpus("not UTF-8", bytes(corpus.data).replace(b"e", b"\xe9"))
    of_text, of_bytes = (
        list(islice(Session.create(store, model=model_config, training=training_config, corpus=text), 5))
        for text in (corpus, latin)
    )
    probed = [event for event in of_text if event.C is not None]
    assert [event.step for event in probed] == [1, 2, 4]
    assert all((event.symbiosis_kl or 0.0) > 0.0 for event in probed)
    assert all(0.0 < (event.utf8_validity or 0.0) < 1.0 for event in probed), "it has learned next to nothing"
    assert [event.utf8_validity for event in of_bytes] == [None] * 5
    assert of_text[4].validation_bits_per_bit is not None
    assert sum(of_text[4].validation_bits_per_bit) == of_text[4].validation_bits_per_byte


def test_a_probe_is_of_128_bytes_that_nothing_prompts_drawn_anew_at_each_step(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    session = Session.create(store, model=model_config, training=training_config, corpus=corpus, seed=3)
    event = session.step(probe_now=True)
    nothing = torch.empty(0, dtype=torch.uint8)
    emitted = generate(session.model, nothing, max_new_bytes=128, seed=counter_seed(3, 1, "probe"))
    sample = collect(emitted, parity=False)
    assert session.model.reference is not None
    found = measure(sample.payload_bits, sample.probabilities, session.model.reference)
    assert (event.C, event.S) == (found.C, found.S)


def test_a_heads_entropy_is_kept_to_a_thousandth(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    session = Session.create(store, model=model_config, training=training_config, corpus=corpus)
    heads = session.step().attention_entropy_heads
    assert heads is not None
    exact = attention(session.model, corpus.held_out).head_entropy_bits.tolist()
    assert heads == tuple(tuple(round(head, 3) for head in layer) for layer in exact)


def test_memory_is_looked_at_once_a_second(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    now = [1_000.0]
    session = Session.create(
        store, model=model_config, training=training_config, corpus=corpus, clock=lambda: now[0]
    )
    first = session.step().resident_bytes
    ballast = bytes(64 << 20)
    now[0] += 0.9
    assert session.step().resident_bytes == first
    now[0] += 0.1
    assert session.step().resident_bytes != first
    del ballast


def test_attention_is_looked_at_on_a_window_and_no_more(model_config: ModelConfig) -> None:
    model = BitTransformer(model_config)
    assert attention(model, TEXT).entropy_bits.shape == (2, 2, 1)
    whole = model.attention_summary(torch.zeros(1, 8 * model_config.window_bytes, dtype=torch.uint8))
    assert attention(model, bytes(TEXT[:4])).layer_entropy_bits.mean() < whole.layer_entropy_bits.mean()


def test_a_deep_model_is_tried_on_fewer_bytes_but_on_one_at_least(model_config: ModelConfig) -> None:
    def deep(layers: int, **settings: Any) -> int:
        return meter_bytes(replace(model_config, num_layers=layers, max_seq_len=4096, **settings))

    assert [deep(layers) for layers in (2, 32, 64, 1024)] == [64, 64, 32, 2]
    assert [deep(layers, patch_bits=1, parity=True) for layers in (2, 64, 1024)] == [64, 3, 1]


def test_the_inverse_is_not_tried_where_memory_is_short(model_config: ModelConfig) -> None:
    model = BitTransformer(model_config).eval()
    gradients = 2 * sum(weight.nbytes for weight in model.parameters())

    def measured(available: int) -> bool:
        return meter(model, TEXT, autocast="off", dropout_seed=1, available_bytes=available) is not None

    assert [measured(4 * gradients), measured(4 * gradients - 1)] == [True, False]


def ticking() -> Callable[[], float]:
    """A clock that is a second later each time it is asked: whatever is timed takes at least that long."""
    return partial(next, count(1_000_000_000.0))


def test_thinning_telemetry_is_said_and_changes_no_bit_of_the_run(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    often = replace(training_config, probe_interval=2, diagnostics_interval=3)
    thinned, whole = (
        Session.create(
            store, model=model_config, training=replace(often, telemetry_budget=budget), corpus=corpus,
            clock=ticking(),
        )
        for budget in (0.02, 1.0)
    )  # fmt: skip
    ours, theirs = list(islice(thinned, 20)), list(islice(whole, 20))
    assert [event.loss for event in ours] == [event.loss for event in theirs]
    assert [event.step for event in ours if event.C is not None] == [1]
    assert [event.step for event in theirs if event.C is not None] == [1, *range(2, 21, 2)]
    assert all(0.0 < (event.telemetry_share or 0.0) < 1.0 for event in ours)
    said = [event for event in store.all_events(thinned.run_id) if event.kind == "telemetry_thinned"]
    assert said[0].step == 2
    assert said[0].payload["budget"] == 0.02 < said[0].payload["share"]
    assert said[0].payload["probe_interval"] > 20
    assert "telemetry_thinned" not in [event.kind for event in store.all_events(whole.run_id)]
    saved = [store.checkpoints.of(run.run_id) for run in (thinned, whole)]
    hashes = [{record.step: record.weights_sha256 for record in records} for records in saved]
    shared = hashes[0].keys() & hashes[1].keys()
    assert len(shared) >= 2
    assert [hashes[0][step] for step in shared] == [hashes[1][step] for step in shared]


def test_the_same_run_has_the_same_figures_at_the_same_looks(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    config = replace(model_config, mixing="reference", objective="mixed")
    one, other = (
        list(islice(Session.create(store, model=config, training=training_config, corpus=corpus), 20))
        for _ in range(2)
    )
    for column in SEEN_COLUMNS:
        figures = [getattr(event, column) for event in one]
        assert figures == [getattr(event, column) for event in other]
        assert figures.count(None) < len(figures)


def test_a_run_whose_telemetry_was_thinned_is_taken_up_and_is_no_other_run(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    often = replace(training_config, probe_interval=2, telemetry_budget=0.02)
    session = Session.create(
        store, model=model_config, training=often, corpus=corpus, clock=ticking(),
        policy=CheckpointPolicy(interval_s=1e9),
    )  # fmt: skip
    list(islice(session, 8))
    session.close()
    before = store.metrics(session.run_id)
    Session.open(store, session.run_id).close()
    assert store.metrics(session.run_id) == before
    kinds = [event.kind for event in store.all_events(session.run_id)]
    assert "telemetry_thinned" in kinds
    assert "diverged" not in kinds
    copy = fork(store, session.run_id, step=0, source="cli")
    again = Session.open(store, copy)
    assert [again.step().loss for _ in range(8)] == before["loss"]
    again.close()
    assert compare(store, [session.run_id, copy]).first_difference is None
