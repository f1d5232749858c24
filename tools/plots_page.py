"""A page template for `dvc plots` that includes Vega, so that it works without a network; DVC's own loads it from a CDN.

`python -m tools.plots_page` writes it to .dvc/tmp/plots.html and registers it in .dvc/config.local.
"""

from __future__ import annotations

from pathlib import Path

import vl_convert
from dvc.repo import Repo

from facerec.core import write_text

_VEGA_LITE = "5.8"  # the version closest to 5.2, which DVC's page loads
_PLACE = "tmp/plots.html"  # relative to .dvc, ignored by git
_PAGE = """<!DOCTYPE html>
<html>
<head><meta charset="utf-8"><title>DVC plots</title>{refresh_tag}<script>VEGA</script></head>
<body>{plot_divs}</body>
</html>
"""


def page() -> str:
    """The template, which DVC fills with plots."""
    vega = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VEGA_LITE)
    return _PAGE.replace("VEGA", vega)


def main() -> None:
    """Write the page and register it with DVC, in the project of the current directory."""
    with Repo() as repo, repo.config.edit("local") as config:
        write_text(Path(repo.dvc_dir) / _PLACE, page())
        config.setdefault("plots", {})["html_template"] = _PLACE


if __name__ == "__main__":
    main()
