// libs/kernel/assembly/lib/column-choose.ts: how a column of integers is coded best: reference, gcd, predictor, shift and tables.
// Costs are in bits. A class is the bit length of what a predictor leaves; the shift k takes the lowest k bits out of it.
import {
  CLASS_MAX, CLASSES, COSTS, DIFFERENCES, ESCAPE, HISTOGRAMS, INTEGERS, KIND_CODED, KIND_LINEAR, MULTIPLES,
  PREDICT_DELTA, PREDICT_FLOOR, PREDICT_LINE, PREDICT_MEDIAN, PREDICT_SLOPE, STREAM, SYMBOLS, TABLES, word,
} from "./column-layout";
import { powerOf, referenceInteger } from "./column-integers";

/** What plan and chooseStream found. */
export let kind: u32 = 0;
export let predictor: u32 = 0;
export let base: i64 = 0;
export let step: i64 = 0;
export let bias: i64 = 0;
export let divisor: u64 = 1;
export let shift: u32 = 0;
export let tableZero: u32 = 0;
export let tableOther: u32 = 0;
export let cost: f32 = 0;

/** A step or a bias is a field more in the header. */
const FIELD_BITS: f32 = 12;
/** Predictors whose bit lengths sum up to more than this above the best are not looked at. */
const WORSE_BITS: u64 = 16;
/** How many values, evenly spaced, a median is estimated from. */
const PROBES: u32 = 31;

// @ts-ignore: decorator
@inline
export function zigzag(d: i64): u64 {
  return <u64>((d << 1) ^ (d >> 63));
}

// @ts-ignore: decorator
@inline
export function median3(a: i64, b: i64, c: i64): i64 {
  const low = a < b ? a : b;
  const high = a < b ? b : a;
  const most = high < c ? high : c;
  return low > most ? low : most;
}

// @ts-ignore: decorator
@inline
function lengthOf(z: u64): u64 {
  return 64 - clz(z);
}

/**
 * Plans a column of `count` ≥ 2 integers. With a reference (0: none) what is planned is their distance to it. `cost` is that of the
 * streams; 0 for a linear column.
 */
export function plan(count: u32, reference: usize, exponent: u32): void {
  takeMultiples(count, reference, exponent);
  step = 0;
  bias = 0;
  kind = KIND_LINEAR;
  cost = 0;
  const m = word(MULTIPLES);
  const end = m + (<usize>count << 3);
  let least = load<i64>(m, 8);
  let greatest = least;
  let previous = least;
  for (let p = m + 16; p < end; p += 8) {
    const v = load<i64>(p);
    const d = v - previous;
    previous = v;
    least = d < least ? d : least;
    greatest = d > greatest ? d : greatest;
  }
  if (least == greatest) {
    // A gcd of the increments makes the step 1 or 0 here.
    step = least;
    return;
  }
  kind = KIND_CODED;
  choosePredictor(m, count, least);
}

/** (n − reference − base) ÷ gcd of all integers; base makes the first one 0. */
function takeMultiples(count: u32, reference: usize, exponent: u32): void {
  const integers = word(INTEGERS);
  const m = word(MULTIPLES);
  const end = integers + (<usize>count << 3);
  const power = powerOf(exponent);
  let at = m;
  let other: i64 = 0;
  let common: u64 = 0;
  let previous: i64 = 0;
  for (let p = integers; p < end; p += 8, at += 8) {
    let v = load<i64>(p);
    if (reference != 0) {
      other = referenceInteger(load<f64>(reference + (p - integers)), power, other);
      v -= other;
    }
    if (p == integers) {
      base = v;
      previous = v;
    }
    const d = v - previous;
    previous = v;
    if (common != 1 && d != 0) common = commonDivisor(<u64>(d < 0 ? -d : d), common);
    store<i64>(at, v - base);
  }
  divisor = common == 0 ? 1 : common;
  if (divisor == 1) return;
  // All are multiples, so the quotient is a product with the inverse of the odd part, modulo 2^64.
  const twos = ctz(divisor);
  const odd = divisor >> twos;
  let inverse = odd;
  for (let i = 0; i < 5; i++) inverse *= 2 - odd * inverse;
  for (let p = m; p < at; p += 8) store<i64>(p, (load<i64>(p) >> twos) * <i64>inverse);
}

