// The page of the service: drop a file, watch the job, read the ranking. Everything goes over the public API.

const at = (id) => document.getElementById(id);
const FINAL = new Set(["completed", "failed", "cancelled"]);
let key = sessionStorage.getItem("key") ?? "";
let shown = null; // the job on the page
let next = null; // cursor of the next page of its ranking
let following = new AbortController();

async function call(path, options = {}) {
  const headers = { ...(options.headers ?? {}), ...(key && { Authorization: `Bearer ${key}` }) };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ detail: response.statusText }));
  if (response.status === 401) at("access").hidden = false;
  throw new Error(problem.errors?.map((e) => `${e.loc.join(".")}: ${e.msg}`).join("\n") || problem.detail);
}

const json = async (path, options) => (await call(path, options)).json();

async function attempt(work) {
  at("message").textContent = "";
  try {
    await work();
  } catch (error) {
    if (error.name !== "AbortError") at("message").textContent = error.message;
  }
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// ---- submit

function choose(files) {
  if (!files.length) return;
  const held = new DataTransfer();
  held.items.add(files[0]);
  at("file").files = held.files;
  at("chosen").textContent = files[0].name;
}

at("file").addEventListener("change", () => choose(at("file").files));
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  at("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") choose(event.dataTransfer.files);
  });
}

at("submit").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const label = at("label").value.trim();
    const spec = {
      dataset: label ? { label } : {},
      training: at("epochs").value ? { epochs: Number(at("epochs").value) } : {},
      glitches: at("plant").checked ? [{ kind: "mislabeled_uniform", rate: 0.1 }] : null,
    };
    const body = new FormData();
    body.append("spec", JSON.stringify(spec));
    body.append("file", at("file").files[0]);
    at("message").textContent = "Uploading…";
    const job = await json("/jobs", { method: "POST", body });
    at("message").textContent = "";
    await show(job);
    await list();
  });
});

at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  key = at("key").value;
  sessionStorage.setItem("key", key);
  at("access").hidden = true;
  attempt(list);
});

// ---- one job

async function show(job) {
  following.abort();
  following = new AbortController();
  shown = job;
  location.hash = job.id;
  at("job").hidden = false;
  at("ranking").hidden = true;
  at("name").textContent = job.name;
  tell(job.state, job.progress);
  if (!FINAL.has(job.state)) await follow(job, following.signal);
  if (shown.id !== job.id) return;
  shown = await json(job.links.self);
  tell(shown.state, shown.progress);
  if (shown.state === "failed") throw new Error(shown.error.detail);
  if (shown.state === "completed") await rank();
}

function tell(state, progress) {
  at("bar").value = state === "completed" ? 1 : progress.fraction;
  const left = progress.eta_seconds ? `, about ${Math.ceil(progress.eta_seconds)} s left` : "";
  at("progress").textContent = FINAL.has(state) ? state : `${state}: ${progress.detail}${left}`;
  at("cancel").hidden = FINAL.has(state);
}

