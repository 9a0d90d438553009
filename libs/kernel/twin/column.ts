// libs/kernel/twin/column.ts: the column format in plain steps over BigInt: what a header and payload mean, and what a header's
// statistics are. The reference of the tests of libs/kernel/column.ts; FORMAT.md, "Column", says the same in words.
import { FIELD } from "../column-layout.ts";
import { FREQUENCIES } from "../column-tables.ts";

const EXCEPTION_BITS = [
  0x7ff0000000000002n,
  0x7ff8000000000001n,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x8000000000000000n,
];
const NORMAL_NAN = 0x7ff8000000000001n;
const STALE = 0x7ff0000000000002n;
const ESCAPE = 23;

const float = new Float64Array(1);
const word = new BigUint64Array(float.buffer);

/** The bits of a number that is no NaN. */
export function toBits(value: number): bigint {
  float[0] = value;
  return word[0]!;
}

export function toNumber(bits: bigint): number {
  word[0] = bits;
  return float[0]!;
}

const int64 = (x: bigint): bigint => BigInt.asIntN(64, x);
const unzigzag = (z: bigint): bigint => int64((z >> 1n) ^ -(z & 1n));

class Damage extends Error {}

/** Bits from the lowest of the first byte on. */
class BitReader {
  private readonly bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, byte: number) {
    this.bytes = bytes;
    this.at = byte * 8;
  }

  take(count: number): bigint {
    if (this.at + count > this.bytes.length * 8) throw new Damage("stream");
    let value = 0n;
    for (let i = 0; i < count; i++, this.at++) {
      if ((this.bytes[this.at >> 3]! >> (this.at & 7)) & 1) value |= 1n << BigInt(i);
    }
    return value;
  }
}

/** Of each state: its symbol, how many bits to read, and what they are added to. */
type Table = { symbol: number; bits: number; base: number }[];

function buildTable(frequencies: readonly number[]): Table {
  const symbols = new Array<number>(1024).fill(0);
  let place = 0;
  frequencies.forEach((f, s) => {
    for (let i = 0; i < f; i++, place = (place + 633) % 1024) symbols[place] = s;
  });
  const numbers = [...frequencies];
  return symbols.map((symbol) => {
    const number = numbers[symbol]!++;
    let bits = 0;
    while (number << bits < 1024) bits++;
    return { symbol, bits, base: (number << bits) - 1024 };
  });
}

const TABLES = FREQUENCIES.map(buildTable);

/** Differences of one stream, as unsigned numbers of 64 bits. */
function readStream(reader: BitReader, count: number, shift: number, zero: Table, other: Table): bigint[] {
  let state = Number(reader.take(10));
  let table = zero;
  const symbols: number[] = [];
  for (let i = 0; i < count; i++) {
    const entry = table[state]!;
    symbols.push(entry.symbol);
    state = entry.base + Number(reader.take(entry.bits));
    table = entry.symbol === 0 ? zero : other;
  }
  if (state !== 0) throw new Damage("stream");
  const out = symbols.map((symbol) => {
    const s = symbol === ESCAPE ? Number(reader.take(6)) : symbol;
    const bits = shift + s - (s === 0 ? 0 : 1);
    if (bits > 63) throw new Damage("stream");
    return reader.take(bits) | (s === 0 ? 0n : 1n << BigInt(bits));
  });
  reader.at = Math.ceil(reader.at / 8) * 8;
  return out;
}

interface Run {
  from: number;
  to: number;
  bits: bigint;
}

function readExceptions(reader: BitReader, count: number): Run[] {
  const uvarint = (): number => {
    let value = 0;
    for (let i = 0; i < 5; i++) {
      const byte = Number(reader.take(8));
      value += (byte & 127) * 128 ** i;
      if (byte < 128 && value < 2 ** 32) return value;
    }
    throw new Damage("exceptions");
  };
  const runs: Run[] = [];
  let i = 0;
  for (let left = uvarint(); left > 0; left--) {
    const from = i + uvarint();
    i = from + uvarint() + 1;
    const code = Number(reader.take(8));
    if (i > count || code > 5) throw new Damage("exceptions");
    runs.push({ from, to: i, bits: code < 5 ? EXCEPTION_BITS[code]! : reader.take(64) });
  }
  return runs;
}

/** The multiples after the first one, which is 0. */
function undo(differences: readonly bigint[], predictor: number, step: bigint, bias: bigint): bigint[] {
  const out: bigint[] = [];
  const deltas = [0n, 0n, 0n];
  let last = 0n;
  differences.forEach((z, i) => {
    const [a, b, c] = deltas as [bigint, bigint, bigint];
    const median = [a, b, c].sort((x, y) => (x < y ? -1 : x > y ? 1 : 0))[1]!;
    let next: bigint;
    if (predictor === 4) next = unzigzag(z) + bias + step * BigInt(i + 1);
    else if (predictor === 3) next = last + z + step;
    else if (predictor === 2) next = last + unzigzag(z) + a;
    else if (predictor === 1) next = last + unzigzag(z) + median;
    else next = last + unzigzag(z);
    next = int64(next);
    deltas.unshift(int64(next - last));
    deltas.pop();
    last = next;
    out.push(next);
  });
  return out;
}

function integerOf(value: number, power: number, before: bigint): bigint {
  const scaled = value * power;
  if (!(Math.abs(scaled) < 2 ** 53)) return before;
  // Ties go to the even integer, as IEEE's nearest does.
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  return BigInt(rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor);
}

