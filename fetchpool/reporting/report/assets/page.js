// Draws the charts of a report from the numbers in the page, and lets its tables be sorted.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.remove("no-script");

  // -- tables

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
  };
  const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b));
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const falls = head.getAttribute("aria-sort") === "descending";
        const first = head.classList.contains("n") ? -1 : 1; // numbers: the largest on top
        const sign = head.hasAttribute("aria-sort") ? (falls ? 1 : -1) : first;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        const rows = [...body.rows];
        rows.sort((a, b) => sign * compare(valueOf(a, column), valueOf(b, column)));
        body.append(...rows);
      });
    });
  }

  // -- numbers

  const number = (value) => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3;
    return Number(value.toFixed(digits)).toLocaleString("en-US", { maximumFractionDigits: 3 });
  };
  const bytes = (value) => {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1000;
    return `${number(value)} ${units[unit]}`;
  };
  const seconds = (value) => {
    if (value === 0) return "0";
    if (value < 0.001) return `${number(value * 1e6)} µs`;
    if (value < 1) return `${number(value * 1000)} ms`;
    return value < 60 ? `${number(value)} s` : clock(value);
  };
  const two = (value) => String(value).padStart(2, "0");
  const clock = (value) => {
    const whole = Math.floor(value);
    if (value < 60) return `${number(value)} s`;
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  };
  const withUnit = (unit) => {
    if (unit === "s") return seconds;
    if (unit === "B/s") return (value) => `${bytes(value)}/s`;
    return (value) => number(value) + unit;
  };

  // -- charts

  const charts = JSON.parse(document.getElementById("charts").textContent);
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const drawn = [];

  const axis = (more) => ({
    stroke: colour("--faint"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
    ...more,
  });

  // Sums of the series up to each one, without those that were clicked away.
  const stack = (chart, isShown) => {
    const sums = chart.x.map(() => 0);
    const bands = [];
    let below = 0;
    const columns = chart.series.map((series, index) => {
      if (isShown(index + 1)) {
        series.data.forEach((value, at) => (sums[at] += value ?? 0));
        if (below) bands.push({ series: [index + 1, below] });
        below = index + 1;
      }
      return [...sums];
    });
    return { data: [chart.x, ...columns], bands };
  };

  const cutsOf = (chart) => (u) => {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.strokeStyle = colour("--faint");
    ctx.setLineDash([2, 4]);
    for (const cut of chart.cuts) {
      const x = Math.round(u.valToPos(cut, "x", true)) + 0.5;
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  };

  const overTime = (chart) => {
    const show = withUnit(chart.unit);
    const isArea = chart.kind === "area";
    const stepped = uPlot.paths.stepped({ align: 1 });
    const stacked = isArea ? stack(chart, () => true) : null;
    return {
      data: isArea ? stacked.data : [chart.x, ...chart.series.map((series) => series.data)],
      options: {
        bands: isArea ? stacked.bands : [],
        cursor: { sync: chart.sync ? { key: "time" } : undefined, points: { show: !isArea }, y: false },
        scales: { x: { time: false }, y: { range: (u, low, high) => [0, (high || 1) * 1.05] } },
        axes: [
          axis({
            size: 34,
            values: (u, splits) => splits.map(clock),
            incrs: [
              ...[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600],
              ...[7200, 14400, 21600, 43200, 86400, 172800, 432000, 864000, 1728000],
            ],
            space: 70,
          }),
          axis({ size: 72, values: (u, splits) => splits.map(show) }),
        ],
        series: [
          { label: "at", value: (u, value) => (value == null ? "–" : clock(value)) },
          ...chart.series.map((series) => ({
            label: series.label,
            stroke: colour(series.colour),
            fill: isArea ? colour(series.colour) + "d0" : undefined,
            width: isArea ? 0 : 1.5,
            points: { show: false },
            paths: stepped,
            spanGaps: false,
            value: (u, value, index, at) =>
              at == null || series.data[at] == null ? "–" : show(series.data[at]),
          })),
        ],
        hooks: {
          draw: [cutsOf(chart)],
          setSeries: isArea
            ? [
                (u, index, change) => {
                  if (change.show == null) return;
                  const anew = stack(chart, (at) => u.series[at].show);
                  u.delBand(null);
                  anew.bands.forEach((band) => u.addBand(band));
                  u.setData(anew.data);
                },
              ]
            : [],
        },
      },
    };
  };

  // Bars over a logarithmic axis: as many for each decade. The sum is drawn first, `ok` over it.
  const histogram = (chart, isNarrow) => {
    const [ok, failed] = chart.series;
    const sum = ok.data.map((value, at) => value + failed.data[at]);
    const bars = uPlot.paths.bars({ size: [0.9, 60] });
    const series = (each) => ({
      label: each.label,
      stroke: colour(each.colour),
      fill: colour(each.colour),
      width: 0,
      points: { show: false },
      paths: bars,
      value: (u, value, index, at) => (at == null ? "–" : number(each.data[at])),
    });
    // Where there is little room: 1, 10, 100, and not 3, 30, 300 as well.
    const isPowerOfTen = (value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 0.01;
    const ticks = new Map(chart.ticks.filter(([, value]) => !isNarrow || isPowerOfTen(value)));
    return {
      data: [chart.x, sum, ok.data],
      options: {
        cursor: { points: { show: false }, drag: { x: false, y: false }, y: false },
        scales: {
          x: { time: false, range: [-0.5, chart.x.length - 0.5] },
          y: { range: (u, low, high) => [0, (high || 1) * 1.05] },
        },
        axes: [
          axis({ size: 34, splits: [...ticks.keys()], values: (u, splits) => splits.map((at) => seconds(ticks.get(at))) }),
          axis({ size: 72, values: (u, splits) => splits.map(number) }),
        ],
        series: [
          { label: "up to", value: (u, value, index, at) => (at == null ? "–" : seconds(chart.upTo[at])) },
          series(failed),
          series(ok),
        ],
      },
    };
  };

  const draw = () => {
    for (const plot of drawn.splice(0)) plot.destroy();
    for (const chart of charts) {
      const place = document.getElementById(`chart-${chart.id}`);
      const width = Math.max(240, place.clientWidth);
      const { options, data } =
        chart.kind === "bars" ? histogram(chart, width < 500) : overTime(chart);
      drawn.push(new uPlot({ width, height: 200, padding: [10, 16, 0, 0], ...options }, data, place));
    }
  };
  const fit = () => {
    for (const plot of drawn) {
      const width = Math.max(240, plot.root.parentNode.clientWidth);
      if (width !== plot.width) plot.setSize({ width, height: plot.height });
    }
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("resize", fit);
})();
