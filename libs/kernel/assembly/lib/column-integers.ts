// libs/kernel/assembly/lib/column-integers.ts: values as integers n ÷ 10^e plus a few ulps, bit for bit, and back.
// One IEEE division of exact numbers is correctly rounded (Clinger 1990), so a decimal of up to 15 digits comes back exactly; sums
// and products of decimals are off by an ulp or two, which the residual holds. All else is an exception.
import { EXCEPTION, EXPONENT_MAX, INTEGERS, POWERS, RESIDUALS, word } from "./column-layout";

/** Integers that are not scaled: differences of differences stay below 2^63. */
const UNSCALED_MAX: f64 = 288230376151711744; // 2^58
const SCALED_MAX: f64 = 9007199254740992; // 2^53
/** A value that near is taken for a decimal that arithmetic has blurred. */
const NEAR_ULPS: i64 = 32;
/** The greatest residual that is stored as one. */
const RESIDUAL_MAX: i64 = 1 << 30;
export const NO_EXPONENT: u32 = 0xffffffff;

/** What takeIntegers found. */
export let exceptionCount: u32 = 0;
export let residualCount: u32 = 0;
/** Whether a residual differs from the one before although the integer does not. */
export let residualsEverywhere: bool = false;

// @ts-ignore: decorator
@inline
export function powerOf(e: u32): f64 {
  return load<f64>(word(POWERS) + (<usize>e << 3));
}

// @ts-ignore: decorator
@inline
function limitOf(e: u32): f64 {
  return e == 0 ? UNSCALED_MAX : SCALED_MAX;
}

// @ts-ignore: decorator
@inline
function ulpsBetween(value: f64, integer: f64, power: f64): i64 {
  return reinterpret<i64>(value) - reinterpret<i64>(integer / power);
}

// @ts-ignore: decorator
@inline
function isNear(value: f64, power: f64, limit: f64): bool {
  if (power == 1) return nearest(value) == value && abs(value) < limit;
  const scaled = value * power;
  if (!(abs(scaled) < limit)) return false;
  const ulps = ulpsBetween(value, nearest(scaled), power);
  return ulps <= NEAR_ULPS && ulps >= -NEAR_ULPS;
}

/**
 * The least exponent with which all values but a few are near n ÷ 10^e; NO_EXPONENT when more than an eighth are not.
 * Values that are not finite count for nothing.
 */
export function chooseExponent(values: usize, count: u32): u32 {
  let e: u32 = 0;
  let power: f64 = 1;
  let limit = limitOf(0);
  let misses: u32 = 0;
  const missesMax = count >> 3;
  let before: u64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const value = load<f64>(values + (<usize>i << 3));
    if (reinterpret<u64>(value) == before || isNear(value, power, limit) || !(abs(value) < Infinity)) continue;
    before = reinterpret<u64>(value);
    let up = e + 1;
    while (up <= EXPONENT_MAX && !isNear(value, powerOf(up), SCALED_MAX)) {
      // Beyond the limit it stays beyond.
      if (abs(value) * powerOf(up) >= SCALED_MAX) up = EXPONENT_MAX;
      up++;
    }
    if (up > EXPONENT_MAX) {
      if (before == NEGATIVE_ZERO) continue;
      if (++misses > missesMax) return NO_EXPONENT;
      continue;
    }
    e = up;
    power = powerOf(e);
    limit = limitOf(e);
  }
  return e;
}

const NEGATIVE_ZERO: u64 = 0x8000000000000000;

/**
 * Writes the integers and residuals of all values. An exception repeats the integer before it, at the beginning the first one that
 * follows. Returns false when there is none at all.
 */
export function takeIntegers(values: usize, count: u32, e: u32): bool {
  const power = powerOf(e);
  const limit = limitOf(e);
  const integers = word(INTEGERS);
  const residuals = word(RESIDUALS);
  exceptionCount = 0;
  residualCount = 0;
  residualsEverywhere = false;
  let previous: i64 = 0;
  let residualBefore: i32 = 0;
  let started: u32 = count;
  for (let i: u32 = 0; i < count; i++) {
    const value = load<f64>(values + (<usize>i << 3));
    const scaled = value * power;
    let integer = previous;
    let residual = EXCEPTION;
    if (abs(scaled) < limit) {
      // −0 rounds to −0, which no integer is.
      const rounded = nearest(scaled) + 0;
      const ulps = e == 0 ? reinterpret<i64>(value) - reinterpret<i64>(rounded) : ulpsBetween(value, rounded, power);
      if (ulps <= RESIDUAL_MAX && ulps >= -RESIDUAL_MAX) {
        integer = <i64>rounded;
        residual = <i32>ulps;
      }
    }
    if (residual == EXCEPTION) exceptionCount++;
    else {
      if (started == count) {
        started = i;
        for (let j: u32 = 0; j < i; j++) store<i64>(integers + (<usize>j << 3), integer);
        previous = integer;
      }
      // An exception keeps the integer and the residual before it; before all there is a residual of 0.
      if (i != 0 && integer == previous && residual != residualBefore) residualsEverywhere = true;
      if (residual != 0) residualCount++;
      residualBefore = residual;
    }
    previous = integer;
    store<i64>(integers + (<usize>i << 3), integer);
    store<i32>(residuals + (<usize>i << 2), residual);
  }
  return started != count;
}

/**
 * The integer that a value of a reference column stands for: what rounds it, the one before where it is no number or too great.
 * Encoder and decoder compute it alike.
 */
// @ts-ignore: decorator
@inline
export function referenceInteger(value: f64, power: f64, before: i64): i64 {
  const scaled = value * power;
  return abs(scaled) < SCALED_MAX ? <i64>nearest(scaled) : before;
}

/** Writes n ÷ 10^e of the integers to out. */
export function giveValues(out: usize, count: u32, e: u32): void {
  const power = powerOf(e);
  let p = word(INTEGERS);
  const end = p + (<usize>count << 3);
  if (e == 0) {
    for (; p < end; p += 8, out += 8) store<f64>(out, <f64>load<i64>(p));
  } else {
    for (; p < end; p += 8, out += 8) store<f64>(out, <f64>load<i64>(p) / power);
  }
}

/** Adds ulps to the values: where the integer changes, or everywhere, those in `ulps` (i64, zig-zag), else those of the value before. */
export function addResiduals(out: usize, count: u32, ulps: usize, everywhere: bool): void {
  const integers = word(INTEGERS);
  let residual: i64 = 0;
  let previous: i64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const at = <usize>i << 3;
    const integer = load<i64>(integers + at);
    if (everywhere || i == 0 || integer != previous) {
      const z = load<u64>(ulps);
      residual = <i64>(z >> 1) ^ -<i64>(z & 1);
      ulps += 8;
    }
    previous = integer;
    store<i64>(out + at, load<i64>(out + at) + residual);
  }
}

/** How many residuals a column of these integers has. */
export function countResiduals(count: u32, everywhere: bool): u32 {
  if (everywhere) return count;
  let n: u32 = 1;
  let p = word(INTEGERS);
  const end = p + (<usize>count << 3);
  let previous = load<i64>(p);
  for (p += 8; p < end; p += 8) {
    const integer = load<i64>(p);
    n += <u32>(integer != previous);
    previous = integer;
  }
  return n;
}
