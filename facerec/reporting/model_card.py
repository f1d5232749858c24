"""The model card: what a network is, what it has learnt from, how it is fed and how well it does, from facts alone.

The stage export knows all but the results, which are measured later; the stage report writes the card again with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facerec.reporting import wording
from facerec.reporting.wording import document, escaped, facts, settings

USE = (
    "Maps an aligned face to an embedding, so that two faces can be compared and a person can be looked for among\n"
    "others. It is there to reproduce and to compare experiments. It is not there to decide anything about a person:\n"
    "every threshold has errors of both kinds, and they are not the same for all people."
)
LIMITS = (
    "A network knows the faces it was trained on. Measure it on faces like those it is meant for, with the consent of\n"
    "the people shown, and by groups of people: nothing on this card says how errors differ between them."
)
RENDERED = "It has seen rendered faces only: its results are no evidence about real people.\n"


def render_model_card(
    name: str,
    known: Mapping[str, Any],
    training: Mapping[str, Any],
    recipe: Mapping[str, Any],
    sets: Sequence[str],
    results: str = "",
    rendered: bool = False,
) -> str:
    """The card of network `name` as Markdown.

    `known` is what `facerec.embedding.export.describe_export` says of its files, `training` are the metrics of the stage train, `recipe` is
    params.train, `sets` names those it was trained on, `results` is Markdown, and `rendered` says that nobody in the
    sets exists.
    """
    height, width = known["input_size"]
    template = escaped(known["preprocessing"]["template"])
    rows = [
        ("Backbone", f"{escaped(known['backbone'])}, {known['parameters']:,} parameters"),
        ("Embedding", f"{known['dim']} numbers, compared by cosine"),
        ("Input", f"RGB, {height}x{width}, aligned to {template}"),
        *(
            (file, f"{wording.size(facts['bytes'])}, sha256 `{facts['sha256']}`")
            for file, facts in known["files"].items()
        ),
        ("Digest of the network", f"`{known['digest']}`, as in its embeddings and scores"),
        ("Torch against ONNX", f"largest difference {known['max_difference']:.1g}"),
    ]
    return document(
        f"Model card: {name}",
        facts(rows),
        f"## Intended use\n\n{USE}",
        f"## Training\n\n{_training(training, sets)}",
        f"## Results\n\n{results or f'They are in reports/cards/models/{name}.md once the benchmarks have run.'}",
        f"## Preprocessing\n\n{settings(known['preprocessing'])}",
        f"## Recipe\n\n{settings(recipe)}",
        f"## Limits\n\n{RENDERED if rendered else ''}{LIMITS}",
    )


def _training(training: Mapping[str, Any], sets: Sequence[str]) -> str:
    return facts(
        [
            *(("Set", escaped(each)) for each in sets),
            ("Faces", f"{training['images']:,} of {training['identities']:,} identities"),
            ("Epochs", f"{training['epochs']:,}"),
            ("Loss of the last epoch", wording.number(training["train_loss"])),
            (
                "Faces nearest to their own class",
                f"{wording.percent(training['train_accuracy'])} in the last epoch",
            ),
            ("Best of those judged on the way", _best(training)),
        ]
    )


def _best(training: Mapping[str, Any]) -> str:
    if "best_step" not in training:
        return ""
    return f"step {training['best_step']:,}, mean accuracy {wording.percent(training['best_validation'])}"