/**
 * The bits of a column's values, or why there are none. `reference`: bits of the reference column's values.
 */
export function decodeColumn(
  header: Uint8Array,
  payload: Uint8Array,
  reference?: readonly bigint[],
): bigint[] | "header" | "exceptions" | "stream" | "length" {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const u32 = (at: number): number => view.getUint32(at, true);
  const i64 = (at: number): bigint => view.getBigInt64(at, true);
  const [kind, flags, exponent] = [header[FIELD.KIND]!, header[FIELD.FLAGS]!, header[FIELD.EXPONENT]!];
  const [predictor, shift] = [header[FIELD.PREDICTOR]!, header[FIELD.SHIFT]!];
  const count = u32(FIELD.COUNT);
  if (count === 0) return "header";
  if (u32(FIELD.PAYLOAD_BYTES) !== payload.length) return "length";
  if (kind > 3) return "header";
  if (kind === 1) {
    if (payload.length > 0 || flags !== 0) return "header";
    return new Array(count).fill(BigInt.asUintN(64, i64(FIELD.BASE)));
  }
  if (kind === 0) {
    if (payload.length !== count * 8 || flags !== 0) return "header";
    const values = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    return Array.from({ length: count }, (_, i) => values.getBigUint64(i * 8, true));
  }
  if (exponent > 22 || flags > 15 || (flags & 12) === 12) return "header";
  if ((flags & 1) !== (reference === undefined ? 0 : 1)) return "header";
  const reader = new BitReader(payload, 0);
  let runs: Run[] = [];
  if ((flags & 2) !== 0) {
    try {
      runs = readExceptions(reader, count);
    } catch {
      return "exceptions";
    }
  }
  try {
    let integers: bigint[];
    const base = i64(FIELD.BASE);
    const step = i64(FIELD.STEP);
    if (kind === 3) {
      const [zero, other] = [TABLES[header[FIELD.TABLE_ZERO]!], TABLES[header[FIELD.TABLE_OTHER]!]];
      if (predictor > 4 || shift > 63 || zero === undefined || other === undefined || count < 2) return "header";
      const multiples = undo(readStream(reader, count - 1, shift, zero, other), predictor, step, i64(FIELD.BIAS));
      integers = [base, ...multiples.map((m) => int64(base + m * i64(FIELD.GCD)))];
    } else integers = Array.from({ length: count }, (_, i) => int64(base + BigInt(i) * step));
    const power = Number(`1e${exponent}`);
    let before = 0n;
    reference?.forEach((bits, i) => {
      before = integerOf(toNumber(bits), power, before);
      integers[i] = int64(integers[i]! + before);
    });
    let values = integers.map((n) => toBits(Number(n) / power));
    if ((flags & 12) !== 0) {
      const table = TABLES[header[FIELD.TABLE_RESIDUAL]!];
      if (table === undefined) return "header";
      const at = integers.map((n, i) => (flags & 8) !== 0 || i === 0 || n !== integers[i - 1]);
      const ulps = readStream(reader, at.filter((x) => x).length, 0, table, table).map(unzigzag);
      let ulp = 0n;
      values = values.map((bits, i) => {
        if (at[i]) ulp = ulps.shift()!;
        return BigInt.asUintN(64, bits + ulp);
      });
    }
    if (reader.at !== payload.length * 8) return "length";
    for (const run of runs) values.fill(run.bits, run.from, run.to);
    return values;
  } catch (error) {
    if (error instanceof Damage) return "stream";
    throw error;
  }
}

export interface ColumnStatistics {
  readonly stales: number;
  readonly nans: number;
  readonly min: number;
  readonly max: number;
  readonly sum: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly firstBits: bigint;
  readonly lastBits: bigint;
  readonly resets: number;
  readonly resetSum: number;
}

/** The statistics of a column with these bits. */
export function statisticsOf(column: readonly bigint[]): ColumnStatistics {
  const at = column.map((_, i) => i).filter((i) => column[i] !== STALE);
  const samples = at.map((i) => toNumber(column[i]!));
  const numbers = samples.filter((v) => !Number.isNaN(v));
  const drops = samples.filter((v, i) => i + 1 < samples.length && samples[i + 1]! < v);
  const isConstant = column.length > 1 && column.every((bits) => bits === column[0]) && numbers.length > 0;
  return {
    stales: column.length - at.length,
    nans: samples.length - numbers.length,
    min: numbers.length === 0 ? Number.NaN : numbers.reduce((a, b) => (b < a ? b : a)),
    max: numbers.length === 0 ? Number.NaN : numbers.reduce((a, b) => (b > a ? b : a)),
    sum: isConstant ? samples[0]! * samples.length : compensatedSum(samples),
    firstIndex: at[0] ?? 0xffffffff,
    lastIndex: at.at(-1) ?? 0xffffffff,
    firstBits: column[at[0] ?? -1] ?? NORMAL_NAN,
    lastBits: column[at.at(-1) ?? -1] ?? NORMAL_NAN,
    resets: drops.length,
    resetSum: drops.reduce((a, b) => a + b, 0),
  };
}

function compensatedSum(values: readonly number[]): number {
  let sum = 0;
  let lost = 0;
  for (const v of values) {
    const next = sum + v;
    if (Math.abs(next) === Number.POSITIVE_INFINITY) lost = 0;
    else if (Math.abs(sum) >= Math.abs(v)) lost += sum - next + v;
    else lost += v - next + sum;
    sum = next;
  }
  return sum + lost;
}
