import pytest

from bitlm.calibration import Assessment, assess, split
from bitlm.calibration.floors import Half
from bitlm.data import Corpus
from bitlm.reference import ReferenceModel


@pytest.fixture(scope="session")
def reference() -> ReferenceModel:
    return ReferenceModel.fit(Corpus.embedded().train)


@pytest.fixture(scope="session")
def halves() -> tuple[Half, Half]:
    return split(Corpus.embedded().held_out)


@pytest.fixture(scope="session")
def assessment(halves: tuple[Half, Half], reference: ReferenceModel) -> Assessment:
    """The embedded text's floors, of 64 and 128 bytes, with 60 samples of each kind of failure."""
    return assess(halves, reference, lengths=(64, 128), samples=60)
