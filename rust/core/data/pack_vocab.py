# ruff: noqa: INP001  a command, in no package
"""Pack a rank file (base64 token, space, rank a line) into the merge list that `vocab.rs` embeds.

    python pack_vocab.py o200k_base.tiktoken o200k_base.zst

A byte-pair vocabulary holds the same bytes again and again: every token is two older tokens joined. So the file keeps,
for each token after the 256 single bytes, only the two ids it is made of. Layout before compression:

    256 bytes      the byte of token 0, 1, ... 255
    6 planes       n bytes each: low, middle and high byte of every left id, then of every right id

compressed as one zstd frame. The script rebuilds the ranks from what it wrote and fails unless they are the very same.
Needs the package `zstandard`.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

import zstandard

N_BYTES = 256


def read_ranks(path: Path) -> dict[bytes, int]:
    """Return the tokens of a rank file with their ranks."""
    lines = path.read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
    if sorted(ranks.values()) != list(range(len(ranks))):
        msg = f"{path.name}: the ranks are not 0..n"
        raise SystemExit(msg)
    return ranks


def merge(ranks: dict[bytes, int], token: bytes, below: int) -> list[bytes]:
    """Return `token` merged by all ranks lower than `below`, lowest first and leftmost among equals."""
    parts = [bytes([b]) for b in token]
    while len(parts) > 1:
        rank, i = min((ranks.get(parts[i] + parts[i + 1], below), i) for i in range(len(parts) - 1))
        if rank >= below:
            break
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


def pack(ranks: dict[bytes, int]) -> bytes:
    """Return the uncompressed layout of a vocabulary."""
    tokens = sorted(ranks, key=lambda token: ranks[token])
    if any(len(token) != 1 for token in tokens[:N_BYTES]):
        msg = "the first 256 tokens are not the single bytes"
        raise SystemExit(msg)
    pairs = []
    for rank, token in enumerate(tokens[N_BYTES:], start=N_BYTES):
        parts = merge(ranks, token, rank)
        if len(parts) != 2:  # noqa: PLR2004  a pair
            msg = f"token {rank} is made of {len(parts)} older tokens, not of two"
            raise SystemExit(msg)
        pairs.append((ranks[parts[0]], ranks[parts[1]]))
    planes = [bytes(pair[side] >> shift & 0xFF for pair in pairs) for side in (0, 1) for shift in (0, 8, 16)]
    return b"".join([*tokens[:N_BYTES], *planes])


def unpack(raw: bytes) -> dict[bytes, int]:
    """Return the ranks a packed vocabulary stands for."""
    n = (len(raw) - N_BYTES) // 6
    low, mid, high, low2, mid2, high2 = (raw[N_BYTES + i * n : N_BYTES + (i + 1) * n] for i in range(6))
    tokens = [raw[i : i + 1] for i in range(N_BYTES)]
    for i in range(n):
        left = low[i] | mid[i] << 8 | high[i] << 16
        right = low2[i] | mid2[i] << 8 | high2[i] << 16
        tokens.append(tokens[left] + tokens[right])
    return {token: rank for rank, token in enumerate(tokens)}


def main() -> None:
    """Pack one vocabulary and check it."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    ranks = read_ranks(source)
    raw = pack(ranks)
    packed = zstandard.ZstdCompressor(level=22).compress(raw)
    target.write_bytes(packed)
    if unpack(zstandard.ZstdDecompressor().decompress(packed)) != ranks:
        msg = "the packed file does not give the same ranks back"
        raise SystemExit(msg)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    sys.stdout.write(f"{target.name}: {len(ranks)} tokens, {len(packed)} bytes, from sha256 {digest}\n")


if __name__ == "__main__":
    main()
