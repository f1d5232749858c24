"""reports/index.html: one self-contained page a run, without network, scripts or a timestamp.

`render` takes the summary as `facerec.reporting.summary.gather` makes it. Groups it knows, "verification" and
"identification", become the headline tables; any other group becomes a plain table.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from facerec.errors import FormatError
from facerec.verification.result import rate_name

_NONE = "&ndash;"
_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}

_CSS = """
:root { color-scheme: light dark; --text: #1b1f24; --soft: #59636e; --line: #d1d9e0; --back: #f6f8fa;
  --card: #ffffff; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --soft: #9198a1; --line: #30363d;
  --back: #0d1117; --card: #161b22; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 4rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p, figcaption { color: var(--soft); margin: .3rem 0; max-width: 60rem; } .note { border-left: 4px solid var(--accent);
  padding: .1rem .8rem; }
.scroll, details { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .8rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
tr:last-child > * { border-bottom: 0; } th { color: var(--soft); font-weight: 600; font-size: .88rem; }
th:first-child, td:first-child { text-align: left; } td strong { font-size: 1.1rem; color: var(--accent); }
.narrow { max-width: 30rem; margin-top: .6rem; } small { color: var(--soft); }
.figures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .7rem; }
figure img { width: 100%; background: #fff; border-radius: 4px; display: block; }
details { padding: .6rem .9rem; } summary { cursor: pointer; font-weight: 600; } pre { font-size: .85rem; }
@media print { body { background: #fff; max-width: none; } figure, tr { break-inside: avoid; } }
"""


def render(
    summary: Mapping[str, Any],
    figures: Sequence[tuple[str, str | Path]] = (),
    params: str = "",
    title: str = "Face recognition report",
    note: str = "",
    sheets: Sequence[tuple[str, str | Path]] = (),
) -> str:
    """The page as HTML text.

    Args:
        summary: metrics by group.
        figures: (caption, path of an .svg, .png or .jpg), drawn in this order and embedded.
        params: the parameters of the run as text, shown folded.
        title: heading of the page.
        note: a remark under the heading, such as what synthetic data does not show.
        sheets: (caption, path) of contact sheets, embedded in full width below the figures.
    """
    others = (name for name in summary if name not in ("verification", "identification"))
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="note">{escape(note)}</p>' if note else "",
        _verification(summary.get("verification", {})),
        _identification(summary.get("identification", {})),
        _figures(figures),
        _sheets(sheets),
        *(_group(name, summary[name]) for name in others),
        f"<h2>Parameters</h2>\n<details><summary>params.yaml</summary><pre>{escape(params)}</pre></details>"
        if params
        else "",
    ]
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
    )
    return head + "\n".join(part for part in parts if part) + "\n</body>\n</html>\n"


def _verification(benchmarks: Mapping[str, Mapping[str, Any]]) -> str:
    if not benchmarks:
        return ""
    header = ("Benchmark", "Accuracy", "95 % interval", "TAR @ FAR", "AUC", "EER", "Pairs", "Failures")
    rows = [_verification_row(name, values) for name, values in benchmarks.items()]
    remark = (
        "Accuracy is the mean over folds ± their spread; thresholds are set on the other folds. An asterisk marks a "
        "FAR that is too low for the number of different-person pairs. Failures are pairs with a face that was "
        "not found; they count as errors where the person is the same."
    )
    return f"<h2>Verification</h2>\n{_table(header, rows)}\n<p>{remark}</p>"


def _verification_row(name: str, values: Mapping[str, Any]) -> list[str]:
    interval = f"{_percent(values.get('accuracy_low'))} to {_percent(values.get('accuracy_high'))}"
    doubt = "" if values.get("tar_supported", True) else "*"
    target = f" <small>at {rate_name(values['far_target'])}</small>" if "far_target" in values else ""
    return [
        escape(name),
        f"<strong>{_percent(values.get('accuracy'))}</strong> ± {_percent(values.get('accuracy_std'))}",
        f"<small>{interval if 'accuracy_low' in values else _NONE}</small>",
        f"{_percent(values.get('tar'))}{doubt}{target}",
        _value(values.get("auc")),
        _percent(values.get("eer")),
        _value(values.get("pairs")),
        _value(values.get("failures")),
    ]


def _identification(tasks: Mapping[str, Mapping[str, Any]]) -> str:
    """`tasks` are runs by name, or runs by name of several tasks."""
    runs = sorted(_runs(tasks), key=lambda run: run[0].replace("raw", ""))  # raw before cleaned
    if not runs:
        return ""
    rates = sorted({key for _, values in runs for key in values if key.startswith("tpr@")}, key=_rate)
    counts = ("pairs", "probes", "distractors", "probe_failures", "distractor_failures")
    header = (
        "Features",
        "Rank 1",
        "Rank 10",
        *(f"TPR @ FPR {key[4:]}" for key in rates),
        *map(_words, counts),
    )
    rows = [
        [
            escape(name),
            f"<strong>{_percent(values.get('rank1'))}</strong>",
            *(_percent(values.get(key)) for key in ("rank10", *rates)),
            *(_value(values.get(key)) for key in counts),
        ]
        for name, values in runs
    ]
    remark = "Every probe looks for its mate among all distractors; raw and cleaned of listed noise."
    return f"<h2>Identification</h2>\n{_table(header, rows)}\n<p>{remark}</p>"


def _runs(tasks: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for name, values in tasks.items():
        if "rank1" in values:
            yield name, values
        else:
            yield from ((f"{name} {run}", metrics) for run, metrics in values.items())


def _rate(key: str) -> float:
    return float(key.removeprefix("tpr@"))


def _figures(figures: Sequence[tuple[str, str | Path]]) -> str:
    if not figures:
        return ""
    drawn = "\n".join(_figure(caption, Path(path)) for caption, path in figures)
    return f'<h2>Figures</h2>\n<div class="figures">\n{drawn}\n</div>'


def _sheets(sheets: Sequence[tuple[str, str | Path]]) -> str:
    """Folded, so that a page of many sets stays readable."""
    if not sheets:
        return ""
    drawn = "\n".join(
        f"<details><summary>{escape(caption)}</summary>{_figure(caption, Path(path))}</details>"
        for caption, path in sheets
    )
    return f"<h2>Faces</h2>\n{drawn}"


def _figure(caption: str, path: Path) -> str:
    if path.suffix not in _TYPES:
        raise FormatError(f"The page cannot show {path.name}; give it {', '.join(_TYPES)}.")
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    text = escape(caption)
    image = f'<img alt="{text}" src="data:{_TYPES[path.suffix]};base64,{data}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def _group(name: str, group: Mapping[str, Any]) -> str:
    """A table with a row an entry where entries are groups themselves, and one of keys and values for the rest."""
    nested = {key: value for key, value in group.items() if isinstance(value, Mapping)}
    plain = {key: value for key, value in group.items() if key not in nested}
    tables = []
    if nested:
        flat = {key: dict(_flatten(value)) for key, value in nested.items()}
        columns = list(dict.fromkeys(column for values in flat.values() for column in values))
        rows = [
            [escape(key), *(_value(values.get(column)) for column in columns)] for key, values in flat.items()
        ]
        tables.append(_table(("", *map(_words, columns)), rows))
    if plain:
        rows = [[escape(_words(key)), _value(value)] for key, value in plain.items()]
        tables.append(_table(("", "Value"), rows, kind="scroll narrow"))
    return f"<h2>{escape(_words(name))}</h2>\n" + "\n".join(tables)


def _flatten(group: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in group.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}", value


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "scroll") -> str:
    """`header` is text, `rows` are HTML already."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="{kind}"><table>\n<tr>{top}</tr>\n{body}\n</table></div>'


def _words(key: str) -> str:
    text = key.replace("_", " ")
    return text[:1].upper() + text[1:]


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{100 * value:.2f} %"


def _value(value: Any) -> str:
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
