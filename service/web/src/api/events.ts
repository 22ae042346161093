// Server-sent events, resumed after a lost connection. A hidden tab closes its stream: a browser opens six connections
// to one host, and a person opens more tabs than that.

import { createEventSource, type EventSourceMessage, type FetchLike } from "eventsource-client";
import { send } from "./client";
import { connection } from "$/state/connection.svelte";

export interface Message {
  event: string;
  data: unknown;
}

/**
 * Follows the stream at a path until the returned function is called. `ends` says after which message the service may end
 * it, so that its end is no lost connection. `opened` is called each time that the service has answered: it tells of all that comes from
 * then on.
 */
export function follow(
  path: string,
  take: (message: Message) => void,
  ends?: (message: Message) => boolean,
  opened?: () => void,
): () => void {
  let last: string | undefined;
  let source: { close: () => void } | undefined;
  let over = false;
  let mayEnd = false;

  const close = (): void => {
    source?.close();
    source = undefined;
  };
  const read = ({ event = "message", data, id }: EventSourceMessage): void => {
    last = id ?? last;
    const message = { event, data: data ? JSON.parse(data) : null };
    mayEnd = ends?.(message) ?? false;
    take(message);
  };
  // What is refused is refused again: nothing is retried but a service that is away.
  const answered: FetchLike = async (url, options) => {
    const response = await send(new Request(url, options as RequestInit));
    if (response.status === 401) {
      close();
      void connection.ask().then((isIn) => isIn && open());
    } else if (response.status >= 400 && response.status < 500) {
      over = true;
      close();
    }
    if (!response.ok) throw new Error(`${path} answered ${response.status}`);
    connection.reached();
    opened?.();
    return response;
  };
  const open = (): void => {
    if (over || source || document.hidden) return;
    source = createEventSource({
      url: new URL(path, location.origin),
      ...(last !== undefined && { initialLastEventId: last }),
      fetch: answered,
      onMessage: read,
      // Also after a stream that breaks off, which is no disconnection to the client.
      onScheduleReconnect: () => {
        if (source && !over && !mayEnd) connection.lost();
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
