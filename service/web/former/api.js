// Client of the public API, with the API key if one is set.

let key = sessionStorage.getItem("key") ?? "";

/** Use this API key until the tab is closed. */
export function use(given) {
  key = given;
  sessionStorage.setItem("key", key);
}

// A header has bytes; the service reads the key as UTF-8.
const authorization = () => ({ Authorization: `Bearer ${String.fromCharCode(...new TextEncoder().encode(key))}` });

/** The response of a request. Throws an Error with the API's message for an error status. */
export async function call(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { ...options.headers, ...(key && authorization()) } });
  if (response.ok) return response;
  throw failure(response.status, await response.json().catch(() => ({ detail: response.statusText })));
}

function failure(status, problem) {
  if (status === 401) document.dispatchEvent(new Event("key-wanted"));
  const faults = problem.errors?.map((fault) => [...fault.loc, fault.msg].join(": ")).join("\n");
  return Object.assign(new Error(faults || problem.detail), { problem });
}

/** POST a form and give the answer; `progress` gets the share that is sent, which fetch does not tell. */
export function upload(path, body, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries(key && authorization())) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 1);
    request.onload = () => {
      if (request.status < 400) resolve(request.response);
      else reject(failure(request.status, request.response ?? { detail: request.statusText }));
    };
    request.onerror = () => reject(new Error("The connection to the service was lost. Read the file again."));
    request.onabort = () => reject(new DOMException("replaced", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

export const json = async (path, options) => (await call(path, options)).json();

/** POST a JSON value, or nothing. */
export function post(path, value) {
  const body =
    value === undefined ? {} : { body: JSON.stringify(value), headers: { "Content-Type": "application/json" } };
  return json(path, { method: "POST", ...body });
}

/** Object URL of an image that is fetched with the key. The caller revokes it. */
export const picture = async (path) => URL.createObjectURL(await (await call(path)).blob());

/** Save a response as a file; its name is that of the Content-Disposition header. */
export async function save(path, name = "report.html") {
  const response = await call(path);
  const named = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
  const url = URL.createObjectURL(await response.blob());
  Object.assign(document.createElement("a"), { href: url, download: named?.[1] ?? name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Server-sent events. EventSource sends no key, so the stream is parsed here; a lost connection is resumed. */
export async function* events(path, signal) {
  let last = "0";
  let over = false;
  while (!over) {
    try {
      const response = await call(path, { signal, headers: { "Last-Event-ID": last } });
      for await (const fields of parsed(response.body)) {
        last = fields.id ?? last;
        const data = JSON.parse(fields.data ?? "null");
        over = fields.event === "state" && ["completed", "failed", "cancelled"].includes(data.state);
        yield { event: fields.event, data };
      }
    } catch (error) {
      if (signal.aborted || !(error instanceof TypeError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
}

async function* parsed(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const whole = (buffer + part.value).split("\n\n");
    buffer = whole.pop();
    for (const text of whole)
      yield Object.fromEntries(text.split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)));
  }
}
