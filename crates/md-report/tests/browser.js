"use strict";
// Uses the page as a reader does and leaves what it saw in the page.
const seen = { errors: window.seenErrors, drawn: [], empty: [], checks: {} };
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const byId = (id) => document.getElementById(id);
function choose(id, value) {
  byId(id).value = value;
  byId(id).dispatchEvent(new Event("change"));
}
const tables = () => all("details.checks:not([hidden])");
const lines = (table) => all("tbody:not([hidden])", table).flatMap((body) => all("tr", body))
  .filter((row) => getComputedStyle(row).display !== "none");

const ownLines = (table) => lines(table).filter((row) => row.classList.contains("molecule"));

async function use() {
  const checks = seen.checks;
  byId("open-all").click();
  for (let n = 0; n < 100 && all(".plot:not(.drawn)").length > 0; n++) await wait(50);
  for (const place of all(".plot")) {
    const points = (place.querySelector(".canvas").data || []).reduce((sum, trace) => sum + trace.x.length, 0);
    const marks = place.querySelectorAll(".canvas path.js-line, .canvas path.point, .canvas .point path").length;
    (points > 0 && marks > 0 ? seen.drawn : seen.empty).push(figureOf(place).title);
  }
  checks.buttons = Array.from(new Set(all(".modebar-btn").map((b) => b.dataset.title)));
  checks.csv = figureCsv(figureOf(all(".plot").find((p) => figureOf(p).title === "energy against time")));

  const good = tables().find((table) => table.dataset.model === "good");
  const titles = () => all("tbody", good).map((body) => body.dataset.criterion);
  const header = all("th.sort", good)[1];
  checks.unsorted = titles();
  header.click();
  checks.ascending = titles();
  header.click();
  checks.descending = titles();

  checks.closed = lines(good).length;
  all(".expand", good)[0].click();
  checks.expanded = lines(good).length;
  all(".expand", good)[0].click();

  checks.uses = tables().map((table) => table.querySelector(".quiet").textContent.match(/for (\w+)/)[1]);
  choose("use", "screening");
  checks.otherUses = tables().map((table) => table.querySelector(".quiet").textContent.match(/for (\w+)/)[1]);
  choose("use", "production");

  choose("filter-model", "good");
  checks.modelsLeft = Array.from(new Set(all("[data-model]:not([hidden])").map((e) => e.dataset.model)));
  checks.runsLeft = all("option", byId("viewer-run")).map((option) => option.textContent);
  choose("filter-molecule", "methane");
  checks.moleculesLeft = Array.from(new Set(ownLines(good).map((row) => row.dataset.molecule)));
  choose("filter-molecule", "");
  choose("filter-status", "UNDECIDED");
  checks.statusesLeft = ownLines(good).map((row) => row.dataset.status);
  choose("filter-status", "");
  choose("filter-model", "");

  const back = () => getComputedStyle(document.body).backgroundColor;
  checks.themes = [];
  for (let n = 0; n < 3; n++) {
    byId("theme").click();
    await wait(50);
    checks.themes.push([document.documentElement.dataset.theme || "auto", back()]);
  }

  checks.firstRun = byId("viewer-run").selectedOptions[0].textContent;
  checks.end = byId("viewer-end").textContent;
  byId("viewer-play").click();
  await wait(1500);
  checks.time = byId("viewer-time").textContent;
  checks.playing = byId("viewer-play").textContent;
  const canvas = byId("viewer-canvas");
  const painted = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  checks.painted = painted.some((value) => value !== 0);

  byId("close-all").click();
  await wait(100);
  checks.left = all("details.panel .plot.drawn").length;
}

window.addEventListener("load", () => {
  use().catch((error) => seen.errors.push(String(error.stack))).finally(() => {
    const verdict = document.createElement("script");
    verdict.type = "application/json";
    verdict.id = "seen";
    verdict.textContent = JSON.stringify(seen).replaceAll("<", "\\u003c");
    document.body.append(verdict);
  });
});
