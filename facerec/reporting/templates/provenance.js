// Shows the tables of provenance/KEY.js, where the page has that file beside it.
if (window.facerecProvenance) {
  const section = document.getElementById("provenance");
  const add = (parent, tag, text, attributes = {}) => {
    const element = parent.appendChild(document.createElement(tag));
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    element.textContent = text;
    return element;
  };
  section.querySelector("p").textContent =
    "When, where and how this page was made last. This is kept beside the page, so that equal runs give equal pages.";
  for (const { header, rows, note } of facerecProvenance) {
    const kind = header.length === 2 ? "scroll facts" : "scroll";
    const frame = add(section, "div", "", { class: kind, role: "region", tabindex: 0, "aria-label": header[0] });
    const table = add(frame, "table", "");
    const head = add(add(table, "thead", ""), "tr", "");
    for (const cell of header) add(head, "th", cell, { scope: "col" });
    const body = add(table, "tbody", "");
    for (const [name, ...cells] of rows) {
      const row = add(body, "tr", "");
      add(row, "th", name, { scope: "row" });
      for (const cell of cells) add(row, "td", cell);
    }
    if (note) add(section, "p", note, { class: "note" });
  }
}
