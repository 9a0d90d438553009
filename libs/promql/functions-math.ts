// libs/promql/functions-math.ts: functions that map every value of an instant vector to another: math, clamp, dates.
import { maxGo, minGo } from "./operators.ts";

/** A function of one number; NaN in, usually NaN out. */
export type NumberFunction = (value: number) => number;

const MATH: ReadonlyMap<string, NumberFunction> = new Map<string, NumberFunction>([
  ["abs", Math.abs],
  ["ceil", Math.ceil],
  ["floor", Math.floor],
  ["exp", Math.exp],
  ["sqrt", Math.sqrt],
  ["ln", Math.log],
  ["log2", Math.log2],
  ["log10", Math.log10],
  ["sin", Math.sin],
  ["cos", Math.cos],
  ["tan", Math.tan],
  ["asin", Math.asin],
  ["acos", Math.acos],
  ["atan", Math.atan],
  ["sinh", Math.sinh],
  ["cosh", Math.cosh],
  ["tanh", Math.tanh],
  ["asinh", Math.asinh],
  ["acosh", Math.acosh],
  ["atanh", Math.atanh],
  ["rad", (degrees) => (degrees * Math.PI) / 180],
  ["deg", (radians) => (radians * 180) / Math.PI],
  ["sgn", (value) => (value < 0 ? -1 : value > 0 ? 1 : value)],
]);

const DATES: ReadonlyMap<string, NumberFunction> = new Map<string, NumberFunction>([
  ["minute", (seconds) => Math.floor(floorMod(seconds, 3600) / 60)],
  ["hour", (seconds) => Math.floor(floorMod(seconds, 86_400) / 3600)],
  ["day_of_week", (seconds) => floorMod(dayNumber(seconds) + 4, 7)],
  ["day_of_month", (seconds) => civil(seconds).day],
  ["day_of_year", (seconds) => civil(seconds).dayOfYear],
  ["days_in_month", (seconds) => daysInMonth(civil(seconds))],
  ["month", (seconds) => civil(seconds).month],
  ["year", (seconds) => civil(seconds).year],
]);

/** The math function of this name, or undefined. */
export function mathFunction(name: string): NumberFunction | undefined {
  return MATH.get(name);
}

/** The date function of this name, of UTC seconds since 1970 (fractions are cut), or undefined. */
export function dateFunction(name: string): NumberFunction | undefined {
  const ofSeconds = DATES.get(name);
  return ofSeconds === undefined ? undefined : (value) => ofSeconds(wholeSeconds(value));
}

/** round(value, nearest): ties upwards. Multiplying by the inverse loses less than dividing. */
export function roundTo(value: number, nearest: number): number {
  const inverse = 1 / nearest;
  return Math.floor(value * inverse + 0.5) / inverse;
}

/** clamp for min ≤ max; with NaN and infinities as Go's math.Min and math.Max treat them. */
export function clampTo(value: number, min: number, max: number): number {
  return maxGo(min, minGo(max, value));
}

interface CivilDate {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly dayOfYear: number;
}

/**
 * The integer part. What does not fit 64 bits, NaN too, becomes the smallest integer on amd64, which lies before the first
 * time that Go can tell and so wraps around to the end of all times.
 */
function wholeSeconds(value: number): number {
  const whole = Math.trunc(value);
  return whole > -(2 ** 63) && whole < 2 ** 63 ? whole : 2 ** 63;
}

function floorMod(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}

function dayNumber(seconds: number): number {
  return Math.floor(seconds / 86_400);
}

/** The proleptic Gregorian date of a time: days are counted in eras of 400 years that begin on a first of March. */
function civil(seconds: number): CivilDate {
  const days = dayNumber(seconds) + 719_468;
  const era = Math.floor(days / 146_097);
  const dayOfEra = days - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayFromMarch = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayFromMarch + 2) / 153);
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const day = dayFromMarch - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const dayOfYear = dayFromMarch >= 306 ? dayFromMarch - 305 : dayFromMarch + 60 + (isLeap(year) ? 1 : 0);
  return { year, month, day, dayOfYear };
}

function isLeap(year: number): boolean {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

function daysInMonth({ year, month }: CivilDate): number {
  if (month === 2) return isLeap(year) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}
