// Small charts as inline SVG: lines over epochs, and signed bars.

import { element, short } from "/web/dom.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [260, 120, 6, 254, 10, 100];

function svg(name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.textContent = text;
  return made;
}

function plot(title, description, short = "") {
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${description}` });
  const caption = element("figcaption", {}, element("span", {}, title), element("span", {}, short));
  return [drawing, element("figure", { className: "plot" }, caption, drawing)];
}

/** Values over epochs. With `zero` the zero line is drawn, and values below it are marked. */
export function lines(title, epochs, values, { zero = false } = {}) {
  const last = values.length - 1;
  const [began, ended] = [short(values[0]), short(values[last])];
  const description = `${began} at epoch ${epochs[0]}, ${ended} at epoch ${epochs[last]}`;
  const [drawing, figure] = plot(title, description, last ? `${began} → ${ended}` : ended);
  const low = Math.min(...values, ...(zero ? [0] : []));
  const high = Math.max(...values, ...(zero ? [0] : []));
  const spread = epochs[last] - epochs[0] || 1;
  const x = (epoch) => LEFT + 4 + ((RIGHT - LEFT - 8) * (epoch - epochs[0])) / spread;
  const y = (value) => BOTTOM - 4 - ((BOTTOM - TOP - 8) * (value - low)) / (high - low || 1);
  if (zero) drawing.append(svg("line", { class: "zero", x1: LEFT, x2: RIGHT, y1: y(0), y2: y(0) }));
  drawing.append(
    svg("polyline", { points: values.map((value, place) => `${x(epochs[place])},${y(value)}`).join(" ") }),
  );
  for (const [place, value] of values.entries()) {
    const dot = svg("circle", { cx: x(epochs[place]), cy: y(value), r: values.length > 40 ? 1.5 : 3 });
    if (zero && value < 0) dot.setAttribute("class", "below");
    dot.append(svg("title", {}, `epoch ${epochs[place]}: ${short(value)}`));
    drawing.append(dot);
  }
  drawing.append(
    svg("text", { x: LEFT, y: HEIGHT - 4 }, `epoch ${epochs[0]}`),
    svg("text", { x: RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, String(epochs[last])),
  );
  return figure;
}

/** One bar for each name; negative values go to the left and are marked. */
export function bars(title, pairs) {
  const [drawing, figure] = plot(title, pairs.map(([name, value]) => `${name} ${short(value)}`).join(", "));
  const row = 20;
  drawing.setAttribute("viewBox", `0 0 ${WIDTH} ${pairs.length * row}`);
  const [middle, reach] = [WIDTH * 0.66, WIDTH * 0.3];
  const most = Math.max(...pairs.map(([, value]) => Math.abs(value))) || 1;
  for (const [place, [name, value]] of pairs.entries()) {
    const length = Math.max(1, (Math.abs(value) / most) * reach);
    const bar = svg("rect", {
      x: value < 0 ? middle - length : middle,
      y: place * row + 4,
      width: length,
      height: row - 8,
    });
    if (value < 0) bar.setAttribute("class", "below");
    bar.append(svg("title", {}, `${name}: ${short(value)}`));
    const label = svg("text", { x: 0, y: place * row + 14 }, name.length > 14 ? `${name.slice(0, 13)}…` : name);
    label.append(svg("title", {}, name));
    drawing.append(label, bar);
  }
  drawing.append(svg("line", { class: "zero", x1: middle, x2: middle, y1: 0, y2: pairs.length * row }));
  return figure;
}
