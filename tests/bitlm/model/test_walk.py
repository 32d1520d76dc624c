import numpy as np
import pytest

from bitlm.data import Corpus
from bitlm.generation import Reader
from bitlm.model import BitTransformer, ModelConfig
from bitlm.reference import ReferenceModel

TEXT = Corpus.embedded().data[:4000]


@pytest.mark.parametrize("mixing", ["none", "reference"])
@pytest.mark.parametrize(("patch_bits", "parity"), [(8, False), (1, True), (1, False)])
def test_each_node_on_the_way_has_the_logit_of_the_whole_tree(
    patch_bits: int, *, parity: bool, mixing: str
) -> None:
    config = ModelConfig(
        d_model=16, nhead=2, num_layers=1, dim_feedforward=32, max_seq_len=256,
        patch_bits=patch_bits, parity=parity, mixing=mixing,
    )  # fmt: skip
    model = BitTransformer(config, seed=1)
    model.reference = ReferenceModel.fit(TEXT)
    texts = np.frombuffer(TEXT[1000:1080], dtype=np.uint8).reshape(2, 40).astype(np.int64)
    walker, looker = (Reader(model, [b"", b""]) for _ in "ab")
    for values in texts.T:
        for first in range(0, 8, patch_bits):
            walk, trees = walker.walk(), looker.trees()
            nodes = np.zeros(2, dtype=np.int64)
            for depth in range(first, first + patch_bits):
                assert walk.logits().tolist() == trees[[0, 1], nodes].tolist()
                bits = (values >> (7 - depth)) & 1 == 1
                walk.descend(bits)
                nodes = 2 * nodes + 1 + bits
            leaves = (values >> (8 - patch_bits - first)) & ((1 << patch_bits) - 1)
            assert walk.leaves.tolist() == leaves.tolist()
            walker.feed(walk.leaves)
            looker.feed(leaves)
        walker.end_frames(values)
        looker.end_frames(values)