function commonDivisor(a: u64, b: u64): u64 {
  if (b == 0) return a;
  while (a != 0) {
    // A division of 32 bits takes a third of the time.
    const rest = (a | b) >> 32 == 0 ? <u64>(<u32>b % <u32>a) : b % a;
    b = a;
    a = rest;
  }
  return b;
}

/** An estimate of the median of multiples − i × slope. */
function probeMedian(m: usize, count: u32, slope: i64): i64 {
  // Sorted by insertion, in memory that is free until the streams are written.
  const sorted = word(STREAM);
  const probes = min(PROBES, count);
  for (let i: u32 = 0; i < probes; i++) {
    const at = <u32>((<u64>i * (count - 1)) / max(probes - 1, 1));
    const v = load<i64>(m + (<usize>at << 3)) - <i64>at * slope;
    let place = sorted + (<usize>i << 3);
    for (; place > sorted && load<i64>(place - 8) > v; place -= 8) store<i64>(place, load<i64>(place - 8));
    store<i64>(place, v);
  }
  return load<i64>(sorted + (<usize>(probes >> 1) << 3));
}

/** Predictors to choose from: the five, and the line with a slope. */
const CANDIDATES: u32 = 6;
const CANDIDATE_SLOPED: u32 = 5;

/** Sums up the bit lengths that each predictor would leave, and costs the best three exactly. */
function choosePredictor(m: usize, count: u32, floor: i64): void {
  const end = m + (<usize>count << 3);
  const level = probeMedian(m, count, 0);
  const slope = <i64>nearest(<f64>load<i64>(end - 8) / <f64>(count - 1));
  const line = slope != 0 ? probeMedian(m, count, slope) : 0;
  let delta: u64 = 0;
  let median: u64 = 0;
  let change: u64 = 0;
  let above: u64 = 0;
  let level0: u64 = 0;
  let sloped: u64 = 0;
  let previous: i64 = 0;
  let d1: i64 = 0;
  let d2: i64 = 0;
  let d3: i64 = 0;
  let along = line;
  for (let p = m + 8; p < end; p += 8) {
    const v = load<i64>(p);
    const d = v - previous;
    previous = v;
    along += slope;
    delta += lengthOf(zigzag(d));
    median += lengthOf(zigzag(d - median3(d1, d2, d3)));
    change += lengthOf(zigzag(d - d1));
    above += lengthOf(<u64>(d - floor));
    level0 += lengthOf(zigzag(v - level));
    sloped += lengthOf(zigzag(v - along));
    d3 = d2;
    d2 = d1;
    d1 = d;
  }
  const sums = word(HISTOGRAMS) + 768;
  store<u64>(sums, delta);
  store<u64>(sums, median, 8);
  store<u64>(sums, change, 16);
  store<u64>(sums, above, 24);
  store<u64>(sums, level0, 32);
  store<u64>(sums, slope != 0 ? sloped : u64.MAX_VALUE, 40);
  cost = Infinity;
  const best = costLeast(sums, 0, m, count, floor, level, line, slope);
  const limit = best + (best >> 3) + WORSE_BITS;
  for (let i = 0; i < 2; i++) costLeast(sums, limit, m, count, floor, level, line, slope);
}

