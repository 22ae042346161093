// Who has signed in on this page, where the service offers it. The session itself is a cookie, which no script can read.

import type { SessionView } from "$/api/types";
import { connection } from "./connection.svelte";

const CHANNEL = "signed-in";
const HOME = "/#/signed-in";

class Session {
  /** Of the person; empty where nobody has signed in. It stays when the session ends, until the page is left. */
  name = $state("");
  isOffered = $state(false);
  readonly #others = new BroadcastChannel(CHANNEL);

  constructor() {
    this.#others.onmessage = () => void this.load();
  }

  async load(): Promise<void> {
    const answer = await fetch("/session").catch(() => undefined);
    if (!answer?.ok) return;
    const found = (await answer.json()) as SessionView;
    this.isOffered = found.offers_sign_in;
    if (!found.signed_in) return;
    const name = found.name ?? "";
    // What one person has begun is not sent in the name of another.
    if (this.name && name !== this.name) location.reload();
    this.name = name;
    if (connection.keyWanted) connection.answered(true);
  }

  /** Where to sign in. Whoever works does so in another tab, so that this one keeps what they have typed. */
  get address(): string {
    const target = this.name ? HOME : location.pathname + location.hash;
    return `/sign-in?return=${encodeURIComponent(target)}`;
  }

  /** Tells the other tabs that somebody has signed in. */
  tell(): void {
    this.#others.postMessage(null);
  }
}

export const session = new Session();
