// The live page: takes events from the server and shows them. Nothing here decides anything.
const $ = (id) => document.getElementById(id);
const charts = Object.fromEntries(["way", "rates", "responses", "server", "generator"].map((id) => [id, new LiveChart($(id))]));
const STATES = {
  holding: ["holding", "good"], breached: ["breached now", "unsure"], failed: ["can’t pass any more", "bad"],
  pending: ["not reached yet", ""], at_end: ["judged at the end", ""],
};
const RESULTS = { pass: ["✓ PASS", "good"], fail: ["✗ FAIL", "bad"], invalid: ["? INVALID", "unsure"], "": ["…", ""] };
let about = null, rows = [], fields = {}, run = -1, stopping = false, over = false;

const text = (id, value) => { if ($(id).textContent !== value) $(id).textContent = value; };
const cell = (tag, value, tone, header) => {
  const made = document.createElement(tag);
  made.textContent = value;
  if (tag === "th") made.scope = "row";
  if (tone) made.className = tone;
  if (header && value) made.dataset.h = header;
  return made;
};
const fill = (table, made) => $(table).tBodies[0].replaceChildren(...made.map((cells) => {
  const row = document.createElement("tr");
  row.append(...cells);
  return row;
}));

function headline(state) {
  const states = state.thresholds.map((one) => one.state);
  const number = (name) => states.filter((one) => one === name).length;
  const failed = number("failed"), breached = number("breached"), judged = states.length;
  const of = (some) => `${some} of ${judged} threshold${judged === 1 ? "" : "s"}`;
  const waiting = number("pending"), holding = number("holding");
  const doubtful = state.now && state.t_s > 3 && state.health.tone !== "good";
  let word = "✓ On course", tone = "good", meaning = [
    holding ? `${of(holding)} ${holding === 1 ? "holds" : "hold"} so far` : "", waiting ? `${of(waiting)} not reached yet` : "",
  ].filter(Boolean).join(", ") + ".";
  if (!judged) [word, tone, meaning] = ["● Running", "", "The scenario has no thresholds."];
  if (doubtful) [word, tone, meaning] = ["? In doubt", "unsure", "The measurement may not count."];
  if (state.pace && state.pace.is_behind) [word, tone, meaning] = ["! Falling behind", "unsure", `${count(state.pace.waiting)} pages wait; at the present goodput ${count(state.pace.reachable)} of them would arrive by the deadline.`];
  if (breached) [word, tone, meaning] = ["! At risk", "unsure", `${of(breached)} would be breached if the run ended now.`];
  if (failed) [word, tone, meaning] = ["✗ Will fail", "bad", `${of(failed)} can’t pass any more.`];
  if (doubtful) meaning += ` Generator: ${state.health.text}.`;
  if (state.ended) meaning += ` The run has ended after ${clock(state.ended.at_s)}; what it means is being computed.`;
  text("verdict", state.now ? word : "Starting");
  $("verdict").className = `verdict ${state.now ? tone : "unsure"}`;
  text("meaning", state.now ? meaning : "The page fills as soon as the first station arrives.");
}

function tile(name, value, hint, small) {
  const made = document.createElement("div"), term = document.createElement("dt"), figure = document.createElement("dd");
  term.textContent = name;
  figure.textContent = value;
  if (small) figure.className = "small";
  if (hint) {
    const more = document.createElement("span");
    more.className = "hint";
    more.textContent = hint;
    figure.append(more);
  }
  made.append(term, figure);
  return made;
}

