// The route that is shown. Views read it and change it; the back button works because each change is an entry.

import { address, parse, type Route } from "./route";

class Router {
  route = $state.raw<Route>(parse(location.hash));

  constructor() {
    addEventListener("hashchange", () => (this.route = parse(location.hash)));
    addEventListener("popstate", () => (this.route = parse(location.hash)));
  }

  /** Goes to a route: a new entry of the history. */
  go(path: string[], query: Parameters<typeof address>[1] = {}): void {
    history.pushState(null, "", address(path, query));
    this.route = parse(location.hash);
  }

  /** Changes parameters of the route in place of its entry in the history; `undefined` removes one. */
  change(query: Record<string, string | number | boolean | undefined>, { entry = false } = {}): void {
    const merged = { ...Object.fromEntries(this.route.query), ...query };
    const target = address(this.route.path, merged);
    if (entry) history.pushState(null, "", target);
    else history.replaceState(history.state, "", target);
    this.route = parse(location.hash);
  }
}

export const router = new Router();
