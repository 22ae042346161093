// Client of the public API, typed by its own description; the page uses nothing else.

import createClient, { type Middleware } from "openapi-fetch";
import type { paths } from "./schema";
import { connection } from "$/state/connection.svelte";
import { session } from "$/state/session.svelte";

const KEY = "key";
const WANTS_KEY = "This service wants a key.";
const KNOWN = "key-known"; // said of a key that the service has let in
const CHECKED_BY = "/jobs?limit=1"; // what every key may read
const AGAIN_MS = 200;

/** A request that the service refused, with its words and the fields that it names. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(problem.errors?.map(({ loc, msg }) => [...loc, msg].join(": ")).join("\n") || problem.detail);
  }
}

/** Status of a request beyond a quota. */
export const QUOTA = 429;

/** Whether the service would refuse the same request again: neither a quota, which is free later, nor trouble of its own. */
export const isRefused = (error: unknown): error is Refused =>
  error instanceof Refused && error.status < 500 && error.status !== QUOTA;

export interface Problem {
  detail: string;
  title?: string;
  code?: string;
  errors?: { loc: (string | number)[]; msg: string }[];
  [more: string]: unknown;
}

/** Uses this API key until the tab is closed; one request tells whether the service knows it. */
export async function tryKey(key: string): Promise<boolean> {
  sessionStorage.setItem(KEY, key);
  sessionStorage.removeItem(KNOWN);
  tried = undefined;
  refusedKey = null;
  const { status } = await send(new Request(CHECKED_BY));
  connection.isKeyUnknown = status === 401;
  return status !== 401;
}

export const hasKey = (): boolean => Boolean(sessionStorage.getItem(KEY));

/** Headers with the key, if there is one. A header has bytes; the service reads the key as UTF-8. */
export function authorization(): Record<string, string> {
  const key = sessionStorage.getItem(KEY);
  if (!key || key === refusedKey) return {};
  return { Authorization: `Bearer ${String.fromCharCode(...new TextEncoder().encode(key))}` };
}

async function refused(response: Response): Promise<Refused> {
  const problem: Problem = await response.json().catch(() => ({ detail: response.statusText || "no answer" }));
  if (response.status === 401) problem.detail = WANTS_KEY;
  return new Refused(response.status, problem);
}

let tried: { key: string; isKnown: Promise<boolean> } | undefined;
let refusedKey: string | null = null;

/**
 * Sends a request with the key, if there is one. Wrong keys lock out everybody who comes from the same address. So one
 * request alone is under way until the service has known the key, and none is sent with a key that it has refused.
 */
export async function send(wanted: Request): Promise<Response> {
  const key = sessionStorage.getItem(KEY);
  if (!key) return answer(wanted);
  if (key === refusedKey) {
    refuseKey();
    return Response.json({ detail: WANTS_KEY }, { status: 401 });
  }
  for (const [name, value] of Object.entries(authorization())) wanted.headers.set(name, value);
  if (tried?.key === key) {
    // False where the one that went ahead was refused, or had no answer.
    if (!(await tried.isKnown)) return send(wanted);
    const response = await answer(wanted);
    if (response.status === 401) refuseKey();
    return response;
  }
  let tell: (isKnown: boolean) => void = () => undefined;
  tried = { key, isKnown: new Promise((resolve) => (tell = resolve)) };
  try {
    const response = await answer(wanted);
    if (response.status === 401) refuseKey();
    else sessionStorage.setItem(KNOWN, "yes");
    tell(response.status !== 401);
    return response;
  } catch (error) {
    tried = undefined;
    tell(false);
    throw error;
  }
}

/** Says that the service refuses the key that is used. */
export function refuseKey(): void {
  refusedKey = sessionStorage.getItem(KEY);
  if (sessionStorage.getItem(KNOWN)) connection.hasKeyEnded = true;
  else connection.isKeyUnknown = true;
}

/** A request to any path; throws Refused for an error status. */
export async function request(path: string, options: RequestInit = {}): Promise<Response> {
  const response = await reach(new Request(path, options));
  if (!response.ok) throw await refused(response);
  return response;
}

// Every request passes here, so that one place knows whether the service can be reached.
async function reach(wanted: Request): Promise<Response> {
  // What somebody has done is not lost when their session or key ends: it waits until they are let in again. Files do not.
  const wasIn = hasKey() ? sessionStorage.getItem(KNOWN) !== null : session.name !== "";
  const again = wasIn && isSmall(wanted) ? wanted.clone() : undefined;
  try {
    const response = await send(wanted);
    connection.reached();
    if (response.status !== 401) return response;
    if (!again) connection.keyWanted = true;
    else if (await connection.ask()) return await reach(again);
    return response;
  } catch (error) {
    if (error instanceof TypeError && !wanted.signal.aborted) connection.lost();
    throw error;
  }
}

// A browser gives up every request under way when the computer changes its network. One that only reads is sent again.
async function answer(wanted: Request): Promise<Response> {
  try {
    return await fetch(wanted);
  } catch (error) {
    if (wanted.method !== "GET" || wanted.signal.aborted) throw error;
    await new Promise((passed) => setTimeout(passed, AGAIN_MS));
    return fetch(wanted);
  }
}

const isSmall = (wanted: Request): boolean =>
  wanted.method === "GET" || !wanted.headers.get("Content-Type")?.startsWith("multipart/");

const failing: Middleware = {
  async onResponse({ response }) {
    if (!response.ok) throw await refused(response);
  },
};

/** The API by its paths: `await data(api.GET("/jobs/{job_id}", { params: { path: { job_id } } }))`. */
export const api = createClient<paths>({ baseUrl: location.origin, fetch: reach });
api.use(failing);

/** The answer itself: an error status was thrown as Refused. Files, which come as text, are fetched by api/files. */
export async function data<T>(sent: Promise<{ data?: T }>): Promise<Exclude<NonNullable<T>, string>> {
  return (await sent).data as Exclude<NonNullable<T>, string>;
}
