// Charts under the hand: point at one to read its values, click a name to hide its series, drag to zoom, take the values as a
// table. The chart itself is a finished drawing; where scripts may not run it stays as it is, and nothing here is shown.
class ChartReader {
  constructor(figure, source) {
    this.figure = figure;
    const { grids, panels } = JSON.parse(source.dataset.values);
    for (const panel of panels) for (const one of panel.series) one.points = one.y.map((value, number) => [grids[one.grid][number], value]);
    this.panels = panels;
    this.hidden = new Set();
    this.window = null; // what is shown of a time axis after a zoom
    this.at = null; // the time or place that is read
    this.steps = [...new Set(this.panels.flatMap((panel) => panel.series.flatMap((one) => one.points.filter(([, value]) => value !== null).map(([x]) => x))))].sort((a, b) => a - b);
    this.isTime = this.panels.every((panel) => panel.x.kind === "time");
    this.tools = this.make("div", "chart-tools");
    this.readout = this.make("p", "readout");
    figure.after(this.readout, this.tools);
    this.legend();
    if (this.isTime) this.whole = this.button("Whole chart", () => this.zoom(null));
    if (this.whole) this.whole.hidden = true;
    this.toggle = this.button("Values", () => this.table());
    this.toggle.setAttribute("aria-expanded", "false");
    this.listen();
  }

  make(tag, name, text = "") {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = text;
    return made;
  }

  button(text, act) {
    const made = this.make("button", "", text);
    made.type = "button";
    made.addEventListener("click", act);
    this.tools.append(made);
    return made;
  }

  // --- names that hide and show

  legend() {
    const names = this.panels.flatMap((panel) => panel.series);
    for (const name of new Set(names.map((one) => one.name))) {
      const key = this.button(name, () => {
        this.hidden[this.hidden.has(name) ? "delete" : "add"](name);
        key.setAttribute("aria-pressed", String(!this.hidden.has(name)));
        this.hide();
        this.read(this.at);
      });
      key.className = "key";
      key.setAttribute("aria-pressed", "true");
      const sample = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const line = document.createElementNS(sample.namespaceURI, "rect");
      for (const [attribute, value] of Object.entries({ width: 14, height: 6, fill: names.find((one) => one.name === name).colour })) line.setAttribute(attribute, value);
      for (const [attribute, value] of Object.entries({ width: 14, height: 6, "aria-hidden": "true" })) sample.setAttribute(attribute, value);
      sample.append(line);
      key.prepend(sample);
    }
  }

  // A series goes with everything of its colour in its panel (label, area, marker), unless another shown series has the same.
  hide() {
    for (const svg of this.drawings()) {
      this.leaders(svg);
      this.groups(svg).forEach((group, number) => {
        const series = this.panels[number].series;
        const shown = new Set(series.filter((one) => !this.hidden.has(one.name)).map((one) => one.colour));
        const gone = new Set(series.filter((one) => this.hidden.has(one.name) && !shown.has(one.colour)).map((one) => one.colour));
        for (const child of group.children) {
          const id = child.dataset.id ?? "";
          if (id === "heading" || id.startsWith("matplotlib.axis")) continue;
          const marks = [...child.querySelectorAll("[fill], [stroke]")];
          const ofGone = marks.some((mark) => gone.has(mark.getAttribute("stroke")) || gone.has(mark.getAttribute("fill")));
          child.setAttribute("visibility", ofGone || this.hidden.has(id) ? "hidden" : "visible");
        }
      });
    }
  }

  // The dotted lines from labels to their points: not while the points are elsewhere, nor for a colour that is shown nowhere.
  leaders(svg) {
    const shown = new Set(this.panels.flatMap((panel) => panel.series).filter((one) => !this.hidden.has(one.name)).map((one) => one.colour));
    for (const line of svg.querySelectorAll("[stroke-dasharray='0.8,1.2']")) {
      const isGone = this.hidden.size > 0 && !shown.has(line.getAttribute("stroke"));
      line.setAttribute("visibility", this.window || isGone ? "hidden" : "inherit");
    }
  }

  drawings() { return [...this.figure.querySelectorAll(":scope > svg")]; }
  shown() { return this.drawings().find((svg) => svg.getBoundingClientRect().width > 0); }
  isNarrow(svg) { return svg.classList.contains("narrow-chart"); }

  // The panels' groups in a drawing, by the place of their frame: some panels may have no values.
  groups(svg) {
    const { width, height } = svg.viewBox.baseVal, all = [...svg.querySelectorAll("[data-id^=axes_]")];
    const frame = (group) => group.querySelector(":scope > g > path")?.getBBox();
    return this.panels.map((panel) => {
      const [left, top] = this.isNarrow(svg) ? panel.narrow : panel.place;
      const away = (group) => { const box = frame(group); return box ? Math.abs(box.x - left * width) + Math.abs(box.y - top * height) : Infinity; };
      return all.reduce((best, group) => (away(group) < away(best) ? group : best));
    });
  }

