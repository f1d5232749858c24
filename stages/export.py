"""export@network: trained weights -> ONNX with its preprocessing inside, checked, and a model card."""

from __future__ import annotations

from facerec.core import parse_json, write_json, write_text
from facerec.embedding import export as exporting
from facerec.reporting import cards
from stages import common


def export(params: common.Params, name: str) -> None:
    """Export network `name`. How ONNX Runtime rounds depends on the processor, so no output says more than it passed."""
    weights, onnx = (common.MODELS / f"{name}{suffix}" for suffix in (".pt", ".onnx"))
    exporting.export_onnx(weights, onnx)
    known = exporting.describe_export(weights, onnx)
    write_json(common.METRICS / f"export/{name}.json", known)
    metrics = common.METRICS / f"train/{name}.json"
    training = parse_json(metrics.read_bytes(), str(metrics))[name]
    recipe = params.train.model_dump(mode="json")
    card = cards.render_model_card(name, known, training, recipe, params.training_sets)
    write_text(common.MODELS / f"{name}.md", card)


if __name__ == "__main__":
    common.run(export)
