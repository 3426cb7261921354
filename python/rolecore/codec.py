"""Sessions as snapshots: bytes in the FlatBuffers format that are read where they are.

`encode_snapshot` writes one, `encode_snapshot_buffers` in pieces to be sent, `open_snapshot` reads it: opening costs
the same at 1 kB and 100 MB. The schema is fbs/snapshot.fbs, docs/codecs.md says how it may change. `BatchWriter` and
`open_batch` keep many of them in one file.
"""

from __future__ import annotations

from collections.abc import Sequence

from rolecore._core import (
    Batch,
    BatchWriter,
    Snapshot,
    ToolCall,
    Turn,
    Turns,
    encode_snapshot,
    encode_snapshot_buffers,
    open_batch,
    open_snapshot,
)

__all__ = [
    "Batch",
    "BatchWriter",
    "Snapshot",
    "ToolCall",
    "Turn",
    "Turns",
    "encode_snapshot",
    "encode_snapshot_buffers",
    "open_batch",
    "open_snapshot",
]

Sequence.register(Batch)
Sequence.register(Turns)
