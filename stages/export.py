"""export@network: trained weights -> ONNX with its preprocessing inside, checked, and a model card."""

from __future__ import annotations

from facerec.core import write_json, write_text
from facerec.embedding import export as exporting
from facerec.reporting import cards, summary
from stages import common

POINTS = 200


def export(params: common.Params, name: str) -> None:
    """Export network `name`; the parity points compare one value in torch and ONNX each."""
    weights, onnx = (common.MODELS / f"{name}{suffix}" for suffix in (".pt", ".onnx"))
    parity = exporting.export_onnx(weights, onnx)
    both = zip(parity.torch.ravel()[:POINTS].tolist(), parity.onnx.ravel()[:POINTS].tolist(), strict=True)
    points = [{"torch": torch_value, "onnx": onnx_value} for torch_value, onnx_value in both]
    common.write_curve(name, "parity", points)
    known = exporting.describe_export(weights, onnx, parity)
    write_json(common.METRICS / f"export/{name}.json", known)
    training = summary.load_metrics(common.METRICS / f"train/{name}.json")[name]
    recipe = params.train.model_dump(mode="json")
    card = cards.render_model_card(name, known, training, recipe, params.training_sets)
    write_text(common.MODELS / f"{name}.md", card)


if __name__ == "__main__":
    common.run(export)