// EventSource cannot send a key, so the stream is read by hand; a lost connection goes on after the last event seen.
async function follow(job, signal) {
  let state = job.state;
  let last = "0";
  while (!FINAL.has(state)) {
    try {
      const response = await call(job.links.events, { signal, headers: { "Last-Event-ID": last } });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let held = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const events = (held + part.value).split("\n\n");
        held = events.pop();
        for (const text of events) {
          const fields = Object.fromEntries(text.split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)));
          last = fields.id ?? last;
          if (fields.event === "state") state = JSON.parse(fields.data).state;
          if (fields.event === "progress") tell(state, JSON.parse(fields.data));
        }
      }
    } catch (error) {
      if (signal.aborted || !(error instanceof TypeError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
}

at("cancel").addEventListener("click", () => attempt(() => call(`/jobs/${shown.id}/cancel`, { method: "POST" })));

// ---- its ranking

async function rank() {
  const { samples, estimates, signals, warnings } = shown.result;
  at("ranking").hidden = false;
  const doubts = Object.entries(estimates).map(([verdict, estimate]) => `about ${estimate.count} ${verdict}`);
  at("summary").textContent = `${samples} samples ranked, ${doubts.join(", ")}.`;
  at("warnings").replaceChildren(...warnings.map((warning) => element("li", { textContent: warning.detail })));
  at("by").replaceChildren(...signals.map((name) => element("option", { textContent: name })));
  await page(true);
}

function query(more) {
  const wanted = new URLSearchParams({ by: at("by").value, ...more });
  if (at("verdict").value) wanted.set("verdict", at("verdict").value);
  return `/jobs/${shown.id}/suspects?${wanted}`;
}

async function page(first) {
  const found = await json(query({ limit: 25, ...(first ? {} : { cursor: next }) }));
  next = found.next;
  at("more").hidden = next === null;
  if (first) at("rows").replaceChildren();
  at("rows").append(...found.items.map(row));
}

function row(item) {
  const name = element("button", { type: "button", textContent: item.sample.id });
  name.addEventListener("click", () => attempt(() => open(item.sample.links.self)));
  const sample = element("td", {}, name, element("br"), preview(item.sample));
  const planted = item.planted && element("div", { className: "planted", textContent: plantedText(item.planted) });
  return element(
    "tr",
    { className: item.verdict },
    element("td", { textContent: item.rank }),
    sample,
    element("td", {}, item.given_label, ...(planted ? [planted] : [])),
    element("td", { textContent: `${item.suggested_label} (${item.suggested_confidence.toFixed(2)})` }),
    element("td", { textContent: item.score.toPrecision(4) }),
    element("td", { textContent: item.verdict }),
  );
}

function plantedText(planted) {
  return planted.kind.startsWith("mislabeled") ? `was ${planted.original_label}` : planted.kind;
}

function preview(sample) {
  const parts = Object.entries(sample.preview).map(([name, value]) => `${name}: ${value ?? "–"}`);
  const isImage = sample.links.media && "width" in sample.preview;
  return isImage ? image(sample.links.media, parts.join(", ")) : element("small", { textContent: parts.join(", ") });
}

function image(path, alt) {
  const made = element("img", { alt });
  // The picture needs the key as well, so it is fetched by hand.
  attempt(async () => {
    made.src = URL.createObjectURL(await (await call(path)).blob());
    made.onload = () => URL.revokeObjectURL(made.src);
  });
  return made;
}

async function open(path) {
  const sample = await json(path);
  at("sample-name").textContent = sample.id;
  at("reason").textContent = sample.reason;
  const pictured = sample.links.media && Object.values(sample.features).some((value) => value?.width);
  at("media").replaceChildren(...(pictured ? [image(sample.links.media, sample.id)] : []));
  const facts = [
    ...Object.entries(sample.features).map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : value]),
    ...Object.entries(sample.signals).map(([name, signal]) => [name, `${signal.value.toPrecision(4)}, rank ${signal.rank}`]),
    ...["opposing", "supporting"].map((side) => [side, sample[side].map((one) => `${one.id} (${one.label})`).join(", ") || "none"]),
  ];
  at("features").replaceChildren(
    ...facts.flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", { textContent: value ?? "–" })]),
  );
  at("sample").showModal();
}

for (const id of ["by", "verdict"]) at(id).addEventListener("change", () => attempt(() => page(true)));
at("more").addEventListener("click", () => attempt(() => page(false)));
at("download").addEventListener("click", () =>
  attempt(async () => {
    const url = URL.createObjectURL(await (await call(query({ format: "csv" }))).blob());
    element("a", { href: url, download: `${shown.name}-${at("by").value}.csv` }).click();
    URL.revokeObjectURL(url);
  }),
);

// ---- all jobs

async function list() {
  const { items } = await json("/jobs?limit=20");
  at("jobs").replaceChildren(
    ...items.map((job) => {
      const open = element("button", { type: "button", textContent: job.name });
      open.addEventListener("click", () => attempt(async () => show(await json(job.links.self))));
      return element("li", {}, open, ` ${job.state}, ${new Date(job.created_at).toLocaleString()}`);
    }),
  );
}

attempt(async () => {
  await list();
  if (location.hash) await show(await json(`/jobs/${location.hash.slice(1)}`));
});
