"""Any network that maps faces to embeddings, with everything needed to feed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from facerec.core import FormatError, track
from facerec.store.face_dataset import FaceDataset
from facerec.store.preprocessing import Preprocessing
from facerec.store.shards import Shards
from facerec.store.training_sets import TrainingSet

CPU = torch.device("cpu")

Network: TypeAlias = Callable[[Tensor], Tensor]
"""Input (b, 3, h, w) float32 on the device of the images -> embeddings (b, dim) float32."""


@dataclass(frozen=True)
class Embedder:
    """A network with everything needed to feed it; made by `load`."""

    network: Network
    network_dim: int
    preprocessing: Preprocessing
    device: torch.device = CPU
    digest: str = ""
    """64 hexadecimal digits that tell this network, with its preprocessing, from others; "" where unknown."""
    trained_on: tuple[TrainingSet, ...] | None = None
    """The face sets it has learnt from; None where nobody wrote them down."""

    @property
    def dim(self) -> int:
        """Length of an embedding after the fusion of both flips."""
        return self.network_dim * (2 if self.preprocessing.flip == "concat" else 1)

    def embed(self, images: Shards | NDArray[np.uint8], batch: int = 64) -> NDArray[np.float32]:
        """Embeddings (n, dim) float32 of a face set or of RGB uint8 images (n, h, w, 3).

        They are not normalised. The last batch is filled up, so that a face's embedding does not
        depend on how many others there are. Raises FormatError for faces of another size or
        template than the network takes and ImageError for bytes that cannot be decoded.
        """
        rows = [self._embed_batch(pixels, batch) for pixels in self._pixels(images, batch)]
        return np.concatenate(rows) if rows else np.empty((0, self.dim), np.float32)

    def _pixels(self, images: Shards | NDArray[np.uint8], batch: int) -> Iterator[NDArray[np.uint8]]:
        starts = range(0, len(images), batch)
        if isinstance(images, Shards):
            self.preprocessing.check(images.meta)
            order = [np.arange(start, min(start + batch, len(images))) for start in starts]
            batches = FaceDataset([images], self.preprocessing.size).batches(order)
            yield from track(batches, f"embedding {images.meta.dataset}", total=len(order), unit="batches")
            return
        if images.dtype != np.uint8 or images.shape[1:] != (*self.preprocessing.size, 3):
            height, width = self.preprocessing.size
            raise FormatError(
                f"The network takes RGB uint8 images (n, {height}, {width}, 3), not {images.dtype} {images.shape}."
            )
        yield from (images[start : start + batch] for start in starts)

    def _embed_batch(self, pixels: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
        full = np.zeros((batch, *pixels.shape[1:]), np.uint8)
        full[: len(pixels)] = pixels
        faces = torch.from_numpy(full).to(self.device)
        embeddings = self._fuse(faces)[: len(pixels)].cpu().numpy()
        if not np.isfinite(embeddings).all():
            raise FormatError("The network gives values that are not finite; its weights are damaged.")
        return np.asarray(embeddings, np.float32)

    @torch.inference_mode()
    def _fuse(self, faces: Tensor) -> Tensor:
        """Embeddings of faces (b, h, w, 3) uint8, those of their mirror images fused in as declared."""
        original = self.network(self.preprocessing.apply(faces))
        if self.preprocessing.flip == "none":
            return original
        mirrored = self.network(self.preprocessing.apply(faces.flip(2)))
        if self.preprocessing.flip == "concat":
            return torch.cat([original, mirrored], dim=1)
        if self.preprocessing.flip == "sum-normalised":
            return functional.normalize(original) + functional.normalize(mirrored)
        return original + mirrored
