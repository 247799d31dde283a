/* Atoms of a run, frame by frame, on a canvas. */

/** Colours of elements (after Corey, Pauling and Koltun). */
const ELEMENT_COLOURS = {
  H: "#e8e8e8", C: "#6b7075", N: "#3050f8", O: "#f0300d", F: "#7ad04a", Na: "#ab5cf2", P: "#ff8000", S: "#d9b51c",
  Cl: "#1fc01f", Br: "#a62929", I: "#940094", Si: "#d0a070",
};
/** Å, where no covalent radius is known. */
const UNKNOWN_RADIUS = 0.8;
/** Atoms nearer than this times the sum of their covalent radii are bonded. */
const BOND_SCALE = 1.25;

/** Positions of a frame, Å. */
function positions(run, frame) {
  const flat = run.frames[frame];
  return run.symbols.map((_, n) => [0, 1, 2].map((k) => flat[3 * n + k] / 1000));
}

/** Pairs of bonded atoms. */
function bonds(run, atoms) {
  const radius = (n) => run.radii[n] ?? UNKNOWN_RADIUS;
  const found = [];
  for (let i = 0; i < atoms.length; i++) {
    for (let j = i + 1; j < atoms.length; j++) {
      const d = Math.hypot(...[0, 1, 2].map((k) => atoms[i][k] - atoms[j][k]));
      if (d < BOND_SCALE * (radius(i) + radius(j))) found.push([i, j]);
    }
  }
  return found;
}

function startViewer() {
  const canvas = document.getElementById("viewer-canvas");
  if (!canvas) return;
  const runs = JSON.parse(document.getElementById("trajectory-data").textContent);
  const choice = document.getElementById("viewer-run");
  const slider = document.getElementById("viewer-frame");
  const button = document.getElementById("viewer-play");
  const view = { run: runs[0], turn: 0.5, tilt: 0.3, zoom: 1, playing: null };

  function list() {
    const chosen = (id) => document.getElementById(id).value;
    const [model, molecule] = [chosen("filter-model"), chosen("filter-molecule")];
    choice.replaceChildren();
    runs.forEach((run, n) => {
      if ((model === "" || run.model === model) && (molecule === "" || run.molecule === molecule)) {
        choice.add(new Option(`${run.broke ? "✗ " : ""}${run.run}`, n));
      }
    });
    select();
  }

  function select() {
    view.run = runs[Number(choice.value)];
    const known = choice.options.length > 0 && view.run !== undefined;
    slider.max = known ? view.run.frames.length - 1 : 0;
    slider.value = 0;
    document.getElementById("viewer-end").textContent = known
      ? `${view.run.ended}; ${view.run.frames.length} frames were kept` : "no frames of this model and molecule";
    button.disabled = !known || view.run.frames.length < 2;
    if (!known) view.run = undefined;
    paint();
  }

  /** Bonds of the molecule: those of a run that did not break, where there is one. */
  function whole(run) {
    const alike = (other) => other.molecule === run.molecule && other.symbols.join() === run.symbols.join();
    const sound = run.broke ? runs.find((other) => !other.broke && alike(other)) : undefined;
    return bonds(run, positions(sound ?? run, 0));
  }

  /** Where an atom is drawn, from the centre of the first frame. */
  function projector(width, height) {
    const first = positions(view.run, 0);
    const centre = [0, 1, 2].map((k) => first.reduce((sum, a) => sum + a[k], 0) / first.length);
    const extent = Math.max(2, ...first.map((a) => Math.hypot(...a.map((x, k) => x - centre[k]))));
    const scale = (view.zoom * Math.min(width, height)) / (2.6 * (extent + 1));
    const [c, s, ct, st] = [Math.cos(view.turn), Math.sin(view.turn), Math.cos(view.tilt), Math.sin(view.tilt)];
    return (atom) => {
      const [x, y, z] = atom.map((value, k) => value - centre[k]);
      const [u, w] = [c * x + s * z, c * z - s * x];
      const [v, depth] = [ct * y - st * w, st * y + ct * w];
      return { x: width / 2 + scale * u, y: height / 2 - scale * v, depth, scale };
    };
  }

  function paint() {
    const [width, height, dots] = [canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio || 1];
    canvas.width = width * dots;
    canvas.height = height * dots;
    const pen = canvas.getContext("2d");
    pen.scale(dots, dots);
    if (!view.run) return;
    const frame = Number(slider.value);
    const atoms = positions(view.run, frame);
    const project = projector(width, height);
    const at = atoms.map(project);
    const now = bonds(view.run, atoms);
    const present = new Set(now.map(String));
    const lost = whole(view.run).filter((bond) => !present.has(String(bond)));
    const stroke = (pairs, colour, thickness, dash) => {
      pen.strokeStyle = colour;
      pen.lineWidth = thickness;
      pen.setLineDash(dash);
      for (const [i, j] of pairs) {
        pen.beginPath();
        pen.moveTo(at[i].x, at[i].y);
        pen.lineTo(at[j].x, at[j].y);
        pen.stroke();
      }
    };
    stroke(lost, "#d03020", 2, [6, 5]);
    stroke(now, "#8a949e", Math.max(2, 0.13 * at[0].scale), []);
    pen.setLineDash([]);
    const order = atoms.map((_, n) => n).sort((i, j) => at[i].depth - at[j].depth);
    for (const n of order) {
      const size = Math.max(3, 0.55 * (view.run.radii[n] ?? UNKNOWN_RADIUS) * at[n].scale);
      pen.beginPath();
      pen.arc(at[n].x, at[n].y, size, 0, 2 * Math.PI);
      pen.fillStyle = ELEMENT_COLOURS[view.run.symbols[n]] ?? "#cc79a7";
      pen.fill();
      pen.lineWidth = 1;
      pen.strokeStyle = "#303840";
      pen.stroke();
    }
    document.getElementById("viewer-time").textContent = `${view.run.times_ps[frame]} ps`;
  }

  function stop() {
    clearInterval(view.playing);
    view.playing = null;
    button.textContent = "play";
  }

  function play() {
    if (view.playing !== null) return stop();
    button.textContent = "pause";
    if (slider.value === slider.max) slider.value = 0;
    view.playing = setInterval(() => {
      if (slider.value === slider.max) return stop();
      slider.value = Number(slider.value) + 1;
      paint();
    }, 250);
  }

  const touches = new Map();
  const spread = () => {
    const [a, b] = Array.from(touches.values());
    return Math.hypot(a[0] - b[0], a[1] - b[1]);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    touches.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = touches.get(event.pointerId);
    if (!before) return;
    const distance = touches.size === 2 ? spread() : 0;
    touches.set(event.pointerId, [event.clientX, event.clientY]);
    if (touches.size === 2 && distance > 0) {
      view.zoom *= spread() / distance;
    } else {
      view.turn += (event.clientX - before[0]) / 120;
      view.tilt += (event.clientY - before[1]) / 120;
    }
    paint();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => touches.delete(event.pointerId));
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.zoom *= Math.exp(-event.deltaY / 600);
    paint();
  }, { passive: false });
  choice.addEventListener("change", () => { stop(); select(); });
  slider.addEventListener("input", () => { stop(); paint(); });
  button.addEventListener("click", play);
  window.addEventListener("resize", paint);
  for (const id of ["filter-model", "filter-molecule"]) {
    document.getElementById(id).addEventListener("change", () => { stop(); list(); });
  }
  list();
}
