from copy import deepcopy

from bitlm.data import Corpus
from bitlm.growth import carry_over, double_width
from bitlm.model import BitTransformer, ModelConfig
from bitlm.training import Trainer, TrainingConfig, held_out_bits_per_byte
from tests.bitlm.growth.test_carrying import train
from tests.bitlm.growth.test_growing import SHAPE


def test_a_model_that_grew_is_better_200_updates_later_than_the_same_model_without() -> None:
    config = ModelConfig(**SHAPE | {"d_model": 16, "dim_feedforward": 32, "max_seq_len": 256})
    small = Trainer(BitTransformer(config, seed=1), TrainingConfig())
    train(small, range(150))
    grown = carry_over(small, double_width(small.model))
    ungrown = deepcopy(small)
    figures = []
    for trainer in (ungrown, grown):
        train(trainer, range(150, 350))
        figures.append(held_out_bits_per_byte(trainer.model, Corpus.embedded().held_out[:4_000]))
    assert figures[1] < figures[0] - 0.05
