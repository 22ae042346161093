// A file of the page that did not come: the network of this computer changed, or the page was updated while it was open.
// A browser remembers that until the page is loaded anew, which is done here, once the service answers.
{
  const NOT_AGAIN_WITHIN_MS = 10_000;
  const LOOK_EVERY_MS = 500;
  let isReloading = false;

  const reload = async () => {
    const last = Number(sessionStorage.getItem("reloaded"));
    if (isReloading || Date.now() - last < NOT_AGAIN_WITHIN_MS) return;
    isReloading = true;
    while (!(await fetch("/healthz").catch(() => undefined))?.ok) {
      await new Promise((passed) => setTimeout(passed, LOOK_EVERY_MS));
    }
    sessionStorage.setItem("reloaded", String(Date.now()));
    location.reload();
  };

  // What the document itself names. These events do not bubble.
  addEventListener("error", ({ target }) => target instanceof HTMLElement && isPart(target) && reload(), true);
  // What is imported when it is wanted.
  addEventListener("vite:preloadError", reload);

  const isPart = (element) => element.matches("script, link[rel=stylesheet]");
}
