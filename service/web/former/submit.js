// The form of a new job.

import { json, post } from "/web/api.js";
import { at, attempt, element, options } from "/web/dom.js";
import * as reading from "/web/reading.js";

const KINDS = { tabular: "Tables", image: "Images", text: "Texts", embedding: "Embeddings" };

/** Set up the form; `submitted` gets the new job. */
export function start(submitted) {
  at("file").addEventListener("change", () => choose(at("file").files));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    at("drop").addEventListener(kind, (event) => {
      event.preventDefault();
      at("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") choose(event.dataTransfer.files);
    });
  }
  at("reference").addEventListener("change", () => {
    at("split-field").hidden = at("reference").value !== "split";
    at("holdout-field").hidden = at("reference").value !== "holdout";
  });
  at("submit").addEventListener("submit", (event) => {
    event.preventDefault();
    if (reading.dataset()) attempt(async () => submitted(await submit()));
  });
  reading.start(() => (at("send").disabled = !reading.dataset()));
}

/** Fill the list of models, grouped by modality. */
export async function models() {
  const { items } = await json("/models");
  const groups = Object.entries(KINDS).map(([modality, label]) => {
    const fitting = items.filter((model) => model.modality === modality);
    return element("optgroup", { label }, ...options(fitting.map((model) => [model.name, model.title])));
  });
  at("model").replaceChildren(...options([["auto", "chosen for the data"]]), ...groups);
}

function choose(files) {
  if (!files.length) return;
  const held = new DataTransfer();
  held.items.add(files[0]);
  at("file").files = held.files;
  at("chosen").textContent = files[0].name;
  attempt(() => reading.read(files[0]));
}

async function submit() {
  at("send").disabled = true;
  try {
    return await post("/jobs", { dataset: reading.dataset().id, ...spec() });
  } finally {
    at("send").disabled = false;
  }
}

function spec() {
  const given = (id) => at(id).value.trim();
  return {
    model: { name: at("model").value || "auto" },
    training: given("epochs") ? { epochs: Number(given("epochs")) } : {},
    reference: reference(at("reference").value),
    glitches: at("plant").checked ? [{ kind: "mislabeled_uniform", rate: 0.1 }] : null,
    ...(given("title") && { name: given("title") }),
  };
}

function reference(kind) {
  if (kind === "split") return { split: at("split").value.trim() };
  return kind === "holdout" ? { holdout: Number(at("holdout").value) / 100 } : null;
}
