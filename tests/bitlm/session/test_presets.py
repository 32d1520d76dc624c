import pytest

from bitlm.errors import ConfigError
from bitlm.session import SIZES, preset


def test_every_size_is_complete_and_larger_than_the_one_before() -> None:
    widths = [preset(size)[0].d_model for size in SIZES]
    assert widths == sorted(set(widths))


def test_a_field_of_either_half_can_be_changed_by_name() -> None:
    model, training = preset("tiny", d_model=32, batch_size=2)
    assert (model.d_model, training.batch_size) == (32, 2)


@pytest.mark.parametrize(
    ("size", "changes", "field"), [("huge", {}, "size"), ("tiny", {"d_modle": 3}, "d_modle")]
)
def test_an_unknown_size_or_field_is_named(size: str, changes: dict[str, int], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        preset(size, **changes)
    assert caught.value.field == field


def test_what_bytes_alone_can_have_is_left_out_where_a_position_is_a_bit_unless_asked_for() -> None:
    of_bytes, of_bits = preset("small")[0], preset("small", patch_bits=1)[0]
    assert (of_bytes.ngram_order, of_bytes.recall) == (3, True)
    assert (of_bits.ngram_order, of_bits.recall) == (1, False)
    with pytest.raises(ConfigError, match="ngram_order"):
        preset("small", patch_bits=1, ngram_order=3)


def test_the_sizes_are_those_that_the_command_line_names() -> None:
    assert SIZES == ("tiny", "small", "base")
    with pytest.raises(ConfigError, match="use one of tiny, small, base"):
        preset("huge")
