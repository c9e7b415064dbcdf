"""The compiler of the kernels, and where their machine code is kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = TypeVar("_Function", bound="Callable[..., Any]")

_HERE = Path(__file__).parent


def _fingerprint() -> str:
    """Name the present text of all modules that kernels are made of."""
    texts = [path.read_bytes() for path in sorted(_HERE.glob("*.py"))]
    kernels = [text for text in texts if b"@compiled" in text or b"np.dtype(" in text]
    return hashlib.sha256(b"".join(kernels)).hexdigest()[:16]


# Numba looks only at the file of a function, not at those of the functions it calls, so that a
# cache in the usual place would go on with the old code after a change elsewhere.
numba.config.CACHE_DIR = str(_HERE / "__pycache__" / f"machine-code-{_fingerprint()}")  # type: ignore[attr-defined]  # as documented


def compiled(function: _Function) -> _Function:
    """Compile a function to machine code that other threads can run beside."""
    return cast("_Function", numba.njit(nogil=True, cache=True, error_model="numpy")(function))
