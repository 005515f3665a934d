// Charts of the study as a whole: effects, pairs of parameters, phases, traces, drift.
"use strict";
{
  const { page } = llem;
  const ratio = (value) => Number(value.toPrecision(4));
  const named = (effects) => (it) => (effects.some((other) => other.plugin !== it.plugin) ? `${it.plugin}: ${it.setting}` : it.setting);
  const setting = (it) => llem.text(named(page.effects)(it), 60);

  {
    const make = () => {
      const rows = page.effects.flatMap((it) => it.levels.map((level) => ({ setting: setting(it), level: llem.text(level.name, 40), ratio: ratio(level.ratio), low: ratio(level.low), high: ratio(level.high) })));
      if (!rows.length) return "Nothing was varied enough to compute effects.";
      const x = { field: "ratio", type: "quantitative", title: `${llem.primary.title}, relative to the first level`, scale: { type: "log", nice: false, padding: 12 }, axis: { format: "~g" } };
      const y = { field: "level", type: "nominal", sort: null, title: null };
      return {
        rows, spec: {
          facet: { row: { field: "setting", type: "nominal", sort: null, title: null, header: { labelAngle: 0, labelAlign: "left", labelOrient: "top", labelFontWeight: "bold" } } },
          resolve: { scale: { y: "independent" } }, spacing: 12,
          spec: {
            width: Math.max(260, document.getElementById("chart-effects").clientWidth - 70 - 7 * Math.min(45, Math.max(...rows.map((it) => it.level.length)))), height: { step: 22 },
            layer: [
              { mark: { type: "rule", strokeDash: [3, 3] }, encoding: { x: { datum: 1 } } },
              { mark: { type: "rule", strokeWidth: 2 }, encoding: { x: { ...x, field: "low" }, x2: { field: "high" }, y } },
              { mark: { type: "point", size: 60, color: llem.palette()[0] }, encoding: { x, y, tooltip: [{ field: "setting" }, { field: "level" }, { field: "ratio" }, { field: "low" }, { field: "high" }] } },
            ],
          },
        },
      };
    };
    llem.chart("effects", "Main effects", "What each level did to the primary figure, the others averaged over (least squares on logarithms, type III). Computed over the whole study; the filter does not change it.", make);
  }

  {
    const make = () => {
      const rows = page.effects.map((it) => ({ term: setting(it), share: 100 * it.variance_share, low: it.share_low === null ? null : 100 * it.share_low, high: it.share_high === null ? null : 100 * it.share_high, p: it.p_value }));
      const seen = new Set();
      for (const effect of page.effects) for (const pair of effect.interactions) {
        const term = pair.settings.map((it) => llem.text(it, 40)).join(" × ");
        if (!seen.has(term)) rows.push({ term, share: 100 * pair.variance_share, low: null, high: null, p: pair.p_value });
        seen.add(term);
      }
      if (!rows.length) return "Nothing was varied enough to compute shares.";
      rows.sort((one, other) => other.share - one.share);
      const y = { field: "term", type: "nominal", sort: null, title: null };
      const x = { field: "share", type: "quantitative", title: "share of the logarithms' variance (%)", scale: { domain: [0, 100] } };
      return {
        rows: rows.slice(0, 20), spec: {
          height: { step: 24 },
          layer: [
            { mark: { type: "bar", height: 12 }, encoding: { x, y, tooltip: [{ field: "term" }, { field: "share", format: ".2f" }, { field: "p", title: "p value", format: ".2~g" }] } },
            { transform: [{ filter: "isValid(datum.low)" }], mark: { type: "rule", strokeWidth: 2, color: llem.color("--text") }, encoding: { x: { ...x, field: "low" }, x2: { field: "high" }, y } },
          ],
        },
      };
    };
    llem.chart("shares", "Shares of variance", "How much of the variation of the primary figure each setting explains beyond the others; “×”: what two do together. Lines are intervals.", make);
  }

  {
    const choices = page.parameters.map((it, at) => [String(at), it.title]);
    let [x, y, figure] = [0, 1, llem.primary];
    const controls = page.parameters.length > 1 ? [
      llem.select("across", choices, "0", (it) => { x = Number(it); chart.redraw(); }),
      llem.select("up", choices, "1", (it) => { y = Number(it); chart.redraw(); }),
      llem.select("figure", page.figures.map((it) => [it.name, it.heading]), figure?.name, (it) => { figure = llem.figure(it); chart.redraw(); }),
    ] : [];
    const make = (experiments) => {
      if (page.parameters.length < 2) return "A heat map needs two parameters that vary.";
      const [across, up] = [page.parameters[x], page.parameters[y]];
      const rows = experiments.map((it) => ({ x: across.names[it.p[x]] ?? "–", y: up.names[it.p[y]] ?? "–", value: llem.value(it, figure)?.point ?? null, experiment: it.name })).filter((it) => it.value !== null);
      if (!rows.length) return "No experiment that the filter leaves has this figure.";
      const axis = (field, parameter) => ({ field, type: "nominal", sort: parameter.names, title: parameter.title, axis: { labelAngle: 0, labelLimit: 120, labelOverlap: true } });
      const value = { field: "value", aggregate: "mean", type: "quantitative", title: figure.heading };
      const cells = across.names.length * up.names.length;
      const layer = [{ mark: { type: "rect" }, encoding: { color: { ...value, legend: { orient: "right" } }, tooltip: [{ field: "x", title: across.title }, { field: "y", title: up.title }, { ...value, format: ".4~g" }, { aggregate: "count", title: "experiments" }] } }];
      if (cells <= 120) layer.push({ mark: { type: "text", fontSize: 11, fill: "#fff", stroke: "#000", strokeWidth: 2.4, strokeOpacity: 0.55, strokeJoin: "round" }, encoding: { text: { ...value, format: ".3~g" } } }, { mark: { type: "text", fontSize: 11, color: "#fff" }, encoding: { text: { ...value, format: ".3~g" } } });
      return { rows, spec: { height: Math.min(420, Math.max(120, 34 * up.names.length)), encoding: { x: axis("x", across), y: axis("y", up) }, layer } };
    };
    const chart = llem.chart("heat", "Two parameters", "Mean of the experiments in each cell, those that the filter leaves.", make, { controls });
  }

  {
    const KINDS = { time: ["load", "warm-up", "measured", "other"], energy: ["prefill", "decode", "idle with the model loaded", "not attributed"] };
    const has = page.experiments.some((it) => it.split);
    let kind = has ? "energy" : "time";
    const controls = has ? [llem.select("split", [["energy", "energy"], ["time", "time"]], kind, (it) => { kind = it; chart.redraw(); })] : [];
    const make = (experiments) => {
      const names = KINDS[kind];
      const field = kind === "time" ? "times" : "split";
      const with_ = experiments.filter((it) => it[field]);
      if (!with_.length) return "No experiment that the filter leaves has figures.";
      const shown = with_.slice(0, 60);
      const rows = shown.flatMap((it) => names.map((phase, at) => ({ experiment: it.name, phase, value: Math.max(0, it[field][at] ?? 0), order: at })));
      const unit = kind === "time" ? "mean time of a trial (s)" : "mean energy of a trial's windows (J)";
      const spec = { height: { step: 22 }, mark: { type: "bar", height: 13 }, encoding: { y: { field: "experiment", type: "nominal", sort: null, title: null }, x: { field: "value", type: "quantitative", title: unit, stack: true }, color: { field: "phase", type: "nominal", sort: names, title: null, scale: { domain: names } }, order: { field: "order" }, tooltip: [{ field: "experiment" }, { field: "phase" }, { field: "value", format: ".4~g" }] } };
      return { rows, spec };
    };
    const chart = llem.chart("phases", "Phase split", `Where a trial's ${has ? "energy or time goes. Prefill and decode are attributed by regression over idle power; the parts that no trial can tell apart are “not attributed”" : "time goes; a split of the energy needs idle power with the engine loaded before and after the windows"}${page.experiments.length > 60 ? "; the first 60 experiments that the filter leaves" : ""}.`, make, { controls });
  }

  {
    const { traces } = page;
    const choices = traces.map((it, at) => [String(at), `${page.experiments[it.experiment].name} #${it.repeat}${it.failed ? " (failed)" : ""}`]);
    let chosen = 0;
    const controls = traces.length ? [llem.select("trial", choices, "0", (it) => { chosen = Number(it); chart.redraw(); })] : [];
    const make = () => {
      const trace = traces[chosen];
      if (!trace) return page.traces_missing;
      const LANES = [["power", "power (W)"], ["temperature", "temperature (°C)"], ["clock", "clock (MHz)"]];
      const rows = [];
      for (const device of trace.devices) {
        device.seconds.forEach((seconds, at) => {
          for (const [lane] of LANES) {
            const value = device[lane]?.[at];
            if (value !== null && value !== undefined) rows.push({ lane, device: llem.text(device.name, 40), seconds, value });
          }
        });
      }
      if (!rows.length) return "The meters recorded nothing in this trial.";
      const lanes = LANES.filter(([lane]) => rows.some((it) => it.lane === lane));
      const end = rows.reduce((most, it) => Math.max(most, it.seconds), 0);
      const windows = trace.windows.map(([from, to], at) => ({ from, to, window: at + 1 }));
      const x = { field: "seconds", type: "quantitative", title: "seconds since the recording began", scale: { domain: [0, end], nice: false } };
      const width = Math.max(260, document.getElementById("chart-trace").clientWidth - 120);
      return {
        rows, spec: {
          vconcat: lanes.map(([lane, title], at) => ({
            width, height: at ? 90 : 180,
            layer: [
              { data: { values: windows }, mark: { type: "rect", opacity: 0.18, color: llem.palette()[2] }, encoding: { x: { field: "from", type: "quantitative" }, x2: { field: "to" }, tooltip: [{ field: "window" }] } },
              { transform: [{ filter: { field: "lane", equal: lane } }], mark: { type: "line", interpolate: lane === "power" ? "step-before" : "linear", strokeWidth: 1.4 }, encoding: { x: { ...x, title: at === lanes.length - 1 ? x.title : null }, y: { field: "value", type: "quantitative", title, scale: { zero: lane === "power" } }, color: { field: "device", type: "nominal", title: null }, strokeDash: { field: "device", type: "nominal", title: null }, tooltip: [{ field: "device" }, { field: "seconds", format: ".1f" }, { field: "value", format: ".5~g" }] } },
            ],
          })),
        },
      };
    };
    const chart = llem.chart("trace", "Power, temperature and clocks over time", `One trial as its meters saw it, thinned to means over equal times; shaded: the measured windows.${page.traces_note ? ` ${page.traces_note}` : ""}`, make, { controls });
  }

  const relative = { field: "relative", type: "quantitative", title: "deviation from the experiment's mean (%)" };
  {
    const make = (experiments) => {
      const kept = new Set(experiments.map((it) => it.at));
      const rows = page.trials.filter(([experiment]) => kept.has(experiment)).map(([experiment, repeat, position, relative]) => ({ experiment: page.experiments[experiment].name, repeat, position: position + 1, relative: 100 * (relative - 1) }));
      if (!rows.length) return "A check of the order needs experiments with more than one trial.";
      const x = { field: "position", type: "quantitative", title: "place in the order of the run", scale: { nice: false, zero: false }, axis: { tickMinStep: 1, format: "d" } };
      const y = relative;
      return {
        rows, spec: {
          height: 260,
          layer: [
            { mark: { type: "rule", strokeDash: [3, 3] }, encoding: { y: { datum: 0 } } },
            { mark: { type: "point", size: rows.length > 400 ? 10 : 40, opacity: rows.length > 400 ? 0.4 : 0.9 }, encoding: { x, y, color: { field: "repeat", type: "ordinal", scale: { range: llem.palette() } }, tooltip: [{ field: "experiment" }, { field: "repeat" }, { field: "position" }, { field: "relative", title: "deviation (%)", format: ".2f" }] } },
          ],
        },
      };
    };
    llem.chart("drift", "Drift and order", page.drift, make);
  }
  if (page.boards.length) {
    const MOST = 60;
    const names = page.boards.map((it, at) => `${at + 1}. ${llem.text(it.name === it.node ? it.node : `${it.node} ${it.name}`, 44)}`);
    const make = (experiments) => {
      const kept = new Set(experiments.map((it) => it.at));
      const rows = page.trials.filter(([experiment, , , , board]) => kept.has(experiment) && board !== null && board < MOST)
        .map(([experiment, repeat, , relative, board]) => ({ board: names[board], experiment: page.experiments[experiment].name, repeat, relative: 100 * (relative - 1) }));
      if (!rows.length) return "No trial that the filter leaves can be set beside others.";
      const y = { field: "board", type: "nominal", sort: names, title: null };
      return {
        rows, spec: {
          height: { step: 22 },
          layer: [
            { mark: { type: "rule", strokeDash: [3, 3] }, encoding: { x: { datum: 0 } } },
            { mark: { type: "tick", thickness: 1.5, opacity: rows.length > 400 ? 0.25 : 0.7, color: llem.palette()[0] }, encoding: { x: relative, y, tooltip: [{ field: "experiment" }, { field: "repeat" }, { field: "board" }, { field: "relative", title: "deviation (%)", format: ".2f" }] } },
            { mark: { type: "point", shape: "diamond", size: 90, color: llem.palette()[1] }, encoding: { x: { ...relative, aggregate: "mean" }, y, tooltip: [{ field: "board" }, { ...relative, aggregate: "mean", title: "mean deviation (%)", format: ".2f" }, { aggregate: "count", title: "trials" }] } },
          ],
        },
      };
    };
    llem.chart("boards", "Boards", `Each trial beside its experiment's mean, by the board that it ran on; diamonds are means.${page.boards.length > MOST ? ` The first ${MOST} of ${page.boards.length} boards.` : ""} ${llem.text(page.boards_said, 600)}.`, make);
  }
}
