// How the samples of a job are laid out: cards, or rows with which columns, in the width that there is.

import { isTrained } from "$/words/datasets";

export interface Shape {
  isCards: boolean;
  isText: boolean;
  /** Rows show what a model said, because the samples themselves are not there. */
  saysClass: boolean;
  /** Rows of a narrow screen: what is in columns elsewhere stands in lines. */
  isStacked: boolean;
  rowHeight: number;
  /** Items in one row. */
  perRow: number;
  /** Lines of a text. */
  lines: number;
  /** Features that have a column each. */
  columns: string[];
  /** Widths of the columns as a value of grid-template-columns. */
  template: string;
}

const GAP = 8;
export const SIZES = { least: 72, usual: 144, most: 320 };
const NARROW = 720;
const CAPTION = 44;
const FIXED = 32 + 60 + 120 + 220 + 132;
const COLUMN = 88;

interface Wanted {
  modality: string;
  features: readonly string[];
  width: number;
  /** Wished width of a card. */
  size: number;
}

/** The layout for a list that is `width` pixels wide. */
export function shapeOf({ modality, features, width, size }: Wanted): Shape {
  const isText = modality === "text";
  const saysClass = !isTrained(modality);
  const isStacked = width < NARROW;
  const lines = isText ? 2 : 1;
  const common = { isText, saysClass, isStacked, lines };
  if (modality === "image") {
    // On a phone one or two cards a row, whatever the slider of a wide screen says.
    const least = width < 480 ? 1 : 2;
    const wished = width < 480 ? Math.max(size, 144) : size;
    const perRow = Math.max(least, Math.floor((width + GAP) / (wished + GAP)));
    const card = (width - (perRow - 1) * GAP) / perRow;
    const rowHeight = Math.round(Math.min(card, size * 1.4) + CAPTION + GAP);
    return { ...common, isCards: true, perRow, rowHeight, columns: [], template: "" };
  }
  if (isStacked) return { ...common, isCards: false, perRow: 1, rowHeight: 104, columns: [...features], template: "" };
  const fitting = Math.max(1, Math.floor((width - FIXED) / COLUMN));
  const columns = isText || saysClass ? [] : features.slice(0, fitting);
  const rest = columns.length ? columns.map(() => `minmax(${COLUMN - 16}px, 1fr)`).join(" ") : "minmax(0, 1fr)";
  return {
    ...common,
    isCards: false,
    perRow: 1,
    rowHeight: isText ? 48 : 36,
    columns,
    template: `32px 60px minmax(80px, 120px) minmax(150px, 220px) 132px ${rest}`,
  };
}
