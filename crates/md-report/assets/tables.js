"use strict";
/* Tables: sorting, lines of molecules, filters, saving of data. */

const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

/** Orders numbers by size, texts by the alphabet; what is missing comes last in either direction. */
function compare(a, b, direction) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [Number(a), Number(b)];
  const order = Number.isFinite(x) && Number.isFinite(y) ? x - y : a.localeCompare(b);
  return order * direction;
}

/** What a cell is sorted by. */
function sortKey(cell) {
  return cell.dataset.sort === undefined ? cell.textContent.trim() : cell.dataset.sort;
}

/** Sorts the bodies of a table by the first row of each. */
function sortTable(header) {
  const table = header.closest("table");
  const column = Array.from(header.parentNode.children).indexOf(header);
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const key = (body) => sortKey(body.rows[0].cells[column]);
  const bodies = Array.from(table.tBodies);
  bodies.sort((a, b) => compare(key(a), key(b), ascending ? 1 : -1));
  table.append(...bodies);
}

/** Shows what the chosen use, model, molecule and status leave. */
function filter() {
  const chosen = (id) => document.getElementById(id).value;
  const [use, model] = [chosen("use"), chosen("filter-model")];
  const [molecule, status] = [chosen("filter-molecule"), chosen("filter-status")];
  const isModel = (element) => model === "" || element.dataset.model === model;
  for (const table of all("details.checks")) {
    const isUse = table.dataset.use === "" || table.dataset.use === use;
    table.hidden = !isUse || !isModel(table);
    for (const body of all("tbody", table)) filterBody(body, molecule, status);
  }
  for (const element of all("[data-model]:not(.checks)")) {
    const of = element.dataset.molecule;
    element.hidden = !isModel(element) || (Boolean(of) && molecule !== "" && of !== molecule);
  }
}

/** With a molecule or a status chosen, the lines that fit stand below the name of the criterion. */
function filterBody(body, molecule, status) {
  const narrowed = molecule !== "" || status !== "";
  body.classList.toggle("narrowed", narrowed);
  let left = false;
  for (const row of body.rows) {
    if (row.classList.contains("telling")) continue;
    const fits = (chosen, is) => chosen === "" || chosen === is;
    row.hidden = !fits(molecule, row.dataset.molecule) || !fits(status, row.dataset.status);
    left = left || !row.hidden;
  }
  body.hidden = !left;
}

/** Text as one field of CSV. */
function csvField(value) {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Hands text to the browser as a file. */
function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
