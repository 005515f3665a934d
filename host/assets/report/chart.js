// Draws charts when they come into view, in the page's colours, with buttons to save them and to show their data.
"use strict";
{
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // Okabe and Ito's colours tell apart for all common kinds of colour blindness.
  llem.palette = () => ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"].map(css);
  llem.color = css;

  // A scale of colours for these values; the ends of the scheme that would vanish on the page's ground are left out.
  llem.gradient = (values) => {
    const dark = document.documentElement.dataset.theme === "dark";
    const scale = { ...llem.scaling(values, "auto"), scheme: { name: "viridis", extent: dark ? [0.25, 1] : [0, 0.88] } };
    delete scale.padding;
    return scale;
  };

  const config = () => {
    const [text, faint, line] = [css("--text"), css("--faint"), css("--line")];
    const label = { labelColor: text, titleColor: text, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
    return {
      background: css("--panel"), font: "system-ui, sans-serif", view: { stroke: null },
      axis: { ...label, gridColor: line, domainColor: faint, tickColor: faint, labelLimit: 320 },
      legend: { ...label, labelLimit: 300, orient: "top" }, header: { ...label, labelFontSize: 12, labelLimit: 320 },
      title: { color: text }, text: { color: text }, range: { category: llem.palette(), heatmap: { scheme: "viridis" }, ramp: { scheme: "viridis" } },
      point: { filled: true, size: 45 }, rule: { color: faint }, bar: { color: llem.palette()[0] }, line: { color: llem.palette()[0] },
    };
  };

  const button = (label, title, action) => {
    const it = document.createElement("button");
    it.type = "button";
    it.textContent = label;
    it.title = title;
    it.addEventListener("click", action);
    return it;
  };

  const save = async (chart, kind) => {
    const url = await chart.view.toImageURL(kind, 2);
    const link = document.createElement("a");
    link.href = url;
    link.download = `${chart.id}.${kind}`;
    link.click();
  };

  // The rows of a chart as a table: the same numbers for those who can't see the marks.
  const showData = (chart, host, toggle) => {
    if (host.firstChild) {
      host.replaceChildren();
      toggle.setAttribute("aria-expanded", "false");
      return;
    }
    toggle.setAttribute("aria-expanded", "true");
    host.append(llem.table(chart.rows, 200));
  };

  llem.table = (rows, most) => {
    const table = document.createElement("table");
    const names = rows.length ? Object.keys(rows[0]) : [];
    const head = table.createTHead().insertRow();
    for (const name of names) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = name;
      head.append(cell);
    }
    const body = table.createTBody();
    for (const row of rows.slice(0, most)) {
      const line = body.insertRow();
      for (const name of names) {
        const value = row[name];
        const cell = line.insertCell();
        cell.textContent = typeof value === "number" ? llem.number(value) : String(value ?? "–");
        if (typeof value === "number") cell.className = "number";
      }
    }
    const caption = table.createCaption();
    caption.textContent = rows.length > most ? `first ${most} of ${rows.length} rows; llem export has all` : `${rows.length} rows`;
    return table;
  };

  // A chart: `make(experiments)` gives { rows, spec } or a text that says why there is nothing to draw.
  llem.chart = (id, title, note, make, options = {}) => {
    const section = document.getElementById(`chart-${id}`);
    const chart = { id, section, make, dirty: true, visible: false, controls: options.controls || [] };
    const heading = document.createElement("h3");
    heading.textContent = title;
    const bar = document.createElement("div");
    bar.className = "bar";
    for (const control of chart.controls) bar.append(control);
    const [drawing, data] = [document.createElement("div"), document.createElement("div")];
    drawing.className = "drawing";
    data.className = "data";
    const toggle = button("Data", `Show the data of “${title}” as a table`, () => showData(chart, data, toggle));
    toggle.setAttribute("aria-expanded", "false");
    const buttons = document.createElement("span");
    buttons.className = "buttons";
    buttons.append(
      button("SVG", `Save “${title}” as SVG`, () => save(chart, "svg")),
      button("PNG", `Save “${title}” as PNG`, () => save(chart, "png")), toggle);
    bar.append(buttons);
    const text = document.createElement("p");
    text.className = "note";
    text.textContent = note;
    section.append(heading, text, bar, drawing, data);
    drawing.setAttribute("role", "img");
    drawing.setAttribute("aria-label", `${title}. ${note} The button “Data” shows the numbers.`);
    chart.draw = async () => {
      chart.dirty = false;
      const made = make(llem.filtered());
      data.replaceChildren();
      toggle.setAttribute("aria-expanded", "false");
      const finished = chart.result;
      chart.result = null;
      if (finished) finished.finalize();
      if (typeof made === "string") {
        chart.view = null;
        chart.rows = [];
        drawing.replaceChildren(Object.assign(document.createElement("p"), { className: "empty", textContent: made }));
        section.dataset.state = "empty";
        return;
      }
      chart.rows = made.rows;
      section.dataset.state = "drawing";
      // Charts of several views say their own width: only single ones can take the container's.
      const single = !made.spec.facet && !made.spec.vconcat;
      const size = single ? { width: "container", autosize: { type: "fit-x", contains: "padding" } } : {};
      const spec = { $schema: "https://vega.github.io/schema/vega-lite/v6.json", ...size, data: { name: "rows", values: made.rows }, ...made.spec };
      chart.result = await vegaEmbed(drawing, spec, {
        actions: false, ast: true, logLevel: vega.Error, config: config(), renderer: made.rows.length > 1500 ? "canvas" : "svg", tooltip: { theme: "custom", disableDefaultStyle: true },
      });
      chart.view = chart.result.view;
      if (options.drawn) options.drawn(chart);
      section.dataset.state = "drawn";
    };
    chart.redraw = () => {
      chart.dirty = true;
      if (chart.visible) llem.queue(chart);
    };
    llem.charts.push(chart);
    return chart;
  };

  // One chart at a time, so that the page stays responsive; errors of one do not stop the others.
  let queue = Promise.resolve();
  llem.queue = (chart) => {
    queue = queue.then(() => new Promise((done) => setTimeout(done, 0))).then(() => (chart.dirty ? chart.draw() : null)).catch((error) => {
      chart.section.dataset.state = "failed";
      console.error(chart.id, error);
    });
    return queue;
  };

  llem.watch = () => {
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const chart = llem.charts.find((it) => it.section === entry.target);
        chart.visible = entry.isIntersecting;
        if (chart.visible && chart.dirty) llem.queue(chart);
      }
    }, { rootMargin: "200px" });
    llem.charts.forEach((it) => observer.observe(it.section));
  };

  llem.redraw = (all) => llem.charts.forEach((it) => (all || !it.keeps ? it.redraw() : null));

  // Printing needs every chart, drawn in light colours.
  llem.drawAll = () => {
    llem.charts.filter((it) => it.dirty).forEach((it) => llem.queue(it));
    return queue;
  };

  llem.select = (label, choices, chosen, action) => {
    const wrap = document.createElement("label");
    wrap.textContent = `${label} `;
    const select = document.createElement("select");
    choices.forEach(([value, text]) => select.append(new Option(text, value, false, value === chosen)));
    select.addEventListener("change", () => action(select.value));
    wrap.append(select);
    return wrap;
  };
}
