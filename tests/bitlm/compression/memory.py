"""Files in memory, compressed and given back."""

from io import BytesIO
from typing import Any

from bitlm.compression import compress, decompress
from bitlm.model import BitTransformer


def compressed(model: BitTransformer, data: bytes, **options: Any) -> bytes:
    target = BytesIO()
    compress(model, BytesIO(data), target, **options)
    return target.getvalue()


def given_back(model: BitTransformer, data: bytes, **options: Any) -> bytes:
    target = BytesIO()
    decompress(model, BytesIO(data), target, **options)
    return target.getvalue()
