// Numbers as people read them.

const whole = new Intl.NumberFormat();
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

/** 48,842 */
export const count = (value: number): string => whole.format(value);

/** 48.8K, for badges. */
export const briefly = (value: number): string => compact.format(value);

/** 93 %; a share that is not quite 0 or 1 is not shown as such. */
export function percent(share: number, digits = 0): string {
  if (share > 0 && share < 0.5 / 10 ** (digits + 2)) return `< ${(1 / 10 ** digits).toFixed(digits)} %`;
  if (share < 1 && share > 1 - 0.5 / 10 ** (digits + 2)) return `> ${(100 - 1 / 10 ** digits).toFixed(digits)} %`;
  return `${(share * 100).toFixed(digits)} %`;
}

/** Three significant digits: 0.0123, 4.57, 12300. */
export const short = (value: number): string =>
  Number.isInteger(value) && Math.abs(value) < 1e6 ? whole.format(value) : String(Number(value.toPrecision(3)));

/** "1 sample", "2 samples". */
export const counted = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`;
