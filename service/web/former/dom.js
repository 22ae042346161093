// Elements and formats. Values from clients become text, never markup.

import { picture } from "/web/api.js";

export const at = (id) => document.getElementById(id);

/** An element with properties, and with elements or text as children; null and false are left out. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [property, value] of Object.entries(properties)) {
    if (property.includes("-") || property === "role") made.setAttribute(property, value);
    else made[property] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function button(label, work, properties = {}) {
  const made = element("button", { type: "button", ...properties }, label);
  made.addEventListener("click", () => attempt(work));
  return made;
}

export const options = (pairs) => pairs.map(([value, text]) => element("option", { value, textContent: text }));

/** Run `work`, and show its error on the page. */
export async function attempt(work) {
  showMessage("");
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") showMessage(error.message);
    return undefined;
  }
}

/** Show a message on the page and in the dialog. */
export function showMessage(text) {
  for (const place of document.querySelectorAll(".message")) place.textContent = text;
}

/** An image that is fetched with the key; `side` is its longest side in pixels. */
export function image(path, side, alt) {
  const made = element("img", { alt, className: "picture" });
  attempt(async () => {
    const url = await picture(`${path}?side=${side}`);
    made.onload = () => {
      URL.revokeObjectURL(url);
      // Small images show their pixels; large ones are smoothed.
      made.classList.toggle("coarse", made.naturalWidth < 64);
    };
    made.src = url;
  });
  return made;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const count = (number) => whole.format(number);
export const percent = (share) => `${(100 * share).toFixed(share > 0.99 && share < 1 ? 1 : 0)} %`;
export const short = (number) => (Number.isInteger(number) ? count(number) : String(Number(number.toPrecision(4))));
export const moment = (text) => new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
export const between = ({ low, high }) => (low === null || high === null ? "" : ` (${count(low)} to ${count(high)})`);

const FIELDS = {
  label: "the label", id: "the sample name", split: "the split", group: "the group", features: "what to learn from", exclude: "leave out",
  kinds: "the kind", missing: "the values that mean missing", decimal: "the decimal mark", day_first: "the order of dates",
};

/** A text of the service without names of the API: advice to send a field is left out, as the page has a control for it. */
export const plainly = (text) =>
  text
    .replace(/[^.;]*\bspec \{.*$/s, "")
    .replace(/; name it as spec\.[^;]*/g, "")
    .replace(/\bspec\.\w+ names it/g, "as you said")
    .replace(/\bspec\.\w+ does not name it/g, "you did not choose it")
    .replace(/\bspec\.(\w+)/g, (_, field) => FIELDS[field] ?? field)
    .trim();

/** A value from a client, as short text. */
export function words(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return short(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
