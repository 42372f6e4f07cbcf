"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.key === undefined ? cell.textContent.trim() : Number(cell.dataset.key);
  };
  const compare = (one, other) => (typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other)));
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const falling = header.getAttribute("aria-sort") === "ascending";
      headers.forEach((each) => each.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...body.rows].sort((one, other) => compare(key(one, column), key(other, column)));
      body.append(...(falling ? rows.reverse() : rows));
    });
  });
  if (table.dataset.filter !== undefined) {
    const column = Number(table.dataset.filter);
    const groups = [...new Set([...body.rows].map((row) => row.cells[column].textContent.trim()))].sort();
    if (groups.length > 1) {
      const label = document.createElement("label");
      const select = document.createElement("select");
      label.className = "filter";
      label.append(headers[column].textContent + ": ", select);
      ["all", ...groups].forEach((group) => select.append(new Option(group)));
      select.addEventListener("change", () => {
        for (const row of body.rows) {
          row.hidden = select.selectedIndex > 0 && row.cells[column].textContent.trim() !== select.value;
        }
      });
      table.closest(".wide").before(label);
    }
  }
}
