"""The service once for a file of tests: nothing here changes what the next test finds."""

from collections.abc import Iterator

import pytest
from flask import Flask

from app.settings import Settings
from tests.conftest import service


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"), torch_threads=1)


@pytest.fixture(scope="module")
def app(settings: Settings) -> Iterator[Flask]:
    with service(settings) as made:
        yield made
