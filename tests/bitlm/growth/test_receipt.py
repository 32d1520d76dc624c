import itertools

import pytest

from bitlm.data import Corpus
from bitlm.errors import CorpusError
from bitlm.growth import GROWTHS, Growth, double_width, greatest_logit_difference, grow, receipt
from bitlm.training import held_out_bits_per_byte
from tests.bitlm.growth.test_growing import MOST_BY_ROUNDING, tiny

HELD_OUT = Corpus.embedded().held_out[:500]


@pytest.mark.parametrize("growth", GROWTHS)
def test_a_receipt_says_what_a_growth_changed(growth: Growth) -> None:
    model = tiny(objective="mixed", parity=True)
    grown = grow(model, growth)
    ticks = itertools.count(0, 2)
    told = receipt(model, grown, HELD_OUT, clock=lambda: next(ticks))
    assert told.logit_difference <= (MOST_BY_ROUNDING if growth == "width" else 0.0)
    assert told.parameters == (model.parameter_count, grown.parameter_count)
    assert told.weight_bytes == (4 * model.parameter_count, 4 * grown.parameter_count)
    assert told.bits_per_byte == tuple(held_out_bits_per_byte(one, HELD_OUT) for one in (model, grown))
    assert told.ms_per_byte == (2000 / len(HELD_OUT), 2000 / len(HELD_OUT))


def test_a_difference_in_denoising_alone_is_seen() -> None:
    model = tiny(objective="mixed")
    other = double_width(model)
    assert greatest_logit_difference(model, other, HELD_OUT) < MOST_BY_ROUNDING
    assert other.denoiser is not None
    other.denoiser.project.weight.data.mul_(1.5)
    assert greatest_logit_difference(model, other, HELD_OUT) > 10 * MOST_BY_ROUNDING


def test_a_text_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(CorpusError, match="one window needs 16"):
        greatest_logit_difference(tiny(), tiny(), HELD_OUT[:15])
