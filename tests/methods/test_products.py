"""Matrix products by oneDNN: exact, faster only where they may be, and nothing left behind."""

import threading

import pytest
import torch

from synthloom.methods._nets import products
from synthloom.methods._nets.products import quick_products


def permission() -> str:
    return torch.backends.mkldnn.matmul.fp32_precision


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that rounds nothing, whatever this one does."""
    monkeypatch.setattr(products, "_exact", lambda: True)


@pytest.mark.parametrize("shape", [(7, 5, 3), (1024, 256, 379), (64, 3000, 16)])
def test_products_have_the_precision_of_float32(shape: tuple[int, int, int]) -> None:
    n, inner, m = shape
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(n, inner, generator=generator)
    right = torch.randn(inner, m, generator=generator)
    with quick_products():
        made = left @ right
    size = left.double().abs() @ right.double().abs()
    # Rounding each factor to bfloat16 is off by some 2⁻⁸ of it, to float32 by 2⁻²⁴.
    assert ((made.double() - left.double() @ right.double()).abs() <= 2**-18 * size).all()


def test_a_processor_that_rounds_gets_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    multiply = torch.Tensor.__matmul__

    def rounding(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        if permission() == "bf16":
            left, right = left.bfloat16().float(), right.bfloat16().float()
        return multiply(left, right)

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounding)
    products._exact.cache_clear()
    try:
        with quick_products():
            assert permission() == "none"
    finally:
        products._exact.cache_clear()


@pytest.mark.usefixtures("exact")
def test_the_permission_ends_with_the_block_and_with_an_error() -> None:
    with quick_products():
        assert permission() == "bf16"
    assert permission() == "none"
    with pytest.raises(RuntimeError, match="on purpose"), quick_products():
        raise RuntimeError("on purpose")
    assert permission() == "none"


@pytest.mark.usefixtures("exact")
def test_what_somebody_else_allowed_is_put_back() -> None:
    torch.backends.mkldnn.matmul.fp32_precision = "ieee"
    try:
        with quick_products():
            assert permission() == "bf16"
        assert permission() == "ieee"
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = "none"


@pytest.mark.usefixtures("exact")
def test_the_last_of_several_threads_ends_the_permission() -> None:
    inside, out = threading.Barrier(2, timeout=10), threading.Event()

    def other() -> None:
        with quick_products():
            inside.wait()
            out.wait(10)

    thread = threading.Thread(target=other)
    with quick_products():
        thread.start()
        inside.wait()
    assert permission() == "bf16"
    out.set()
    thread.join()
    assert permission() == "none"