function figures({ now, health, phase }) {
  if (!now) return;
  const failed = now.failures.reduce((sum, [, number]) => sum + number, 0);
  const kinds = now.failures.slice(0, 3).map(([name, number]) => `${name} ${count(number)}`).join(", ");
  $("figures").replaceChildren(
    tile("Stations complete", `${count(now.stations_completed)} of ${count(now.stations_planned)}`, percent(now.stations_planned ? now.stations_completed / now.stations_planned : null)),
    tile("Pages delivered", `${count(now.pages_delivered)} of ${count(now.pages_planned)}`, `${count(now.pages_due - now.pages_delivered)} due and waiting`),
    tile("Offered → goodput", `${rate(now.offered_per_s)} → ${rate(now.goodput_per_s)}`, `${rate(now.answers_per_s)} answers`),
    tile("Accepted uploads take", now.p95 ?? "–", `p95; p50 ${now.p50 ?? "–"}`),
    tile("Failed attempts", count(failed), kinds || "none"),
    tile("Server", now.queue === null ? "–" : `${count(now.queue)} in the queue`, now.busy === null ? "its metrics are not known" : `${count(now.busy)}${about.server_workers ? ` of ${about.server_workers}` : ""} workers busy`),
    tile("Phase", phase || "–", `${count(now.in_flight)} attempts in flight`, true),
    tile("Generator", health.text, `CPU ${percent(health.cpu_ratio)} of a core; p99 late ${duration(health.late_s)}, ${duration(health.allowed_s)} allowed`, true),
  );
}

const column = (name) => rows.map((row) => row[fields[name]]);
const series = (name) => rows.map((row) => [row[fields.to], row[fields[name]]]);

function drawCharts(state) {
  const bands = state.faults.map((one) => ({ name: one.name, from: one.from_s, to: one.to_s }));
  const times = column("to"), now = times.at(-1) ?? 0, to = Math.max(5, now);
  const span = (index) => `${clock(rows[index][fields.from])} – ${clock(rows[index][fields.to])}`;
  const at = (name, index) => rows[index][fields[name]];
  const most = (...names) => Math.max(1e-9, ...names.flatMap(column).filter((value) => value !== null));
  const common = { to, bands: bands.filter((band) => band.from < to), marks: [], times };
  drawWay(state, { bands, times });
  charts.rates.draw({
    ...common, top: Math.max(1, 1.08 * most("offered", "goodput", "failures")), format: rate,
    lines: [
      { name: "offered", colour: COLOUR.due, dash: "5 3", points: series("offered") },
      { name: "failures", colour: COLOUR.failures, width: 1.5, points: series("failures") },
      { name: "goodput", colour: COLOUR.delivered, width: 2.5, points: series("goodput") },
    ],
    finding: state.now ? `Offered ${rate(state.now.offered_per_s)}, goodput ${rate(state.now.goodput_per_s)}` : "nothing yet",
    readout: (index) => `${span(index)}: offered ${rate(at("offered", index))}, goodput ${rate(at("goodput", index))}, failures ${rate(at("failures", index))}`,
  });
  drawResponses({ ...common, readout: (index) => `${span(index)}: p50 ${duration(at("p50", index))}, p95 ${duration(at("p95", index))}, p99 ${duration(at("p99", index))} of all answers and timeouts` });
  const has = column("queue").some((value) => value !== null);
  $("server-section").hidden = !has;
  if (has) {
    const marks = about.server_workers;
    charts.server.draw({
      ...common, top: Math.max(1.08 * most("queue", "busy"), marks ?? 1), format: count,
      lines: [{ name: "in queue", colour: COLOUR.queue, points: series("queue") }, { name: "busy", colour: COLOUR.busy, width: 1.5, points: series("busy") }],
      finding: `${count(at("queue", rows.length - 1))} in the queue`,
      readout: (index) => `${span(index)}: ${count(at("queue", index))} in the queue, ${count(at("busy", index))} workers busy`,
    });
  }
  charts.generator.draw({
    ...common, top: 1, format: percent,
    lines: [{ name: "CPU", colour: COLOUR.cpu, points: series("cpu") }],
    finding: state.health.text,
    readout: (index) => `${span(index)}: ${percent(at("cpu", index))} of a core, p99 lateness ${duration(at("late", index))}`,
  });
}

