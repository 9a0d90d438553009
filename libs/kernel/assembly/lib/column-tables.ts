// libs/kernel/assembly/lib/column-tables.ts: the tables of the entropy coder, derived from the frequencies the caller has written.
// tANS: Duda, "Asymmetric numeral systems", 2013 (arXiv 1311.2540). 1,024 states; a symbol of frequency f has f of them.
import {
  COSTS, DECODE_TABLES, ENCODE_STATES, ENCODE_SYMBOLS, ESCAPE, EXPONENT_MAX, FREQUENCIES, POWERS, STATE_BITS, STATES,
  SYMBOLS, TABLES, word,
} from "./column-layout";

/** Where the next place of a symbol is, from that of the one before: odd, so that every place is met, and far from both ends. */
const SPREAD: u32 = 633;
/** Bits of raw class behind an escape. */
const ESCAPE_BITS: f32 = 6;

// An encoder's entry of a symbol: u32 threshold, u32 bits, i32 offset. Frequency 0: bits are NO_SYMBOL.
export const E_THRESHOLD: usize = 0;
export const E_BITS: usize = 4;
export const E_OFFSET: usize = 8;
export const E_BYTES: usize = 12;
export const NO_SYMBOL: u32 = 0xffffffff;

/** Builds all tables. Returns false when a row's frequencies do not sum up to 1,024, or it has no escape. */
export function buildTables(): bool {
  for (let table: u32 = 0; table < TABLES; table++) if (!buildTable(table)) return false;
  let power: f64 = 1;
  for (let e: u32 = 0; e <= EXPONENT_MAX; e++) {
    store<f64>(word(POWERS) + (<usize>e << 3), power);
    power *= 10;
  }
  return true;
}

// @ts-ignore: decorator
@inline
function frequency(table: u32, symbol: u32): u32 {
  return load<u16>(word(FREQUENCIES) + (<usize>(table * SYMBOLS + symbol) << 1));
}

function buildTable(table: u32): bool {
  let total: u32 = 0;
  for (let s: u32 = 0; s < SYMBOLS; s++) total += frequency(table, s);
  if (total != STATES || frequency(table, ESCAPE) == 0) return false;
  const decode = word(DECODE_TABLES) + <usize>(table * STATES * 4);
  const encode = word(ENCODE_STATES) + <usize>(table * STATES * 2);
  // First the symbol of each state, in the table's own memory.
  let place: u32 = 0;
  for (let s: u32 = 0; s < SYMBOLS; s++) {
    const f = frequency(table, s);
    for (let i: u32 = 0; i < f; i++) {
      store<u32>(decode + (<usize>place << 2), s);
      place = (place + SPREAD) & (STATES - 1);
    }
  }
  let before: u32 = 0;
  for (let s: u32 = 0; s < SYMBOLS; s++) {
    const f = frequency(table, s);
    buildSymbol(table, s, f, before, decode, encode);
    before += f;
  }
  return true;
}

/** The states of one symbol, in order, are its numbers f, f + 1, … 2f − 1; a number with fewer bits reads more. */
function buildSymbol(table: u32, s: u32, f: u32, before: u32, decode: usize, encode: usize): void {
  const entry = word(ENCODE_SYMBOLS) + <usize>(table * SYMBOLS + s) * E_BYTES;
  const cost = word(COSTS) + (<usize>(s * TABLES + table) << 2);
  if (f == 0) {
    store<u32>(entry, NO_SYMBOL, E_BITS);
    store<f32>(cost, bitsOf(frequency(table, ESCAPE)) + ESCAPE_BITS);
    return;
  }
  store<f32>(cost, bitsOf(f));
  let most: u32 = 0;
  while ((2 * STATES - 1) >> most >= 2 * f) most++;
  store<u32>(entry, f << most, E_THRESHOLD);
  store<u32>(entry, most, E_BITS);
  store<i32>(entry, <i32>before - <i32>f, E_OFFSET);
  let number = f;
  for (let state: u32 = 0; state < STATES; state++) {
    const at = decode + (<usize>state << 2);
    // What is decoded already has its bit count set.
    if (load<u32>(at) != s) continue;
    const bits = STATE_BITS - (31 - <u32>clz(number));
    store<u16>(encode + (<usize>(before + number - f) << 1), <u16>(state + STATES));
    store<u32>(at, packEntry(s, bits, (number << bits) - STATES));
    number++;
  }
}

/**
 * An entry of a decoder: bits 0–4 symbol, 5–8 how many bits to read, 9–18 what these are added to, 19–28 their mask. FLAGGED tells it
 * from a bare symbol.
 */
function packEntry(symbol: u32, bits: u32, base: u32): u32 {
  return symbol | (bits << 5) | (base << 9) | (((1 << bits) - 1) << 19) | FLAGGED;
}

const FLAGGED: u32 = 0x80000000;

// @ts-ignore: decorator
@inline
export function entrySymbol(entry: u32): u32 {
  return entry & 31;
}

// @ts-ignore: decorator
@inline
export function entryBits(entry: u32): u32 {
  return (entry >> 5) & 15;
}

/** The next state, given the bits that follow. */
// @ts-ignore: decorator
@inline
export function entryNext(entry: u32, bits: u32): u32 {
  return ((entry >> 9) & (STATES - 1)) + ((entry >> 19) & bits & (STATES - 1));
}

/** -log2(f ÷ 1024) to ten binary places, by squaring: a kernel has no logarithm. */
function bitsOf(f: u32): f32 {
  let x = <f64>f / <f64>STATES;
  let bits: f64 = 0;
  while (x < 1) {
    x *= 2;
    bits += 1;
  }
  let place: f64 = 1;
  for (let i = 0; i < 10; i++) {
    x *= x;
    place /= 2;
    if (x >= 2) {
      x /= 2;
      bits -= place;
    }
  }
  return <f32>bits;
}
