"""Networks by file, by name in the catalog or by address on the hub: `facerec.embedder`."""

from __future__ import annotations

from pathlib import Path

import torch

from facerec.catalog import networks
from facerec.embedding.embedder import CPU, Embedder, load_embedder
from facerec.embedding.engines import use_engine


def open_embedder(
    path_or_name: str | Path, device: torch.device = CPU, allow_torchscript: bool = False, engine: str = "torch"
) -> Embedder:
    """The network in a file or directory (see `load_embedder`), of the catalog by its name, or of the hub by its address.

    The latter two are downloaded first. `engine` is what runs it: "torch" or a faster way, see
    `facerec.embedding.engines`. With `allow_torchscript` a file that is TorchScript may run, which can do whatever you
    can; downloaded models never may. Raises as `facerec.catalog.networks.network_place`, `load_embedder` and
    `use_engine` do.
    """
    return use_engine(load_embedder(networks.network_place(str(path_or_name)), device, allow_torchscript), engine)