// Pages due and delivered, summed up, as shares of the plan; the axis reaches to the deadline.
function drawWay(state, { bands, times }) {
  const planned = state.now ? state.now.pages_planned : 0;
  let due = 0, delivered = 0;
  const sums = rows.map((row) => {
    const seconds = row[fields.to] - row[fields.from];
    due += row[fields.offered] * seconds;
    delivered += row[fields.goodput] * seconds;
    return [row[fields.to], Math.min(1, due / planned), Math.min(1, delivered / planned)];
  });
  const line = (part) => [[0, 0], ...sums.map((one) => [one[0], one[part]])];
  charts.way.draw({
    to: Math.max(about.deadline_s * 1.02, times.at(-1) ?? 0), top: 1, format: percent, bands, times,
    marks: [{ at: about.deadline_s }],
    lines: planned ? [
      { name: "due", colour: COLOUR.due, dash: "5 3", points: line(1) },
      { name: "delivered", colour: COLOUR.delivered, width: 2.5, points: line(2) },
    ] : [],
    draw: (chart, svg) => svg.append(node("text", { x: chart.x(about.deadline_s) - 4, y: TOP - 5, "text-anchor": "end", fill: COLOUR.muted }, `deadline ${clock(about.deadline_s)}`)),
    finding: state.now ? `${count(state.now.pages_delivered)} of ${count(planned)} pages are delivered, ${count(state.now.pages_due)} were due` : "nothing yet",
    readout: (index) => `${clock(sums[index][0])}: ${percent(sums[index][1])} of the pages due, ${percent(sums[index][2])} delivered`,
  });
}

// A heat map of all answers, few to many by shade, with p50 and p95 over it. The y axis is logarithmic: a row is a fifth of a decade.
function drawResponses(common) {
  const heat = column("heat"), edges = about.edges;
  const used = edges.map((_, row) => heat.some((counts) => counts[row] > 0));
  let first = used.indexOf(true), last = used.lastIndexOf(true);
  if (first < 0) [first, last] = [10, 20];
  while (last - first < 7) { if (first > 0) first--; if (last < edges.length - 1) last++; }
  const span = last - first + 1;
  const place = (seconds) => {
    if (seconds === null) return null;
    const at = edges.findIndex((edge) => edge >= seconds), row = at < 0 ? edges.length - 1 : at;
    const low = row ? edges[row - 1] : 0, inside = Math.min(1, (seconds - low) / (edges[row] - low));
    return row - first + inside;
  };
  const ticks = [0.001, 0.01, 0.1, 1, 10, 60].filter((value) => place(value) >= 0 && place(value) <= span);
  const spread = heat.flat().filter((value) => value > 0).sort((one, other) => one - other);
  const shade = (value) => HEAT[Math.min(HEAT.length - 1, Math.floor((HEAT.length * spread.findLastIndex((one) => one <= value)) / spread.length))];
  charts.responses.draw({
    ...common, top: span, format: duration, ticks: ticks.length ? ticks : [edges[first], edges[last]], place,
    lines: ["p50", "p95"].map((name) => ({ name, colour: COLOUR[name], points: rows.map((row) => [row[fields.to], place(row[fields[name]])]) })),
    draw: (chart, svg) => rows.forEach((row) => {
      const x = chart.x(row[fields.from]), width = Math.max(1, chart.x(row[fields.to]) - x + 0.4);
      for (let at = first; at <= last; at++) {
        if (!row[fields.heat][at]) continue;
        const y = chart.y(at - first + 1);
        svg.append(node("rect", { x, y, width, height: chart.y(at - first) - y, fill: shade(row[fields.heat][at]) }));
      }
    }),
    finding: rows.length ? common.readout(rows.length - 1) : "nothing yet",
  });
}

function tables(state) {
  fill("thresholds", state.thresholds.map((one) => [
    cell("th", one.assertion), cell("td", ...STATES[one.state]), cell("td", one.observed ?? "–", "number", "Observed"),
    cell("td", one.limit, "number", "Limit"), cell("td", one.why),
  ]));
  $("no-thresholds").hidden = state.thresholds.length > 0;
  $("thresholds").hidden = !state.thresholds.length;
  $("faults-section").hidden = !state.faults.length;
  fill("faults", state.faults.map((one) => [
    cell("th", one.name), cell("td", one.state, one.state === "active" || one.state === "begins" ? "unsure" : ""), cell("td", one.kind, "", "Kind"),
    cell("td", `${clock(one.from_s)} to ${one.to_s === null ? "the end" : clock(one.to_s)}`, "", "When"), cell("td", one.hits === null ? "–" : count(one.hits), "number", "Hits"),
  ]));
  const groups = state.groups.shown;
  $("groups-section").hidden = !groups.length;
  fill("groups", groups.map((one) => {
    const bar = cell("td", "", "group-bar"), frame = document.createElement("div");
    frame.className = "bar";
    frame.setAttribute("aria-hidden", "true");
    for (const [part, name] of [[one.arrived, "arrived"], [one.completed, "done"]]) {
      const filled = document.createElement("span");
      filled.className = name;
      filled.style.width = `${(100 * part) / one.stations}%`;
      frame.append(filled);
    }
    bar.append(frame);
    return [cell("th", one.name), cell("td", count(one.completed), "number", "Complete"), cell("td", count(one.arrived), "number", "Arrived"), cell("td", count(one.stations), "number", "Stations"), bar];
  }));
  const more = state.groups.more ? `${count(state.groups.more)} more groups with fewer stations to come are not shown. ` : "";
  text("groups-note", `${more}${state.groups.known ? "Blue: complete; grey: arrived." : "Workers on other machines send their journals at the end: until then it is known only which stations have arrived."}`);
}

