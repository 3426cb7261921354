# Made by `make stubs` from the Rust sources in rust/py: change those, not this file.

from typing import Final

__version__: Final[str]

def build_info() -> dict[str, str]:
    """Return how the compiled core was built and what it found on this machine.

    Returns:
        A new dict: `version` (str), `profile` ("debug", "release" or "dist"), `simd` (str: the best vector
        level this CPU offers the core: "avx512", "avx2", "neon" or "scalar").

    Cost: O(1).
    """