/** Costs the candidate with the least sum, unless that exceeds `limit` (0: none), and takes it out. Returns its sum. */
function costLeast(
  sums: usize, limit: u64, m: usize, count: u32, floor: i64, level: i64, line: i64, slope: i64,
): u64 {
  let best: u32 = 0;
  for (let c: u32 = 1; c < CANDIDATES; c++) {
    if (load<u64>(sums + (<usize>c << 3)) < load<u64>(sums + (<usize>best << 3))) best = c;
  }
  const sum = load<u64>(sums + (<usize>best << 3));
  store<u64>(sums + (<usize>best << 3), u64.MAX_VALUE);
  if (limit != 0 && sum > limit) return sum;
  const sloped = best == CANDIDATE_SLOPED;
  const chosen = sloped ? PREDICT_LINE : best;
  const itsStep = sloped ? slope : chosen == PREDICT_FLOOR ? floor : 0;
  const itsBias = sloped ? line : chosen == PREDICT_LINE ? level : 0;
  takeDifferences(m, count, chosen, itsStep, itsBias);
  classify(count - 1);
  const before = cost;
  const fields: f32 = chosen == PREDICT_FLOOR || chosen == PREDICT_LINE ? FIELD_BITS : 0;
  const oldShift = shift;
  const oldZero = tableZero;
  const oldOther = tableOther;
  const bits = chooseStream(count - 1) + fields;
  if (bits < before) {
    cost = bits;
    predictor = chosen;
    step = itsStep;
    bias = itsBias;
  } else {
    shift = oldShift;
    tableZero = oldZero;
    tableOther = oldOther;
  }
  return sum;
}

/** Writes what predictor `p` leaves of the multiples after the first to DIFFERENCES. */
export function takeDifferences(m: usize, count: u32, p: u32, itsStep: i64, itsBias: i64): void {
  let out = word(DIFFERENCES);
  const end = m + (<usize>count << 3);
  let previous: i64 = 0;
  if (p == PREDICT_DELTA || p == PREDICT_FLOOR) {
    for (let at = m + 8; at < end; at += 8, out += 8) {
      const v = load<i64>(at);
      store<u64>(out, p == PREDICT_DELTA ? zigzag(v - previous) : <u64>(v - previous - itsStep));
      previous = v;
    }
  } else if (p == PREDICT_LINE) {
    let along = itsBias;
    for (let at = m + 8; at < end; at += 8, out += 8) {
      along += itsStep;
      store<u64>(out, zigzag(load<i64>(at) - along));
    }
  } else {
    let d1: i64 = 0;
    let d2: i64 = 0;
    let d3: i64 = 0;
    for (let at = m + 8; at < end; at += 8, out += 8) {
      const v = load<i64>(at);
      const d = v - previous;
      previous = v;
      store<u64>(out, zigzag(d - (p == PREDICT_SLOPE ? d1 : median3(d1, d2, d3))));
      d3 = d2;
      d2 = d1;
      d1 = d;
    }
  }
}

