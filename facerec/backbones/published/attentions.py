"""Attention-56 and Attention-92 as Face_Pytorch publishes them."""

from __future__ import annotations

from torch import nn

from facerec.backbones.published.layout import Layout, Size, State
from facerec.backbones.residual_attention import ResidualAttention


class SummedAttention(ResidualAttention):
    """With the mask of the first module added to its trunk; the paper, and the other modules, multiply."""

    summed_first = True


def _build(state: State, dim: int, size: Size) -> nn.Module:
    deep = any(key.startswith("body.1.2.") for key in state)
    return SummedAttention(92 if deep else 56, dim, size)


_PARTS = {
    0: {
        "share_residual_block": "first",
        "mask_block1": "hourglass.down",
        "skip_connect1": "hourglass.skip",
        "mask_block2": "hourglass.inner.down",
        "skip_connect2": "hourglass.inner.skip",
        "mask_block3": "hourglass.inner.inner.down",
        "mask_block4": "hourglass.inner.up",
        "mask_block5": "hourglass.up",
        "mask_block6": "weigh",
        "last_block": "last",
    },
    1: {
        "first_residual_blocks": "first",
        "softmax1_blocks": "hourglass.down",
        "skip1_connection_residual_block": "hourglass.skip",
        "softmax2_blocks": "hourglass.inner.down",
        "softmax3_blocks": "hourglass.up",
        "softmax4_blocks": "weigh",
        "last_blocks": "last",
    },
    2: {
        "first_residual_blocks": "first",
        "softmax1_blocks": "hourglass.down",
        "softmax2_blocks": "weigh",
        "last_blocks": "last",
    },
}
"""Parts of an attention module by stage, theirs and ours."""

LAYOUTS = (
    Layout(
        name="the attention networks of Face_Pytorch",
        mark="attention_module1.share_residual_block.shortcut.weight",
        rules=(
            (r"^conv1\.", "stem."),
            (r"^residual_block([56])\.", lambda match: f"body.3.{int(match[1]) - 4}."),
            (r"^residual_block([1-4])\.", lambda match: f"body.{int(match[1]) - 1}.0."),
            (r"^attention_module(\d)_(\d)\.", lambda match: f"body.{int(match[1]) - 1}.{match[2]}."),
            (r"^attention_module(\d)\.", lambda match: f"body.{int(match[1]) - 1}.1."),
            *(
                (rf"^(body\.{stage}\.\d+)\.{theirs}\.", rf"\1.{ours}.")
                for stage, parts in _PARTS.items()
                for theirs, ours in parts.items()
            ),
            (r"\.trunk_branches\.", ".trunk."),
            (r"\.res_bottleneck\.", ".residual."),
            (r"^output_layer\.", "output."),
        ),
        last="output.3.weight",
        build=_build,
    ),
)
