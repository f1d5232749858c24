"""export@network: trained weights -> ONNX with its preprocessing inside, checked, and a model card."""

from __future__ import annotations

from facerec import export as exporting
from facerec.files import write_json, write_text
from facerec.params import Params
from facerec.reporting import model_card
from stages import common

POINTS = 200


def export(params: Params, name: str) -> None:
    """Export network `name`; the parity points compare one value in torch and ONNX each."""
    weights, onnx = (common.MODELS / f"{name}{suffix}" for suffix in (".pt", ".onnx"))
    parity = exporting.export(weights, onnx)
    both = zip(parity.torch.ravel()[:POINTS].tolist(), parity.onnx.ravel()[:POINTS].tolist(), strict=True)
    points = [{"torch": torch_value, "onnx": onnx_value} for torch_value, onnx_value in both]
    write_json(common.CURVES / f"{name}_parity.json", {"parity": points})
    recipe = params.train.model_dump(mode="json")
    card = model_card.write(name, weights, onnx, recipe, params.training_sets, parity.max_difference)
    write_text(common.MODELS / f"{name}.md", card)


if __name__ == "__main__":
    common.run(export)
