// A frame drawn with the mouse over a grid; what it touches is selected.

export interface Frame {
  left: number;
  top: number;
  width: number;
  height: number;
}

// A hand that clicks moves a little.
const SLACK = 6;

/** Follows a drag that begins with `start`. `drawn` gets the frame in pixels of the window, null at its end. */
export function drawFrame(
  start: PointerEvent,
  drawn: (frame: Frame | null, touched: (element: Element) => boolean) => void,
): void {
  let isDrawing = false;
  let frame: Frame = { left: start.clientX, top: start.clientY, width: 0, height: 0 };
  const touched = (element: Element): boolean => {
    const box = element.getBoundingClientRect();
    return (
      box.left < frame.left + frame.width &&
      box.right > frame.left &&
      box.top < frame.top + frame.height &&
      box.bottom > frame.top
    );
  };
  const move = ({ clientX, clientY }: PointerEvent): void => {
    isDrawing ||= Math.hypot(clientX - start.clientX, clientY - start.clientY) > SLACK;
    if (!isDrawing) return;
    frame = {
      left: Math.min(start.clientX, clientX),
      top: Math.min(start.clientY, clientY),
      width: Math.abs(clientX - start.clientX),
      height: Math.abs(clientY - start.clientY),
    };
    drawn(frame, touched);
  };
  const end = (): void => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", end);
    removeEventListener("pointercancel", end);
    if (!isDrawing) return;
    drawn(null, touched);
    // The click that ends a drag opens nothing.
    const swallow = (event: Event): void => event.stopPropagation();
    addEventListener("click", swallow, { capture: true, once: true });
    setTimeout(() => removeEventListener("click", swallow, { capture: true }));
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", end);
  addEventListener("pointercancel", end);
}
