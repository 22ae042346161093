// Files that are sent and saved.

import { authorization, hasKey, Refused, refuseKey, request, type Problem } from "./client";
import { connection } from "$/state/connection.svelte";

/** POST a form; `progress` gets the share that is sent, which fetch does not tell. */
export function upload<T>(
  path: string,
  body: FormData,
  progress: (share: number) => void,
  signal?: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    sent.open("POST", path);
    for (const [name, value] of Object.entries(authorization())) sent.setRequestHeader(name, value);
    sent.responseType = "json";
    sent.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 1);
    sent.onload = () => {
      if (sent.status === 401) {
        if (hasKey()) refuseKey();
        connection.keyWanted = true;
      }
      if (sent.status < 400) resolve(sent.response as T);
      else reject(new Refused(sent.status, (sent.response as Problem | null) ?? { detail: sent.statusText }));
    };
    sent.onerror = () =>
      reject(new Error("The connection to the service was lost while the file was sent. Send it again."));
    sent.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal?.addEventListener("abort", () => sent.abort());
    sent.send(body);
  });
}

/** Saves an answer as a file, and throws Refused where there is none. Without a key the browser streams it to disk itself; a link sends no key. */
export async function save(path: string): Promise<void> {
  if (!hasKey()) {
    await check(path);
    return start(path, "");
  }
  const response = await request(path);
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1];
  const url = URL.createObjectURL(await response.blob());
  start(url, name ?? /[^/?]+(?=$|\?)/.exec(path)?.[0] ?? "file");
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// A link tells the page nothing of its answer, and a refusal would be saved as a file. No more than the headers is read.
async function check(path: string): Promise<void> {
  const headers = new AbortController();
  await request(path, { signal: headers.signal, cache: "no-store" });
  headers.abort();
}

/** Opens a page of the service beside this one; with a key, which a link does not send, it is saved instead. */
export async function openPage(path: string): Promise<void> {
  if (hasKey()) await save(path);
  else open(path, "_blank", "noopener");
}

function start(href: string, download: string): void {
  Object.assign(document.createElement("a"), { href, download }).click();
}

/** Fetches an image as an object URL, which the caller revokes; null where the address itself will do. */
export const keyedImage = (): ((path: string) => Promise<string>) | null =>
  hasKey() ? async (path) => URL.createObjectURL(await (await request(path)).blob()) : null;
