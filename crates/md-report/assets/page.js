/* The page: what its controls do. */

const THEMES = ["auto", "light", "dark"];

/** Colours by the system's wish, or as chosen. */
function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  document.getElementById("theme").textContent = `theme: ${theme}`;
  restyle();
}

function nextTheme() {
  const now = document.documentElement.dataset.theme || "auto";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
}

document.getElementById("theme").addEventListener("click", nextTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => restyle());

for (const header of all("th.sort")) header.addEventListener("click", () => sortTable(header));
for (const button of all(".expand")) {
  button.addEventListener("click", () => button.closest("tbody").classList.toggle("open"));
}
for (const id of ["use", "filter-model", "filter-molecule", "filter-status"]) {
  document.getElementById(id).addEventListener("change", () => { filter(); drawVisible(); });
}
for (const button of all(".plot .save")) {
  button.addEventListener("click", () => {
    const figure = figureOf(button.closest(".plot"));
    save(`${`${figure.of} ${figure.title}`.replace(/[^\w.-]+/g, "_")}.csv`, figureCsv(figure));
  });
}
for (const panel of all("details.panel")) {
  panel.addEventListener("toggle", () => (panel.open ? drawVisible(panel) : forget(panel)));
}
for (const [id, open] of [["open-all", true], ["close-all", false]]) {
  document.getElementById(id).addEventListener("click", () => {
    for (const panel of all("details.panel:not([hidden])")) panel.open = open;
  });
}

// On paper: black on white, two plots side by side.
const PRINTED_WIDTH = 320;
let screenTheme;
window.addEventListener("beforeprint", () => {
  screenTheme = document.documentElement.dataset.theme || "auto";
  document.documentElement.dataset.theme = "light";
  restyle(PRINTED_WIDTH);
});
window.addEventListener("afterprint", () => setTheme(screenTheme));

filter();
drawVisible();
startViewer();