/** Writes the classes of `count` differences, and counts them in the first histogram. */
export function classify(count: u32): void {
  const histogram = word(HISTOGRAMS);
  memory.fill(histogram, 0, 256);
  const differences = word(DIFFERENCES);
  const classes = word(CLASSES);
  for (let i: u32 = 0; i < count; i++) {
    const c = <usize>lengthOf(load<u64>(differences + (<usize>i << 3)));
    store<u8>(classes + i, <u8>c);
    const at = histogram + (c << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
}

let leastTable: u32 = 0;

/** The least cost of the symbols in a histogram over all tables; leastTable is that table. */
function leastCost(histogram: usize): f32 {
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  let row = word(COSTS);
  for (let s: u32 = 0; s < SYMBOLS; s++, row += TABLES * 4) {
    const n = load<u32>(histogram + (<usize>s << 2));
    if (n == 0) continue;
    const times = f32x4.splat(<f32>n);
    a = f32x4.add(a, f32x4.mul(times, v128.load(row)));
    b = f32x4.add(b, f32x4.mul(times, v128.load(row, 16)));
    c = f32x4.add(c, f32x4.mul(times, v128.load(row, 32)));
    d = f32x4.add(d, f32x4.mul(times, v128.load(row, 48)));
  }
  const out = word(HISTOGRAMS) + 832;
  v128.store(out, a);
  v128.store(out, b, 16);
  v128.store(out, c, 32);
  v128.store(out, d, 48);
  let least = load<f32>(out);
  leastTable = 0;
  for (let t: u32 = 1; t < TABLES; t++) {
    const bits = load<f32>(out + (<usize>t << 2));
    if (bits < least) {
      least = bits;
      leastTable = t;
    }
  }
  return least;
}

/**
 * Chooses shift and tables for the classes of `count` differences, whose histogram is the first one. Returns their cost in bits.
 * The two shifts that are best without contexts are tried with them.
 */
export function chooseStream(count: u32): f32 {
  const histogram = word(HISTOGRAMS);
  const folded = histogram + 256;
  let low: u32 = 0;
  while (load<u32>(histogram + (<usize>low << 2)) == 0) low++;
  let high = CLASS_MAX;
  while (load<u32>(histogram + (<usize>high << 2)) == 0) high--;
  let best: f32 = Infinity;
  let second: f32 = Infinity;
  let bestShift: u32 = 0;
  let secondShift: u32 = 0;
  // Symbols from 22 on are dear, and a shift below the least class by more than a few brings nothing.
  const from = low > 8 ? low - 8 : 0;
  let worse: u32 = 0;
  for (let k = from; k <= high && worse < 3; k++) {
    memory.fill(folded, 0, SYMBOLS * 4);
    const raw = fold(histogram, folded, k, low, high);
    const bits = leastCost(folded) + raw;
    if (bits < best) {
      second = best;
      secondShift = bestShift;
      best = bits;
      bestShift = k;
      worse = 0;
    } else {
      worse++;
      if (bits < second) {
        second = bits;
        secondShift = k;
      }
    }
  }
  const bits = costContexts(count, bestShift);
  if (!(second < best + best / 16)) return bits;
  const zero = tableZero;
  const other = tableOther;
  const bits2 = costContexts(count, secondShift);
  if (bits2 < bits) return bits2;
  shift = bestShift;
  tableZero = zero;
  tableOther = other;
  return bits;
}

/** Adds the classes of a histogram to one of symbols; returns how many raw bits they have. */
function fold(histogram: usize, folded: usize, k: u32, low: u32, high: u32): f32 {
  let raw: u64 = 0;
  for (let c = low; c <= high; c++) {
    const n = load<u32>(histogram + (<usize>c << 2));
    if (n == 0) continue;
    const s = c > k ? c - k : 0;
    raw += <u64>n * <u64>(k + (s > 1 ? s - 1 : 0));
    let symbol = s;
    if (s >= ESCAPE) {
      raw += <u64>n * 6;
      symbol = ESCAPE;
    }
    const at = folded + (<usize>symbol << 2);
    store<u32>(at, load<u32>(at) + n);
  }
  return <f32>raw;
}

/** Sets shift and the best table for either context. Returns the cost. */
function costContexts(count: u32, k: u32): f32 {
  const zeros = word(HISTOGRAMS) + 256;
  memory.fill(zeros, 0, 512);
  const classes = word(CLASSES);
  let raw: u64 = 0;
  let context: usize = 0;
  for (let i: u32 = 0; i < count; i++) {
    const c: u32 = load<u8>(classes + i);
    const s = c > k ? c - k : 0;
    raw += <u64>(k + (s > 1 ? s - 1 : 0));
    let symbol = s;
    if (s >= ESCAPE) {
      raw += 6;
      symbol = ESCAPE;
    }
    const at = zeros + context + (<usize>symbol << 2);
    store<u32>(at, load<u32>(at) + 1);
    // Not a condition: it would be a jump that is hard to foresee.
    context = (<usize>(<i32>(s - 1) >> 31) & 256) ^ 256;
  }
  shift = k;
  let bits = leastCost(zeros);
  tableZero = leastTable;
  bits += leastCost(zeros + 256);
  tableOther = leastTable;
  return bits + <f32>raw;
}

/** The best table for the classes of `count` differences without shift and contexts; cost is set. */
export function chooseTable(count: u32): u32 {
  const folded = word(HISTOGRAMS) + 256;
  memory.fill(folded, 0, SYMBOLS * 4);
  const raw = fold(word(HISTOGRAMS), folded, 0, 0, CLASS_MAX);
  cost = leastCost(folded) + raw;
  return leastTable;
}
