/* Plots: drawn by Plotly when they come into view by opening a section. */

/** These buttons and no others: one of Plotly's own sends the figure away. */
const CONFIG = {
  responsive: true, displaylogo: false, plotlyServerURL: "",
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
};

/** The figure behind a place, as it was embedded. */
function figureOf(place) {
  return JSON.parse(document.getElementById(`${place.id}-data`).textContent);
}

/** Plotly takes some tags in texts for markup: here all text is text. */
function asText(text) {
  return typeof text === "string" ? text.replaceAll("&", "&amp;").replaceAll("<", "&lt;") : text;
}

/** The look of a figure in the colours of the page. */
function look(figure) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = (given) => ({
    ...given, gridcolor: colour("--edge"), zerolinecolor: colour("--edge"), linecolor: colour("--edge"),
    automargin: true, exponentformat: given.type === "log" ? "none" : "power", title: { ...given.title, standoff: 8 },
  });
  const legends = figure.data.filter((t) => t.name !== undefined).length;
  return {
    ...figure.layout,
    xaxis: axis(figure.layout.xaxis), yaxis: axis(figure.layout.yaxis),
    font: { color: colour("--front"), size: 12 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 12, t: 28, b: 44 }, showlegend: legends > 1,
    legend: { orientation: "h", y: -0.25, yanchor: "top", font: { size: 10 } },
    hoverlabel: { namelength: -1 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--quiet"), activecolor: colour("--front") },
  };
}

/** Draws the figure of a place. */
function draw(place) {
  const figure = figureOf(place);
  const data = figure.data.map((trace) => {
    const x = Array.isArray(trace.x) ? trace.x.map(asText) : trace.x;
    return { ...trace, x, name: asText(trace.name) };
  });
  const legends = figure.data.length;
  const canvas = place.querySelector(".canvas");
  // A long legend gets room of its own instead of that of the curves.
  canvas.style.height = `${320 + 16 * Math.max(0, Math.min(legends, 24) - 3)}px`;
  return Plotly.newPlot(canvas, data, look(figure), CONFIG).then(() => place.classList.add("drawn"));
}

/** Whether nothing around a place is closed or hidden. */
function visible(place) {
  for (let e = place.parentElement; e; e = e.parentElement) {
    if (e.hidden || (e.tagName === "DETAILS" && !e.open)) return false;
  }
  return true;
}

const waiting = [];

/** Draws what has become visible, a plot at a time, so that the page stays alive. */
function drawVisible(root = document) {
  for (const place of all(".plot:not(.drawn):not(.waiting)", root).filter(visible)) {
    place.classList.add("waiting");
    waiting.push(place);
  }
  if (waiting.length > 0 && !drawVisible.busy) {
    drawVisible.busy = true;
    setTimeout(drawNext, 0);
  }
}

function drawNext() {
  const place = waiting.shift();
  drawVisible.busy = place !== undefined;
  if (place === undefined) return;
  place.classList.remove("waiting");
  if (visible(place)) draw(place);
  setTimeout(drawNext, 0);
}

/** Forgets the plots of a section that was closed. */
function forget(root) {
  for (const place of all(".plot.drawn", root)) {
    Plotly.purge(place.querySelector(".canvas"));
    place.classList.remove("drawn");
  }
}

/** Gives drawn plots the colours of the page, and on paper the width of a column. */
function restyle(width) {
  for (const place of all(".plot.drawn")) {
    const layout = look(figureOf(place));
    const size = width ? { width, autosize: false } : { width: undefined, autosize: true };
    Plotly.relayout(place.querySelector(".canvas"), { ...layout, ...size });
  }
}

/** The points of a figure, a line each. */
function figureCsv(figure) {
  const [x, y] = [figure.layout.xaxis, figure.layout.yaxis].map((axis) => axis.title.text);
  const lines = [["trace", x || "x", y || "y", "error"]];
  for (const trace of figure.data) {
    const error = trace.error_y ? trace.error_y.array : [];
    trace.x.forEach((value, n) => lines.push([trace.name, value, trace.y[n], error[n]]));
  }
  return lines.map((fields) => fields.map(csvField).join(",")).join("\n") + "\n";
}
