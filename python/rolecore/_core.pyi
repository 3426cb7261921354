# Made by `make stubs` from the Rust sources in rust/py: change those, not this file.

from typing import Final, final

__version__: Final[str]

@final
class RetainController:
    """Turns memory readings into a retain ratio that stays the same while memory only swings.

    It acts on a reading that is more than `margin` away from the reading it last acted on, or above 85 %, and keeps its
    ratio otherwise: a usage that swings within one margin around 85 % changes the ratio at most once, at any slope.
    Above 85 % the ratio is 0.4 at once; upwards it moves in steps, and only while usage is at or under 85 % - `margin`.
    The first reading gives exactly `compute_retain_ratio`. No clock, no thread: the same readings give the same ratios.
    One controller may be shared by threads.

    Args:
        slope: ratio gained for each unit of usage under 0.85, as in `compute_retain_ratio`; 0 or more.
        margin: change of usage that is ignored, as a share of the limit; 0 or more and below 0.85.
        max_rise: the most the ratio may rise with one reading; above 0 and at most 1.

    Raises:
        ArgumentError: a parameter is no number or out of its range.

    Source: the formula's as in `compute_retain_ratio`; margin and max_rise are our choice, not measured. Five readings
    bring the ratio from 0.4 back to the top of slope 0.5.

    Example:
        >>> keep = rolecore.RetainController()
        >>> [round(keep.update(used, 100), 3) for used in (50, 87, 83, 70, 70)]
        [0.575, 0.4, 0.4, 0.475, 0.475]
    """
    def __new__(cls, /, *, slope: float = 0.5, margin: float = 0.05, max_rise: float = 0.1) -> RetainController: ...
    @property
    def ratio(self, /) -> float | None:
        """The ratio after the last reading; None before the first."""
    def update(self, /, used_bytes: float, limit_bytes: float) -> float:
        """Take one reading and return the ratio from now on.

        Args:
            used_bytes: memory in use, 0 or more; it may exceed the limit. `Memory.used_bytes`.
            limit_bytes: memory there may be, above 0. `Memory.limit_bytes`.

        Returns:
            A share in 0.4..0.9, for `History.fit(retain_ratio=...)`.

        Raises:
            ArgumentError: an argument is no number, not finite or below 0, or the limit is 0; the ratio stays as it was.

        Cost: O(1).
        """

def build_info() -> dict[str, str]:
    """Return how the compiled core was built and what it found on this machine.

    Returns:
        A new dict: `version` (str), `profile` ("debug", "release" or "dist"), `simd` (str: the best vector
        level this CPU offers the core: "avx512", "avx2", "neon" or "scalar").

    Cost: O(1).
    """

def compute_retain_ratio(used_mem_gb: float, total_mem_gb: float, *, slope: float = 0.5) -> float:
    """Return the share of a history to retain at a memory usage.

    Above 85 % usage it is 0.4, else `min(0.9, 0.4 + (0.85 - used / total) * slope)`: it never grows with usage. For readings
    that swing, see `RetainController`.

    Args:
        used_mem_gb: memory in use, in the unit of `total_mem_gb`; 0 or more, and it may exceed the total.
        total_mem_gb: memory there is, above 0.
        slope: ratio gained for each unit of usage under 0.85; 0 or more. At 0.5 the ratio runs without a jump from 0.825
            at no usage to 0.4 at 0.85; 0.9 is reached from slope 0.589 on.

    Returns:
        A share in 0.4..0.9, for `History.fit(retain_ratio=...)`.

    Raises:
        ArgumentError: an argument is no number, not finite or below 0, or the total is 0.

    Cost: O(1).

    Source: the article's rule, "above 85 %: 0.4, else min(0.9, 0.4 + (0.85 - usage) * 50)". Its prose says "+0.5 % per 1 %",
    which is slope 0.5, the default here. With slope 50, as in its formula, the ratio stays at 0.9 up to 84 % and falls to
    0.4 within the last per cent.

    Example:
        >>> round(rolecore.compute_retain_ratio(8, 16), 3)
        0.575
    """

def read_memory(kind: str, root: str) -> tuple[int, int, int | None, float | None, str]:
    """Return one reading: used bytes, limit bytes, resident bytes, pressure and what was read.

    Use `rolecore.MemoryProbe`, which names these values.

    Args:
        kind: "auto", "cgroup" or "meminfo".
        root: directory that every path is taken below.

    Raises:
        ArgumentError: the kind is unknown, or its files are missing or cannot be made sense of.

    Cost: about ten small files; the GIL is released.
    """

def rss_bytes(root: str) -> int | None:
    """Return this process's resident bytes; None where /proc does not say.

    Args:
        root: directory that /proc is taken below.

    Cost: one small file; the GIL is released.
    """