function showRuns(event) {
  const many = event.kind !== "run";
  $("series").hidden = !many;
  if (!many) return;
  text("known", event.known || "Starting");
  const done = event.runs.length;
  text("count", `${count(done)}${event.planned ? ` of ${count(event.planned)}` : ""} run${done === 1 && !event.planned ? "" : "s"} finished.`);
  $("runs").hidden = !done;
  fill("runs", [...event.runs].reverse().map((one) => {
    const name = cell("th", one.link ? "" : one.title);
    if (one.link) {
      const link = document.createElement("a");
      link.href = one.link;
      link.target = "_blank";
      link.rel = "noopener";
      link.textContent = one.title;
      name.append(link);
    }
    return [name, cell("td", ...RESULTS[one.verdict])];
  }));
}

function show(event) {
  if (event.run !== run || event.about) {
    if (event.about) about = event.about;
    if (event.run !== run) rows = [];
    run = event.run;
    if (about) text("what", event.kind === "run" ? about.title : event.title);
    $("current-title").hidden = event.kind === "run";
    if (about) text("current-title", `Now: ${about.run_title}`);
  }
  for (const [at, line] of event.lines) {
    const item = document.createElement("li"), time = document.createElement("time"), what = document.createElement("span");
    time.textContent = at === null ? "" : clock(at);
    what.textContent = line;
    item.append(time, what);
    $("log").prepend(item);
  }
  showRuns(event);
  const state = event.state;
  if (state && about) {
    fields = Object.fromEntries(event.columns.fields.map((name, index) => [name, index]));
    rows = [...rows.slice(0, event.columns.first), ...event.columns.rows];
    $("current").hidden = false;
    headline(state);
    figures(state);
    tables(state);
    drawCharts(state);
    $("elapsed").style.width = `${Math.min(100, (100 * state.t_s) / about.deadline_s)}%`;
    text("when", `${clock(state.t_s)} of ${clock(about.deadline_s)}; run ${about.id}`);
  }
  if (event.report) {
    over = true;
    events.close();
    location.replace(event.report);
  } else if (event.ended) finish(event.ended);
}

function finish(why) {
  over = true;
  events.close();
  $("stop").disabled = true;
  text("link", "ended");
  text("verdict", "Ended");
  $("verdict").className = "verdict unsure";
  text("meaning", why);
}

const events = new EventSource("events");
events.onmessage = (message) => { text("link", stopping ? "stopping" : "live"); show(JSON.parse(message.data)); };
events.onerror = () => {
  if (over) return;
  text("link", "no connection");
  run = -1; // the next answer has everything
  $("log").replaceChildren();
};

$("stop").addEventListener("click", () => {
  text("confirm-text", document.body.dataset.kind === "run"
    ? "Attempts in flight are broken off, the report is written, and the run counts as interrupted: its exit code is 130."
    : "The run that goes on is broken off. The same command resumes with what is finished.");
  $("confirm").showModal();
});
$("confirm-no").addEventListener("click", () => $("confirm").close());
$("confirm-yes").addEventListener("click", async () => {
  $("confirm").close();
  const answer = await fetch("stop", { method: "POST" });
  stopping = answer.ok;
  $("stop").disabled = answer.ok;
  text("stop", answer.ok ? "Stopping" : "Stop …");
  text("link", answer.ok ? "stopping" : `not stopped: ${answer.status}`);
});
