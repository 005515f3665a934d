// Charts of what was measured: figures with intervals, the front, latencies, parallel coordinates.
"use strict";
{
  const { page } = llem;
  const FEW = 40;
  const percent = `${Number((100 * page.coverage).toFixed(2))} %`;

  const markOf = (value) => (value.doubtful ? "contradicted by a check" : value.estimated ? "a model's estimate" : "measured");
  const MARKS = ["measured", "a model's estimate", "contradicted by a check"];
  // Only the kinds that there are stand in the legend, and none where all is measured.
  const marks = (rows) => {
    const kinds = MARKS.filter((it) => rows.some((row) => row.kind === it));
    const of = (range) => ({ field: "kind", type: "nominal", title: null, legend: kinds.length > 1 || kinds[0] !== MARKS[0] ? {} : null, scale: { domain: kinds, range: kinds.map((it) => range[MARKS.indexOf(it)]) } });
    return { color: of([0, 1, 5].map((it) => llem.palette()[it])), shape: of(["circle", "diamond", "triangle-up"]) };
  };
  const chosen = (chart, set) => llem.select("scale", llem.scalings, "auto", (it) => { set(it); chart().redraw(); });

  const ranked = (id, title, note, figure) => {
    let scaling = "auto";
    const make = (experiments) => {
      if (!figure) return "No trial has this figure.";
      const rows = experiments.map((it) => [it, llem.value(it, figure)]).filter(([, value]) => value)
        .sort(([, one], [, other]) => (figure.better === "higher" ? other.point - one.point : one.point - other.point))
        .map(([it, value], at) => ({ experiment: it.name, rank: at + 1, value: value.point, low: value.low, high: value.high, kind: markOf(value), trials: it.done }));
      if (!rows.length) return "No experiment that the filter leaves has this figure.";
      const few = rows.length <= FEW;
      const place = few
        ? { field: "experiment", type: "nominal", sort: null, title: null }
        : { field: "rank", type: "quantitative", title: "rank", scale: { domain: [0, rows.length + 1] }, axis: { grid: false } };
      const value = { field: "value", type: "quantitative", title: figure.heading, scale: llem.scaling(rows.flatMap((it) => [it.value, it.low, it.high]), scaling, few) };
      const [along, across] = few ? ["y", "x"] : ["x", "y"];
      const tooltip = [{ field: "experiment" }, { field: "value", title: figure.heading, format: ".4~g" },
        { field: "low", title: `low of ${percent} interval`, format: ".4~g" }, { field: "high", title: "high", format: ".4~g" }, { field: "trials" }, { field: "kind", title: "kind" }];
      return {
        rows, spec: {
          height: few ? { step: 24 } : 300,
          layer: [
            { transform: [{ filter: "isValid(datum.low)" }], mark: { type: "rule", strokeWidth: few ? 2 : 1, opacity: 0.7 }, encoding: { [along]: place, [across]: { ...value, field: "low" }, [`${across}2`]: { field: "high" } } },
            { mark: { type: "point", size: few ? 60 : 22 }, encoding: { [along]: place, [across]: value, ...marks(rows), tooltip } },
          ],
        },
      };
    };
    const chart = llem.chart(id, title, note, make, { controls: [chosen(() => chart, (it) => (scaling = it))] });
  };

  const many = page.experiments.length;
  const energy = llem.primary;
  const speed = llem.figure("output_token_throughput_per_second") || page.figures.find((it) => it.unit === "tokens/s");
  const best = (figure) => `${many > FEW ? "Experiments in order, the best first" : "The best first"}; lines are ${percent} intervals of the mean over trials${figure && figure.better ? `; ${figure.better} is better` : ""}.`;
  ranked("energy", energy ? energy.title : "Energy", best(energy), energy);
  ranked("speed", speed ? speed.title : "Throughput", best(speed), speed);

  // The front: both axes can be chosen; membership is computed over all objectives.
  {
    const axes = page.front.objectives.map(llem.figure).filter(Boolean);
    let [x, y] = [speed && axes.includes(speed) ? speed : axes[1], axes[0]];
    const choices = axes.map((it) => [it.name, it.title]);
    let scaling = "auto";
    const controls = axes.length > 2 ? [
      llem.select("across", choices, x?.name, (it) => { x = llem.figure(it); chart.redraw(); }),
      llem.select("up", choices, y?.name, (it) => { y = llem.figure(it); chart.redraw(); }),
    ] : [];
    controls.push(chosen(() => chart, (it) => (scaling = it)));
    const left = page.front.left_out.map(([why, count]) => `${count}: ${why}`).join("; ");
    const STANDINGS = ["on the front", "beaten"];
    const make = (experiments) => {
      if (!x || !y) return "A front needs two figures, such as energy and throughput.";
      const rows = experiments.filter((it) => it.front).map((it) => {
        const [one, other] = [llem.value(it, x), llem.value(it, y)];
        if (!one || !other) return null;
        const [on, probability, by] = it.front;
        return { experiment: it.name, x: one.point, x_low: one.low, x_high: one.high, y: other.point, y_low: other.low, y_high: other.high, standing: STANDINGS[on ? 0 : 1], probability, beaten_by: by === null ? "–" : page.experiments[by].name };
      }).filter(Boolean);
      if (!rows.length) return "No experiment that the filter leaves has all objectives.";
      const axis = (field, figure) => ({ field, type: "quantitative", title: figure.heading, scale: llem.scaling(rows.flatMap((it) => [it[field], it[`${field}_low`], it[`${field}_high`]]), scaling) });
      const [hx, hy] = [axis("x", x), axis("y", y)];
      const standing = { field: "standing", type: "nominal", title: null, scale: { domain: STANDINGS, range: [llem.palette()[0], llem.color("--faint")] } };
      const tooltip = [{ field: "experiment" }, { field: "x", title: x.heading, format: ".4~g" }, { field: "y", title: y.heading, format: ".4~g" },
        { field: "standing" }, { field: "probability", title: "probability of being on the front", format: ".2f" }, { field: "beaten_by", title: "beaten by" }];
      return {
        rows, spec: {
          height: 360,
          layer: [
            { transform: [{ filter: "isValid(datum.y_low)" }], mark: { type: "rule", opacity: rows.length > FEW ? 0.25 : 0.7 }, encoding: { x: hx, y: { ...hy, field: "y_low" }, y2: { field: "y_high" } } },
            { transform: [{ filter: "isValid(datum.x_low)" }], mark: { type: "rule", opacity: rows.length > FEW ? 0.25 : 0.7 }, encoding: { y: hy, x: { ...hx, field: "x_low" }, x2: { field: "x_high" } } },
            { mark: { type: "point" }, encoding: { x: hx, y: hy, color: standing, tooltip, shape: { ...standing, scale: { domain: STANDINGS, range: ["diamond", "circle"] } }, size: { ...standing, legend: null, scale: { domain: STANDINGS, range: [110, 35] } } } },
          ],
        },
      };
    };
    const chart = llem.chart("front", "Pareto front",
      `Experiments that no other one beats in ${axes.map((it) => it.title.toLowerCase()).join(", ") || "all objectives"} together; the tooltip says how sure that is and which one beats it.${left ? ` Experiments that take no part: ${llem.text(left, 300)}.` : ""}`, make, { controls });
  }

  // Latencies: quantiles as the trials' windows gave them.
  {
    const kinds = page.latencies.map((it, at) => [String(at), it]);
    let kind = 0;
    let scaling = "auto";
    const controls = kinds.length > 1 ? [llem.select("latency", kinds, "0", (it) => { kind = Number(it); chart.redraw(); })] : [];
    controls.push(chosen(() => chart, (it) => (scaling = it)));
    const make = (experiments) => {
      const with_ = experiments.filter((it) => it.latency[kind]);
      if (!with_.length) return "No experiment that the filter leaves has such a latency.";
      const { factor, unit } = llem.scale(with_.map((it) => it.latency[kind][1]), "s");
      const rows = with_.map((it) => {
        const [min, p50, p90, p95, p99, max] = it.latency[kind].map((value) => (value === null ? null : value / factor));
        return { experiment: it.name, min, p50, p90, p95, p99, max };
      }).sort((one, other) => one.p50 - other.p50).map((it, at) => ({ ...it, rank: at + 1 }));
      const few = rows.length <= FEW;
      const place = few ? { field: "experiment", type: "nominal", sort: null, title: null } : { field: "rank", type: "quantitative", title: "rank by median", scale: { domain: [0, rows.length + 1] }, axis: { grid: false } };
      const [along, across] = few ? ["y", "x"] : ["x", "y"];
      const scale = llem.scaling(rows.flatMap((it) => [it.min, it.max]), scaling, few);
      const at = (field) => ({ field, type: "quantitative", title: `${page.latencies[kind]} (${unit})`, scale });
      const format = ".4~g";
      const tooltip = [{ field: "experiment" }, ...["min", "p50", "p90", "p95", "p99", "max"].map((field) => ({ field, format, title: `${field} (${unit})` }))];
      const palette = llem.palette();
      return {
        rows, spec: {
          height: few ? { step: 24 } : 300,
          layer: [
            { mark: { type: "rule", opacity: few ? 0.7 : 0.25 }, encoding: { [along]: place, [across]: at("min"), [`${across}2`]: { field: "max" } } },
            { mark: { type: "rule", strokeWidth: few ? 8 : 1.5, color: palette[2], opacity: 0.8 }, encoding: { [along]: place, [across]: at("p50"), [`${across}2`]: { field: "p90" } } },
            { transform: [{ filter: "isValid(datum.p99)" }], mark: { type: "point", shape: "triangle-up", size: few ? 50 : 10, color: palette[5] }, encoding: { [along]: place, [across]: at("p99"), tooltip } },
            { mark: { type: "point", size: few ? 60 : 16, color: palette[0] }, encoding: { [along]: place, [across]: at("p50"), tooltip } },
          ],
        },
      };
    };
    const chart = llem.chart("latency", "Latency quantiles",
      "Dot: median. Thick line: median to 90th percentile. Triangle: 99th percentile, where a window had at least 100 requests. Thin line: least to greatest. Means over windows and trials.", make, { controls });
  }

  // Whole distributions from the request logs: the share of requests, or of gaps between tokens, that took at most as long.
  {
    const { shares, of, note } = page.spreads;
    const curves = new Map(of.map((it) => [it.experiment, it]));
    const TOLD = new Map([[0.5, "50 %"], [0.9, "90 %"], [0.99, "99 %"]]);
    const MOST = 40;
    let [kind, scaling, side] = [0, "auto", "below"];
    const controls = [
      llem.select("latency", page.latencies.map((it, at) => [String(at), it]), "0", (it) => { kind = Number(it); chart.redraw(); }),
      llem.select("share", [["below", "that took at most as long"], ["above", "that took longer, as equal ratios"]], side, (it) => { side = it; chart.redraw(); }),
      chosen(() => chart, (it) => (scaling = it)),
    ];
    const make = (experiments) => {
      if (!of.length) return "The results hold no request logs to draw.";
      const shown = experiments.filter((it) => curves.get(it.at)?.seconds[kind]).slice(0, MOST);
      if (!shown.length) return "No experiment that the filter leaves has a request log with such a latency.";
      const { factor, unit } = llem.scale(shown.map((it) => curves.get(it.at).seconds[kind][50]), "s");
      const above = side === "above";
      const rows = shown.flatMap((it) => {
        const { seconds, counts } = curves.get(it.at);
        const energyAt = llem.value(it, energy)?.point ?? null;
        return seconds[kind].map((value, at) => ({ experiment: it.name, latency: value / factor, share: shares[at], longer: 1 - shares[at], values: counts[kind], energy: energyAt, told: TOLD.get(shares[at]) ?? null }));
      }).filter((it) => !above || it.longer > 1e-9);
      const few = shown.length <= llem.palette().length;
      const x = { field: "latency", type: "quantitative", title: `${page.latencies[kind]} (${unit})`, scale: llem.scaling(rows.map((it) => it.latency), scaling) };
      const y = above
        ? { field: "longer", type: "quantitative", title: "share that took longer", scale: { type: "log", nice: false }, axis: { format: "~%" } }
        : { field: "share", type: "quantitative", title: "share that took at most as long", axis: { format: "~%" } };
      const color = few
        ? { field: "experiment", type: "nominal", sort: null, title: null, scale: { domain: shown.map((it) => it.name) } }
        : { field: "energy", type: "quantitative", title: energy ? energy.heading : null, scale: llem.gradient(rows.map((it) => it.energy)) };
      const dash = few ? { strokeDash: { field: "experiment", type: "nominal", sort: null, title: null } } : {};
      const tooltip = [{ field: "experiment" }, { field: "latency", title: x.title, format: ".4~g" }, { field: "share", title: y.title, format: ".1~%" }, { field: "values" }];
      return {
        rows, spec: {
          height: 320,
          layer: [
            { mark: { type: "line", interpolate: "step-after", strokeWidth: few ? 1.8 : 1.2, opacity: few ? 1 : 0.6 }, encoding: { x, y, detail: { field: "experiment" }, color, order: { field: "share" }, ...dash } },
            { transform: [{ filter: "isValid(datum.told)" }], mark: { type: "point", size: few ? 45 : 18 }, encoding: { x, y, color, tooltip } },
          ],
        },
      };
    };
    const chart = llem.chart("spread", "Latency distributions",
      `Every request, or gap between tokens, of all windows and trials: which share took at most as long. Dots: 50, 90 and 99 %.${of.length > MOST ? ` The first ${MOST} experiments that the filter leaves.` : ""}${note ? ` ${llem.text(note, 300)}` : ""}`, make, { controls });
  }

  // Parallel coordinates: a rectangle drawn across axes keeps the experiments that pass through it, everywhere.
  {
    const make = () => {
      const axes = llem.axes;
      if (axes.length < 2) return "Nothing varied that could be set side by side.";
      const kept = new Set(llem.filtered());
      const rows = [];
      for (const experiment of page.experiments) {
        const energyAt = llem.value(experiment, energy)?.point ?? null;
        for (const axis of axes) {
          const place = axis.position(experiment);
          if (place !== null) rows.push({ experiment: experiment.name, axis: axis.title, place, value: axis.shown(experiment), kept: kept.has(experiment), energy: energyAt });
        }
      }
      if (!rows.length) return "No trial has given figures.";
      const x = { field: "axis", type: "nominal", sort: axes.map((it) => it.title), title: null, scale: { padding: 0.3 }, axis: { labelAngle: axes.length > 5 ? -20 : 0, grid: true, labelLimit: 220, domain: false } };
      const y = { field: "place", type: "quantitative", title: "from least to greatest", scale: { domain: [-0.03, 1.03], nice: false }, axis: { labels: false, ticks: false, grid: false } };
      const colours = llem.gradient(rows.map((it) => it.energy));
      const opacity = Math.max(0.08, Math.min(0.8, 40 / many));
      return {
        rows, spec: {
          height: 320,
          layer: [
            { transform: [{ filter: "!datum.kept" }], mark: { type: "line", opacity: Math.min(opacity, 0.25), color: llem.color("--faint"), strokeWidth: 1 }, encoding: { x, y, detail: { field: "experiment" } } },
            { transform: [{ filter: "datum.kept" }], mark: { type: "line", opacity: Math.max(opacity, 0.25), strokeWidth: 1.3 }, encoding: { x, y, detail: { field: "experiment" }, color: { field: "energy", type: "quantitative", title: energy ? energy.heading : null, scale: colours } } },
            { params: [{ name: "brush", select: { type: "interval", encodings: ["x", "y"] } }], mark: { type: "point", size: 14, opacity: 0.6, color: llem.color("--faint") }, encoding: { x, y, tooltip: [{ field: "experiment" }, { field: "axis" }, { field: "value" }] } },
          ],
        },
      };
    };
    let timer = 0;
    const drawn = (chart) => chart.view.addSignalListener("brush", (_, brush) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (!brush.axis || !brush.place) return;
        for (const axis of brush.axis) llem.filter.ranges.set(axis, [Math.min(...brush.place), Math.max(...brush.place)]);
        llem.refilter();
      }, 150);
    });
    const chart = llem.chart("parallel", "Parallel coordinates",
      "One line an experiment, coloured by energy. Draw a rectangle over an axis to keep only the lines through it: all other charts follow. The same can be done with the boxes above.", make, { drawn });
    // A redraw within a drag would take the rectangle away; its lines are replaced instead.
    chart.keeps = true;
    llem.onFilter(() => {
      if (!chart.view) return;
      const made = make();
      chart.rows = made.rows;
      chart.view.change("rows", vega.changeset().remove(() => true).insert(made.rows)).runAsync();
    });
  }
}
