// Server-sent events, resumed after a lost connection. A hidden tab closes its stream: a browser opens six connections
// to one host, and a person opens more tabs than that.

import { createEventSource, type EventSourceMessage } from "eventsource-client";
import { authorization } from "./client";
import { connection } from "$/state/connection.svelte";

export interface Message {
  event: string;
  data: unknown;
}

/** Follows the stream at a path until the returned function is called. `ended` says after which message it is over. */
export function follow(
  path: string,
  take: (message: Message) => void,
  ended?: (message: Message) => boolean,
): () => void {
  let last: string | undefined;
  let source: { close: () => void } | undefined;
  let over = false;

  const close = (): void => {
    source?.close();
    source = undefined;
  };
  const read = ({ event = "message", data, id }: EventSourceMessage): void => {
    last = id ?? last;
    connection.reached();
    const message = { event, data: data ? JSON.parse(data) : null };
    over = ended?.(message) ?? false;
    if (over) close();
    take(message);
  };
  const open = (): void => {
    if (over || source || document.hidden) return;
    source = createEventSource({
      url: new URL(path, location.origin),
      headers: authorization(),
      ...(last !== undefined && { initialLastEventId: last }),
      onMessage: read,
      onDisconnect: () => {
        if (!over) connection.lost();
      },
    });
  };
  const turn = (): void => (document.hidden ? close() : open());

  document.addEventListener("visibilitychange", turn);
  open();
  return () => {
    over = true;
    close();
    document.removeEventListener("visibilitychange", turn);
  };
}
