"use strict";
// Lets a reader sort the tables of class "sortable" by the button in each heading.
// A cell's data-sort is what is compared, else its text: the first number in its unit, else the words.
// Cells without either stay at the end.
const UNITS = { "µs": 1e-3, ms: 1, s: 1e3, min: 6e4 };
const sized = text => {
  if (text.startsWith("> limit")) return Infinity;
  const found = text.match(/^([-−]?[\d,]*\.?\d+)\s?(µs|ms|s|min)?(?![\p{L}\d])/u);
  return found ? Number(found[1].replace("−", "-").replaceAll(",", "")) * (UNITS[found[2]] ?? 1) : text;
};
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const text = row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
    return text === "–" ? "" : text;
  };
  const compare = (a, b) => {
    const [x, y] = [sized(a), sized(b)];
    if (typeof x === "number" && typeof y === "number") return x === y ? 0 : x - y;
    return a.localeCompare(b, "en", { numeric: true });
  };
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach(other => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map(row => [value(row, column), row]);
      rows.sort(([a], [b]) => {
        if (a === "" || b === "") return (a === "") - (b === "");
        return down ? compare(b, a) : compare(a, b);
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
