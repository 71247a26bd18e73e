"""Shards: files with parts of a state's tables, which the checkpoints of a run share.

A table is the tensors with one prefix and the same number of rows, such as those of a replay. Its rows 0 to 1023, 1024
to 2047, ... are one shard each: a safetensors file named by its SHA-256. Rows that stay the same between checkpoints
are the same shards, so a checkpoint writes new ones only.

    {"replay.obs": [2500, 8], "replay.reward": [2500, 2], "network.bias": [8]}
    {"replay.obs": [452, 8], "replay.reward": [452, 2], "network.bias": [8], "shards/replay/2500": [2, 32]}
"""

from collections.abc import Callable

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from marl.rollout.types import Tensors

ROWS = 1024
MARK = "shards/"  # names of modules, and so of tensors, have no slash


def split(state: Tensors, store: Callable[[bytes], bytes]) -> Tensors:
    """Return a state with the whole shards of its tables replaced by their hashes, uint8 [K, 32] for K shards.

    `store` keeps the bytes of a shard and returns their hash.
    """
    state = {name: torch.as_tensor(value).cpu() for name, value in state.items()}
    tables: dict[str, list[str]] = {}
    for name, tensor in state.items():
        if tensor.ndim and len(tensor) >= ROWS:
            tables.setdefault(f"{MARK}{name.rpartition('.')[0]}/{len(tensor)}", []).append(name)
    for table, names in tables.items():
        rows = len(state[names[0]]) // ROWS * ROWS
        shards = [
            store(safetensors.torch.save({name: state[name][row : row + ROWS].contiguous() for name in names}))
            for row in range(0, rows, ROWS)
        ]
        state |= {name: state[name][rows:] for name in names}
        state[table] = torch.from_numpy(np.frombuffer(b"".join(shards), np.uint8).reshape(-1, 32).copy())
    return state


def join(state: Tensors, fetch: Callable[[bytes], bytes]) -> Tensors:
    """Return the state that `split` was given; `fetch` returns the bytes of a shard by their hash.

    Raises KeyError, RuntimeError, TypeError or ValueError if the shards do not belong to the state.
    """
    whole = {name: value for name, value in state.items() if not name.startswith(MARK)}
    for table in state.keys() - whole.keys():
        hashes = hashes_of(state[table])
        for place, digest in enumerate(hashes):
            for name, rows in safetensors.torch.load(fetch(digest)).items():
                if place == 0:
                    rest: Tensor = whole[name]
                    whole[name] = torch.empty((len(hashes) * ROWS + len(rest), *rest.shape[1:]), dtype=rest.dtype)
                    whole[name][len(hashes) * ROWS :] = rest
                whole[name][place * ROWS : (place + 1) * ROWS] = rows
    return whole


def hashes_of(table: Tensor) -> list[bytes]:
    """Return the hashes of shards [K, 32] that stand for a table."""
    return [bytes(row) for row in table.numpy()]
