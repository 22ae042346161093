// Loads uPlot, the library of the plots, when the first one is drawn.
import type uPlot from "uplot";

/** uPlot formats numbers by the browser's language, and fails to load where that is no language tag: "en-US@posix" of Chromium under the C locale. */
function nameALanguage(): void {
  try {
    new Intl.NumberFormat(navigator.language);
  } catch {
    Object.defineProperty(navigator, "language", { value: "en-US", configurable: true });
  }
}

export async function loadPlot(): Promise<typeof uPlot> {
  nameALanguage();
  const [{ default: Plot }] = await Promise.all([import("uplot"), import("uplot/dist/uPlot.min.css")]);
  return Plot;
}