  // --- pointing

  listen() {
    const { figure } = this;
    figure.tabIndex = 0;
    figure.addEventListener("pointermove", (event) => {
      if (this.from !== undefined) this.drag(event);
      const place = this.place(event);
      this.read(place ? place.x : null, place);
    });
    figure.addEventListener("pointerleave", () => this.read(null));
    figure.addEventListener("blur", () => this.read(null));
    figure.addEventListener("keydown", (event) => {
      const visible = this.steps.filter((x) => !this.window || (x >= this.window[0] && x <= this.window[1]));
      const last = visible.length - 1, now = this.at === null ? -1 : visible.findIndex((x) => x >= this.at);
      const next = { ArrowRight: now + 1, ArrowLeft: now < 0 ? last : now - 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") this.zoom(null);
      if (next === undefined || last < 0) return;
      event.preventDefault();
      this.read(visible[Math.max(0, Math.min(last, next))]);
    });
    if (!this.isTime) return;
    figure.classList.add("zooms");
    figure.addEventListener("pointerdown", (event) => { const place = this.place(event); this.from = place && event.button === 0 ? place.x : undefined; });
    figure.addEventListener("pointerup", (event) => this.drop(event));
    figure.addEventListener("pointercancel", () => this.drop(null));
    figure.addEventListener("dblclick", () => this.zoom(null));
  }

  // Where an event is: the panel, and x and y in its units; null outside of all.
  place(event) {
    const svg = this.shown();
    if (!svg) return null;
    const box = svg.getBoundingClientRect(), across = (event.clientX - box.left) / box.width, down = (event.clientY - box.top) / box.height;
    for (const panel of this.panels) {
      const [left, top, width, height] = this.isNarrow(svg) ? panel.narrow : panel.place;
      const right = (across - left) / width, below = (down - top) / height;
      if (right < 0 || right > 1 || below < -0.02 || below > 1.02) continue;
      const [from, to] = this.span(panel);
      return { panel, x: from + right * (to - from), up: 1 - below };
    }
    return null;
  }

  span(panel) { return this.window ?? [panel.x.from, panel.x.to]; }

  read(x, place = null) {
    this.at = x;
    this.mark();
    const near = place && !this.isTime && !place.panel.series.length ? [place.panel] : this.panels;
    this.readout.textContent = x === null ? "" : this.text(x, near, place);
  }

  text(x, panels, place) {
    const parts = [], points = panels.flatMap((panel) => panel.series.flatMap((one) => one.points));
    const near = points.reduce((best, [at]) => (best === null || Math.abs(at - x) < Math.abs(best - x) ? at : best), null);
    for (const panel of panels) {
      const values = panel.series.filter((one) => !this.hidden.has(one.name)).map((one) => {
        const point = one.points.reduce((best, each) => (best === null || Math.abs(each[0] - x) < Math.abs(best[0] - x) ? each : best), null);
        return point === null || point[1] === null || Math.abs(point[0] - x) > this.apart(one) ? null : `${one.name} ${this.value(point[1], panel)}`;
      });
      const known = values.filter(Boolean);
      if (known.length) parts.push(`${this.panels.length > 1 && this.repeats(panel) ? `${panel.heading.split(/[:;]/)[0]}: ` : ""}${known.join(", ")}`);
      const cell = place && place.panel === panel && panel.cells ? this.cell(panel, x, place.up) : "";
      if (cell) parts.push(cell);
      const bar = place && place.panel === panel ? panel.bars.filter((one) => x >= one.from && x <= one.to && this.isBeside(panel, one, place.up)).map((one) => `${one.name}: ${digits(one.to - one.from)}`) : [];
      parts.push(...bar.slice(0, 3));
    }
    if (!parts.length) return "";
    const head = near === null ? "" : this.xText(near, panels[0]);
    return head ? `${head}: ${parts.join("; ")}` : parts.join("; ");
  }

  // Names such as p50 stand in several panels: only then is the panel named.
  repeats(panel) {
    return panel.series.some((one) => this.panels.some((other) => other !== panel && other.series.some((each) => each.name === one.name)));
  }

  apart(one) {
    const gaps = one.points.slice(1).map((point, number) => point[0] - one.points[number][0]);
    return gaps.length ? 1.5 * Math.max(...gaps) : Infinity;
  }

  cell(panel, x, up) {
    const { cells } = panel, column = cells.x.findIndex((edge, number) => x >= edge && x < cells.x[number + 1]);
    const svgLog = Math.log(panel.y.from), y = Math.exp(svgLog + up * (Math.log(panel.y.to) - svgLog));
    const row = cells.y.findIndex((edge, number) => y >= edge && y < cells.y[number + 1]);
    if (column < 0 || row < 0) return "";
    return `${count(cells.counts[row][column])} ${cells.name} of ${this.value(cells.y[row], panel)} to ${this.value(cells.y[row + 1], panel)}`;
  }

  isBeside(panel, bar, up) {
    const y = panel.y.from + up * (panel.y.to - panel.y.from);
    return Math.abs(y - (bar.low + bar.high) / 2) <= 0.5; // a row is as high as 1
  }

  value(value, panel) {
    if (panel.y.unit === "s") return duration(value);
    if (panel.y.unit === "ratio") return percent(value);
    if (panel.y.unit === "B") return value >= 1e6 ? `${digits(value / 1e6)} MB` : `${digits(value / 1e3)} kB`;
    return digits(value);
  }

  xText(x, panel) {
    if (panel.x.kind === "time") return x < 600 ? `${digits(Number(x.toPrecision(4)))} s` : clock(x);
    return panel.x.kind === "tail" ? `${digits(100 * (1 - 10 ** -x))} %` : "";
  }

  // A line at what is read, through all panels.
  mark() {
    for (const svg of this.drawings()) {
      svg.querySelectorAll(".mark").forEach((one) => one.remove());
      if (this.at === null) continue;
      for (const panel of this.panels) {
        if (!panel.series.length && !panel.cells) continue;
        const box = this.box(svg, panel), [from, to] = this.span(panel), x = box.left + (box.width * (this.at - from)) / (to - from);
        if (x < box.left - 1 || x > box.left + box.width + 1) continue;
        const line = document.createElementNS(svg.namespaceURI, "line");
        for (const [name, value] of Object.entries({ class: "mark", x1: x, x2: x, y1: box.top, y2: box.top + box.height })) line.setAttribute(name, value);
        svg.append(line);
      }
    }
  }

  box(svg, panel) {
    const { width, height } = svg.viewBox.baseVal, [left, top, wide, high] = this.isNarrow(svg) ? panel.narrow : panel.place;
    return { left: left * width, top: top * height, width: wide * width, height: high * height };
  }

  // --- zooming

  drag(event) {
    const svg = this.shown(), place = this.place(event);
    svg.querySelectorAll(".chosen").forEach((one) => one.remove());
    if (!place) return;
    for (const panel of this.panels) {
      const box = this.box(svg, panel), [from, to] = this.span(panel);
      const [low, high] = [this.from, place.x].sort((a, b) => a - b).map((x) => box.left + (box.width * (x - from)) / (to - from));
      const rect = document.createElementNS(svg.namespaceURI, "rect");
      for (const [name, value] of Object.entries({ class: "chosen", x: low, width: high - low, y: box.top, height: box.height })) rect.setAttribute(name, value);
      svg.append(rect);
    }
  }

  drop(event) {
    const place = event && this.place(event), from = this.from;
    this.from = undefined;
    this.figure.querySelectorAll(".chosen").forEach((one) => one.remove());
    if (!place || from === undefined) return;
    const [low, high] = [from, place.x].sort((a, b) => a - b), [first, last] = this.span(place.panel);
    if (high - low > 0.02 * (last - first)) this.zoom([low, high]);
  }

  zoom(range) {
    this.window = range;
    if (this.whole) this.whole.hidden = range === null;
    for (const svg of this.drawings()) {
      const groups = this.groups(svg);
      groups.forEach((group, number) => this.stretch(svg, group, this.panels[number], false));
      const back = svg.querySelector('[data-id="behind the panels"]');
      if (back) this.stretch(svg, back, this.panels[0], true);
      svg.querySelectorAll(".zoomed-tick").forEach((one) => one.remove());
      this.leaders(svg);
      if (range) this.ticks(svg, groups);
    }
    this.mark();
  }

  // Stretch what is drawn along x; texts and markers keep their shape and move, or go where they would leave the panel.
  stretch(svg, group, panel, isBack) {
    const box = this.box(svg, panel), { from, to } = panel.x, [first, last] = this.span(panel);
    const scale = (to - from) / (last - first), shift = box.left - scale * (box.left + (box.width * (first - from)) / (to - from));
    const moved = (x) => scale * x + shift, isInside = (x) => x >= box.left - 0.5 && x <= box.left + box.width + 0.5;
    for (const drawn of group.querySelectorAll("path[clip-path], g[data-clip] > path")) {
      let frame = drawn.parentElement;
      if (frame.dataset.clip === undefined) {
        frame = document.createElementNS(svg.namespaceURI, "g");
        frame.dataset.clip = "";
        frame.setAttribute("clip-path", drawn.getAttribute("clip-path"));
        drawn.removeAttribute("clip-path");
        drawn.replaceWith(frame);
        frame.append(drawn);
        drawn.setAttribute("vector-effect", "non-scaling-stroke");
      }
      drawn.setAttribute("transform", this.window ? `matrix(${scale} 0 0 1 ${shift} 0)` : "");
    }
    const loose = isBack ? "text, path:not([clip-path]):not(g[data-clip] > path)" : ":scope > g:not([data-id^=matplotlib]) use";
    for (const one of group.querySelectorAll(loose)) {
      if (one.dataset.x === undefined) one.dataset.x = one.hasAttribute("x") ? one.getAttribute("x") : one.getBBox().x;
      const x = Number(one.dataset.x), place = this.window ? moved(x) : x;
      one.setAttribute("visibility", !this.window || isInside(place) ? "inherit" : "hidden");
      if (one.hasAttribute("x")) one.setAttribute("x", place);
      else one.setAttribute("transform", this.window ? `translate(${place - x} 0)` : "");
      if (one.tagName === "text") one.removeAttribute("transform"); // it has only rotate(-0 …)
    }
    if (isBack) return;
    for (const one of group.querySelectorAll("[data-id^=xtick_]")) one.setAttribute("visibility", this.window ? "hidden" : "inherit");
  }

  // Ticks of the part of the time axis that is shown.
  ticks(svg, groups) {
    const [from, to] = this.window, raw = (to - from) / 6, power = 10 ** Math.floor(Math.log10(raw));
    const apart = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
    this.panels.forEach((panel, number) => {
      if (!groups[number].querySelector("[data-id^=xtick_] text")) return;
      const box = this.box(svg, panel);
      for (let x = Math.ceil(from / apart) * apart; x <= to; x += apart) {
        const text = document.createElementNS(svg.namespaceURI, "text");
        for (const [name, value] of Object.entries({ class: "zoomed-tick", x: box.left + (box.width * (x - from)) / (to - from), y: box.top + box.height + 14, "text-anchor": "middle", "font-size": 9.5 })) text.setAttribute(name, value);
        text.textContent = `${Number(x.toPrecision(6))} s`;
        svg.append(text);
      }
    });
  }

  // --- the values as a table

  rows() {
    const found = [];
    for (const panel of this.panels) {
      const of = (name) => [panel.heading, name];
      for (const one of panel.series) for (const [x, value] of one.points) if (value !== null) found.push([...of(one.name), panel.x.kind === "tail" ? 1 - 10 ** -x : x, value]);
      for (const one of panel.bars) found.push([...of(one.name), one.from, one.to]);
      if (!panel.cells) continue;
      panel.cells.counts.forEach((row, low) => row.forEach((number, column) => {
        if (number) found.push([...of(`${panel.cells.name}, ${panel.cells.y[low]} to ${panel.cells.y[low + 1]}`), panel.cells.x[column], number]);
      }));
    }
    return found;
  }

  header() { return ["panel", "series", { time: "seconds", tail: "share", number: "from" }[this.panels[0].x.kind], this.panels[0].x.kind === "number" ? "to" : "value"]; }

  table() {
    const open = this.toggle.getAttribute("aria-expanded") === "true";
    this.toggle.setAttribute("aria-expanded", String(!open));
    if (open) return this.opened.remove();
    this.opened = this.make("div", "values");
    const save = this.make("a", "", "Save as CSV"), frame = this.make("div", "long"), table = this.make("table", "");
    const quoted = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
    const csv = [this.header(), ...this.rows()].map((row) => row.map(quoted).join(",")).join("\n");
    save.href = URL.createObjectURL(new Blob([`${csv}\n`], { type: "text/csv" }));
    save.download = `${this.name()}.csv`;
    const head = table.createTHead().insertRow(), body = table.createTBody();
    for (const name of this.header()) {
      const cell = this.make("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    for (const row of this.rows()) {
      const made = body.insertRow();
      row.forEach((value, column) => { made.insertCell().textContent = typeof value === "number" ? String(value) : value; if (column > 1) made.cells[column].className = "number"; });
    }
    frame.tabIndex = 0;
    frame.setAttribute("role", "region");
    frame.setAttribute("aria-label", `Values of ${this.name()}`);
    frame.append(table);
    this.opened.append(save, frame);
    this.tools.after(this.opened);
  }

  name() { return this.figure.closest("section")?.getAttribute("aria-labelledby") ?? "chart"; }
}
for (const source of document.querySelectorAll("figure > svg[data-values]")) new ChartReader(source.parentElement, source);
