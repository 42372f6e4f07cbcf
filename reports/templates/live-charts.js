// Charts of the live page: SVG, drawn anew each second from what is known, at the width that there is. Values are in base units.
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 210, TOP = 18, BOTTOM = 24, LEFT = 58;

function node(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// 1, 2 or 5 times a power of ten: at most `most` steps up to `top`.
function step(top, most) {
  const raw = top / most, power = 10 ** Math.floor(Math.log10(raw));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
}

// One chart in a figure. `spec`: to (end of the x axis), top, format, lines [{name, colour, width, dash, points [[t, v]]}], bands
// [{name, from, to}], marks [{name, at}], draw (paints more behind the lines), finding (a sentence), readout (index → text), times.
class LiveChart {
  constructor(figure) {
    this.figure = figure;
    this.readout = document.createElement("p");
    this.readout.className = "readout";
    this.at = null;
    this.spec = null;
    figure.after(this.readout);
    figure.addEventListener("pointermove", (event) => this.point(this.nearest(event)));
    figure.addEventListener("pointerleave", () => this.point(null));
    figure.addEventListener("blur", () => this.point(null));
    figure.addEventListener("keydown", (event) => {
      const last = this.spec ? this.spec.times.length - 1 : -1;
      const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (move === undefined || last < 0) return;
      event.preventDefault();
      this.point(Math.min(last, Math.max(0, (this.at ?? last + 1) + move)));
    });
    new ResizeObserver(() => this.spec && this.draw(this.spec)).observe(figure);
  }

  x(t) { return LEFT + (this.width - LEFT - this.right) * Math.min(1, t / this.spec.to); }
  y(value) { return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * Math.min(1, Math.max(0, value / this.spec.top)); }

  nearest(event) {
    if (!this.spec || !this.spec.times.length) return null;
    const box = this.figure.getBoundingClientRect();
    const t = ((event.clientX - box.left - LEFT) / (this.width - LEFT - this.right)) * this.spec.to;
    let best = 0;
    this.spec.times.forEach((time, index) => { if (Math.abs(time - t) < Math.abs(this.spec.times[best] - t)) best = index; });
    return best;
  }

  point(index) {
    this.at = index;
    if (this.spec) this.draw(this.spec);
  }

  draw(spec) {
    this.spec = spec;
    this.width = Math.max(260, Math.round(this.figure.clientWidth));
    this.right = this.width < 480 ? 70 : 96;
    const svg = node("svg", { viewBox: `0 0 ${this.width} ${HEIGHT}`, role: "img", "aria-label": spec.finding });
    this.bands(svg);
    if (spec.draw) spec.draw(this, svg);
    this.axes(svg);
    for (const line of spec.lines) this.line(svg, line);
    this.labels(svg);
    if (this.at !== null && this.at < spec.times.length) {
      const x = this.x(spec.times[this.at]);
      svg.append(node("line", { x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM, stroke: COLOUR.ink, "stroke-dasharray": "2 2" }));
    }
    this.figure.replaceChildren(svg);
    const shown = this.at ?? spec.times.length - 1;
    this.readout.textContent = shown >= 0 && shown < spec.times.length ? spec.readout(shown) : "";
  }

  bands(svg) {
    for (const band of this.spec.bands) {
      const from = Math.min(band.from, this.spec.to), to = Math.min(band.to ?? this.spec.to, this.spec.to);
      if (to <= from) continue;
      svg.append(node("rect", { x: this.x(from), y: TOP, width: this.x(to) - this.x(from), height: HEIGHT - TOP - BOTTOM, fill: COLOUR.shade }));
      svg.append(node("text", { x: this.x(from) + 3, y: TOP - 5, fill: COLOUR.muted }, band.name));
    }
  }

  axes(svg) {
    const { to, top, format, ticks } = this.spec;
    const levels = ticks ?? [...Array(7).keys()].map((n) => n * step(top, 5)).filter((value) => value <= top * 1.001);
    for (const value of levels) {
      const y = this.y(this.spec.place ? this.spec.place(value) : value);
      if (!ticks || ticks.grid !== false) svg.append(node("line", { x1: LEFT, x2: this.width - this.right, y1: y, y2: y, stroke: COLOUR.grid }));
      svg.append(node("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end", fill: COLOUR.muted }, format(value)));
    }
    const apart = step(to, this.width < 480 ? 3 : 6);
    for (let t = 0; t <= to * 1.001; t += apart) {
      svg.append(node("text", { x: this.x(t), y: HEIGHT - 6, "text-anchor": "middle", fill: COLOUR.muted }, clock(t)));
    }
    for (const mark of this.spec.marks) {
      const x = this.x(mark.at);
      svg.append(node("line", { x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM, stroke: COLOUR.muted, "stroke-dasharray": "4 3" }));
    }
  }

  line(svg, line) {
    let path = "", missing = 9;
    for (const [t, value] of line.points) {
      if (value === null || value === undefined) { missing++; continue; }
      path += `${missing > 2 ? "M" : "L"}${this.x(t).toFixed(1)} ${this.y(value).toFixed(1)}`; // a single gap says nothing
      missing = 0;
    }
    if (path) svg.append(node("path", { d: path, fill: "none", stroke: line.colour, "stroke-width": line.width ?? 2, "stroke-dasharray": line.dash ?? "none", "stroke-linejoin": "round" }));
  }

  // Names at the ends of lines, pushed apart so that none covers another.
  labels(svg) {
    const placed = [];
    for (const line of this.spec.lines) {
      const last = line.points.findLast(([, value]) => value !== null && value !== undefined);
      if (last) placed.push({ x: this.x(last[0]) + 5, y: this.y(last[1]) + 4, line });
    }
    placed.sort((one, other) => one.y - other.y);
    placed.forEach((one, index) => { if (index) one.y = Math.max(one.y, placed[index - 1].y + 14); });
    const over = placed.length ? placed.at(-1).y - (HEIGHT - BOTTOM + 4) : 0;
    if (over > 0) for (let index = placed.length - 1, limit = HEIGHT - BOTTOM + 4; index >= 0; index--, limit -= 14) placed[index].y = Math.min(placed[index].y, limit);
    for (const { x, y, line } of placed) svg.append(node("text", { x, y, fill: line.colour }, line.name));
  }
}
