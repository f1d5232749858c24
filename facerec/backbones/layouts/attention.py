"""Layouts of networks with attention: Face_Pytorch's residual attention, and arcface_torch's vision transformers."""

from __future__ import annotations

from facerec.backbones.layouts.layout import Layout, Weights, members, renamed
from facerec.backbones.transformer import TRANSFORMERS


def _attention_name(state: Weights) -> str:
    deep = any(key.startswith("body.1.2.") for key in state)
    return f"attention{92 if deep else 56}-summed"


def _unmasked(state: Weights) -> Weights:
    """Without the entry that stands for masked patches, which occur in training only."""
    return {key: value for key, value in state.items() if key != "mask_token"}


def _transformer_name(state: Weights) -> str:
    made = state["patches.weight"].shape[0], len({key.split(".")[1] for key in state if key.startswith("body.")})
    for letter, known in TRANSFORMERS.items():
        if made == known:
            return f"vit-{letter}"
    raise ValueError(f"a transformer of width {made[0]} and {made[1]} units is unknown")


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


ATTENTION = (
    Layout(
        name="the attention networks of Face_Pytorch",
        mark="attention_module1.share_residual_block.shortcut.weight",
        rules=(
            *renamed({"^conv1": "stem"}),
            (r"^residual_block([56])\.", lambda match: f"body.3.{int(match[1]) - 4}."),
            (r"^residual_block([1-4])\.", lambda match: f"body.{int(match[1]) - 1}.0."),
            (r"^attention_module(\d)_(\d)\.", lambda match: f"body.{int(match[1]) - 1}.{match[2]}."),
            (r"^attention_module(\d)\.", lambda match: f"body.{int(match[1]) - 1}.1."),
            *(
                (rf"^(body\.{stage}\.\d+)\.{theirs}\.", rf"\1.{ours}.")
                for stage, parts in _PARTS.items()
                for theirs, ours in parts.items()
            ),
            *renamed({r"\.trunk_branches": ".trunk", r"\.res_bottleneck": ".residual", "^output_layer": "output"}),
        ),
        network=_attention_name,
    ),
    Layout(
        name="the vision transformers of arcface_torch",
        mark="patch_embed.proj.weight",
        rules=(
            *renamed({r"^patch_embed\.proj": "patches", r"^blocks": "body"}),
            (r"^pos_embed$", "positions"),
            *renamed({r"\.norm1": ".attention.0", r"\.attn": ".attention.1"}),
            *members(".perceptron", "norm2 mlp.fc1 - mlp.fc2"),
            (r"^feature\.(\d)\.", lambda match: f"output.{int(match[1]) + 1}."),
        ),
        network=_transformer_name,
        adapt=_unmasked,
    ),
)
"""In the order in which they are tried."""
