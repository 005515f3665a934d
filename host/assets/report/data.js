// The report's data and what everything else works on: readable texts, units, the filter.
"use strict";
const llem = { page: JSON.parse(document.getElementById("llem-data").textContent), charts: [] };

// Texts come from studies, plugins and logs: what could reorder or hide neighbouring text is made visible.
const HARMFUL = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
llem.text = (text, most = 80) => {
  const cut = text.length > most ? text.slice(0, most - 1) + "…" : text;
  return cut.replace(HARMFUL, (it) => `\\u{${it.codePointAt(0).toString(16)}}`);
};

llem.number = (value) => {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return size >= 1000 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();
};

const PREFIXES = [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];

// Values of a unit in the prefix that suits their median: { factor, unit }.
llem.scale = (values, unit) => {
  const sizes = values.filter((it) => it).map(Math.abs).sort((a, b) => a - b);
  if (!sizes.length || !["J", "W", "s", "FLOP/J", "FLOP/s", "B"].includes(unit)) return { factor: 1, unit };
  const middle = sizes[sizes.length >> 1];
  const [factor, prefix] = PREFIXES.find(([factor]) => middle >= factor) || PREFIXES.at(-1);
  return unit === "s" && factor > 1 ? { factor: 1, unit } : { factor, unit: prefix + unit };
};

// The scale of an axis for values and ends of intervals: where they span more than a factor of 20, equal distances are
// equal ratios. `wanted` is what the reader chose.
llem.scaling = (values, wanted = "auto", zero = false) => {
  const known = values.filter((it) => it !== null && it !== undefined);
  const [low, high] = [known.reduce((a, b) => Math.min(a, b), Infinity), known.reduce((a, b) => Math.max(a, b), -Infinity)];
  const ratios = wanted === "auto" ? high > 20 * low : wanted === "ratios";
  return low > 0 && ratios ? { type: "log", nice: false, padding: 10 } : { zero, nice: true };
};
llem.scalings = [["auto", "as it suits"], ["differences", "equal differences"], ["ratios", "equal ratios"]];

{
  const { page } = llem;
  const seen = new Set();
  page.experiments.forEach((experiment, at) => {
    experiment.at = at;
    let name = llem.text(experiment.label || experiment.id, 60);
    if (seen.has(name)) name = `${llem.text(name, 42)} (${experiment.id})`;
    seen.add(name);
    experiment.name = name;
  });
  page.figures.forEach((figure, at) => {
    figure.at = at;
    const points = page.experiments.map((it) => it.f[at] && it.f[at][0]);
    Object.assign(figure, llem.scale(points, figure.unit));
    figure.heading = llem.text(figure.title) + (figure.unit ? ` (${figure.unit})` : "");
  });
  page.parameters.forEach((parameter) => {
    parameter.title = llem.text(parameter.name, 40);
    parameter.names = parameter.levels.map((it) => llem.text(it, 40));
  });
}

llem.figure = (name) => llem.page.figures.find((it) => it.name === name);
llem.primary = llem.figure(llem.page.primary) || llem.page.figures[0];

// A figure of an experiment in the chart's unit; none where it has none.
llem.value = (experiment, figure) => {
  const found = figure && experiment.f[figure.at];
  if (!found) return null;
  const [point, low, high, mark] = found;
  const scaled = (it) => (it === null ? null : it / figure.factor);
  return { point: scaled(point), low: scaled(low), high: scaled(high), estimated: !!(mark & 1), doubtful: !!(mark & 2) };
};

// The filter: allowed levels of parameters, ranges of axes of the parallel coordinates.
llem.filter = { levels: new Map(), ranges: new Map() };
const listeners = [];
llem.onFilter = (listener) => listeners.push(listener);
llem.filtered = () => {
  const { levels, ranges } = llem.filter;
  return llem.page.experiments.filter((experiment) => {
    for (const [parameter, allowed] of levels) if (!allowed.has(experiment.p[parameter] ?? -1)) return false;
    for (const [axis, [low, high]] of ranges) {
      const at = llem.axis(axis).position(experiment);
      if (at === null || at < low || at > high) return false;
    }
    return true;
  });
};
llem.refilter = () => listeners.forEach((it) => it());

// Axes of the parallel coordinates: each parameter, then the headline figures, all from 0 to 1.
llem.axes = (() => {
  const { page } = llem;
  const of = (title, values, shown) => {
    const known = values.filter((it) => it !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const position = (experiment) => {
      const value = values[experiment.at];
      return value === null ? null : high > low ? (value - low) / (high - low) : 0.5;
    };
    const at = (place) => low + place * (high - low);
    return { title, position, at, shown: (experiment) => shown(values[experiment.at]) };
  };
  const parameters = page.parameters.map((parameter, at) =>
    of(parameter.title, page.experiments.map((it) => it.p[at] ?? null), (it) => (it === null ? "–" : parameter.names[it])));
  const shown = page.figures.filter((it) => it.headline);
  const figures = shown.map((figure) =>
    of(figure.heading, page.experiments.map((it) => llem.value(it, figure)?.point ?? null), llem.number));
  const names = new Set();
  return [...parameters, ...figures].filter((it) => !names.has(it.title) && names.add(it.title));
})();
llem.axis = (title) => llem.axes.find((it) => it.title === title);
