// Addresses of the page, kept in the fragment: #/jobs/job_1/suspects?by=si. The paths before it belong to the API.

export interface Route {
  path: string[];
  query: URLSearchParams;
}

/** Parses a fragment. `#job_1`, the address of earlier versions, is the job itself. */
export function parse(fragment: string): Route {
  const text = fragment.replace(/^#/, "");
  if (/^job_\w+$/.test(text)) return { path: ["jobs", text], query: new URLSearchParams() };
  const [path = "", query = ""] = text.split(/\?(.*)/s);
  return { path: path.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
}

/** The fragment of a route. Parameters that are undefined, null or empty are left out. */
export function address(
  path: string[],
  query: Record<string, string | number | boolean | null | undefined> = {},
): string {
  const kept = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const parameters = new URLSearchParams(kept.map(([name, value]) => [name, String(value)])).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${parameters && `?${parameters}`}`;
}
