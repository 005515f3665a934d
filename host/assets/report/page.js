// Filter, table of experiments, colours, printing; then the charts are watched.
"use strict";
{
  const { page, filter } = llem;
  const make = (tag, set = {}, ...children) => {
    const it = Object.assign(document.createElement(tag), set);
    it.append(...children);
    return it;
  };

  // One group of boxes a parameter; boxes work by keyboard and say what the rectangle in the chart can't.
  const boxes = document.getElementById("filter");
  page.parameters.forEach((parameter, at) => {
    const missing = page.experiments.some((it) => (it.p[at] ?? null) === null);
    const levels = parameter.names.map((name, level) => [level, name]).concat(missing ? [[-1, "not set"]] : []);
    if (levels.length > 24) return;
    const group = make("fieldset", {}, make("legend", { textContent: parameter.title }));
    for (const [level, name] of levels) {
      const box = make("input", { type: "checkbox", checked: true, value: String(level) });
      box.addEventListener("change", () => {
        const on = [...group.querySelectorAll("input")].filter((it) => it.checked).map((it) => Number(it.value));
        if (on.length === levels.length) filter.levels.delete(at); else filter.levels.set(at, new Set(on));
        llem.refilter();
      });
      group.append(make("label", {}, box, ` ${name}`));
    }
    boxes.append(group);
  });

  const status = document.getElementById("status");
  const chips = document.getElementById("chips");
  const clear = document.getElementById("clear");
  clear.addEventListener("click", () => {
    filter.levels.clear();
    filter.ranges.clear();
    boxes.querySelectorAll("input").forEach((it) => (it.checked = true));
    llem.refilter();
    llem.charts.filter((it) => it.keeps).forEach((it) => it.redraw());
  });

  // The table of experiments: sorted by any column, as many rows as are asked for.
  const STEP = 100;
  const body = document.getElementById("experiments");
  const columns = [["experiment", (it) => it.name], ["backend", (it) => it.plugin], ["mode", (it) => it.mode],
    ...page.figures.filter((it) => it.headline).map((figure) => [figure.heading, (it) => llem.value(it, figure)]),
    ["trials", (it) => it.done], ["failed", (it) => it.failed]];
  let [sorted, ascending, most] = [null, true, STEP];
  const plain = (value) => (value && typeof value === "object" ? value.point : value);
  const table = () => {
    let rows = llem.filtered();
    if (sorted !== null) {
      const key = (it) => plain(columns[sorted][1](it));
      const order = (one, other) => (one === null ? 1 : other === null ? -1 : typeof one === "number" ? one - other : String(one).localeCompare(String(other)));
      rows = [...rows].sort((one, other) => (ascending ? 1 : -1) * order(key(one), key(other)));
    }
    const head = make("tr");
    columns.forEach(([title], at) => {
      const sort = make("button", { type: "button", textContent: title });
      sort.addEventListener("click", () => {
        [sorted, ascending] = [at, sorted === at ? !ascending : true];
        table();
        body.querySelectorAll("th button")[at].focus();
      });
      const cell = make("th", { scope: "col" }, sort);
      cell.setAttribute("aria-sort", sorted === at ? (ascending ? "ascending" : "descending") : "none");
      head.append(cell);
    });
    const lines = rows.slice(0, most).map((experiment) => make("tr", {}, ...columns.map(([, of]) => {
      const value = of(experiment);
      if (value === null || typeof value !== "object") return make("td", { textContent: typeof value === "number" ? llem.number(value) : value ?? "–", className: typeof value === "number" ? "number" : "" });
      const range = value.low === null ? "" : ` [${llem.number(value.low)}, ${llem.number(value.high)}]`;
      return make("td", { textContent: `${value.estimated ? "~" : ""}${llem.number(value.point)}${range}${value.doubtful ? " !" : ""}`, className: "number" });
    })));
    const more = make("button", { type: "button", textContent: `show ${Math.min(STEP * 5, rows.length - most)} more of ${rows.length}` });
    more.addEventListener("click", () => { most += STEP * 5; table(); });
    body.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...lines)), ...(rows.length > most ? [more] : []));
  };

  const say = () => {
    const left = llem.filtered().length;
    const all = page.experiments.length;
    status.textContent = left === all ? `all ${all} experiments` : `${left} of ${all} experiments`;
    clear.hidden = left === all && !filter.ranges.size;
    chips.replaceChildren(...[...filter.ranges].map(([title, [low, high]]) => {
      const chip = make("button", { type: "button", className: "chip", textContent: `${title}: part of the axis ✕`, title: `from ${Math.round(100 * Math.max(low, 0))} % to ${Math.round(100 * Math.min(high, 1))} % of the axis; click to lift` });
      chip.addEventListener("click", () => { filter.ranges.delete(title); llem.refilter(); });
      return chip;
    }));
  };
  llem.onFilter(() => { say(); table(); llem.redraw(false); });

  // Colours follow the system until a choice is made; a printed page is always light.
  const root = document.documentElement;
  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const name = () => { theme.textContent = root.dataset.theme === "dark" ? "Light colours" : "Dark colours"; };
  const paint = (wanted) => { root.dataset.theme = wanted; name(); llem.redraw(true); };
  root.dataset.theme = dark.matches ? "dark" : "light";
  name();
  dark.addEventListener("change", () => paint(dark.matches ? "dark" : "light"));
  theme.addEventListener("click", () => paint(root.dataset.theme === "dark" ? "light" : "dark"));
  document.getElementById("print").addEventListener("click", async () => {
    const before = root.dataset.theme;
    if (before === "dark") paint("light");
    document.querySelectorAll("details").forEach((it) => (it.open = true));
    await llem.drawAll();
    window.print();
    if (before === "dark") paint("dark");
  });
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; llem.redraw(true); } });

  say();
  table();
  llem.watch();
}
