// libs/kernel/twin/walk.ts: remote write messages read field by field into plain objects.
// Twin of assembly/lib/walk*.ts: same series, same counts, same codes and offsets (assembly/lib/codes.ts).

const TRUNCATED = -16;
const VARINT = -17;
const WIRE_TYPE = -18;
const TAG = -19;
const GROUP = -20;
const LIMIT_SERIES = -32;
const LIMIT_SAMPLES = -33;
const LIMIT_SYMBOLS = -34;
const LIMIT_LABELS = -35;
const LIMIT_METADATA = -36;

const TIME_MAX = 2n ** 53n;

export interface WalkedSeries {
  /** The Label fields in a row, as version 1 encodes them. */
  readonly labels: Uint8Array;
  readonly times: readonly number[];
  /** The samples' values as bits. */
  readonly bits: readonly bigint[];
  /** Version 2: metric type, help and unit reference. */
  readonly family: readonly [number, number, number];
}

export interface Walked {
  readonly series: WalkedSeries[];
  readonly metadata: Uint8Array[];
  readonly symbols: Uint8Array[];
  exemplars: number;
  histograms: number;
  /** Start times of samples. */
  starts: number;
  timeRefused: number;
  empty: number;
  refsRefused: number;
  refsRefusedSamples: number;
}

export interface WalkLimits {
  readonly series: number;
  readonly samples: number;
  readonly labelBytes: number;
  readonly metadata: number;
  readonly symbols: number;
}

/** Why a message can't be walked: the kernel's code, and where the malformed field begins (-1 when a limit was met). */
export class WalkError extends Error {
  readonly code: number;
  readonly offset: number;
  constructor(code: number, offset: number) {
    super(`code ${code} at ${offset}`);
    this.code = code;
    this.offset = offset;
  }
}

/** Wire types that a known field may have. */
type KnownFields = Readonly<Record<number, readonly number[]>>;

interface Field {
  readonly start: number;
  readonly number: number;
  readonly wire: number;
  /** Varint value, or fixed64 bits. */
  readonly value: bigint;
  /** Where the content of a bytes field begins and ends; also of the whole field otherwise. */
  readonly from: number;
  readonly to: number;
}

function varint(bytes: Uint8Array, at: number, end: number, fieldAt: number): { value: bigint; next: number } {
  let value = 0n;
  for (let i = 0; ; i++) {
    if (at + i >= end) throw new WalkError(TRUNCATED, fieldAt);
    const byte = bytes[at + i]!;
    if (i === 9 && byte > 1) throw new WalkError(VARINT, fieldAt);
    value |= BigInt(byte & 127) << BigInt(7 * i);
    if (byte < 128) return { value, next: at + i + 1 };
  }
}

/** Reads one field; a group is read to its end, as one field. `known` numbers must have the wire type given for them. */
function readField(bytes: Uint8Array, at: number, end: number, known: KnownFields): Field {
  let field: Field | undefined;
  let depth = 0;
  let p = at;
  do {
    const tag = varint(bytes, p, end, at);
    if (tag.value < 8n || tag.value >= 1n << 32n) throw new WalkError(TAG, at);
    const number = Number(tag.value >> 3n);
    const wire = Number(tag.value & 7n);
    if (field === undefined && known[number] !== undefined && !known[number].includes(wire))
      throw new WalkError(WIRE_TYPE, at);
    const next = tag.next;
    let value = 0n;
    let from = next;
    p = next;
    if (wire === 0) {
      ({ value, next: p } = varint(bytes, next, end, at));
    } else if (wire === 2) {
      const length = varint(bytes, next, end, at);
      if (length.value > BigInt(end - length.next)) throw new WalkError(TRUNCATED, at);
      from = length.next;
      p = from + Number(length.value);
    } else if (wire === 1 || wire === 5) {
      p = next + (wire === 1 ? 8 : 4);
      if (p > end) throw new WalkError(TRUNCATED, at);
      if (wire === 1) value = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(next, true);
    } else if (wire === 3) {
      depth++;
    } else if (wire === 4) {
      if (depth === 0) throw new WalkError(GROUP, at);
      depth--;
    } else {
      throw new WalkError(WIRE_TYPE, at);
    }
    field ??= { start: at, number, wire, value, from, to: p };
  } while (depth > 0);
  return { ...field, to: p };
}

function* fields(bytes: Uint8Array, from: number, to: number, known: KnownFields): Generator<Field> {
  for (let at = from; at < to; ) {
    const field = readField(bytes, at, to, known);
    yield field;
    at = field.to;
  }
}

/** What is being collected, and how much of the limits is used. */
class Walk {
  readonly bytes: Uint8Array;
  readonly limits: WalkLimits;
  readonly result: Walked = {
    series: [],
    metadata: [],
    symbols: [],
    exemplars: 0,
    histograms: 0,
    starts: 0,
    timeRefused: 0,
    empty: 0,
    refsRefused: 0,
    refsRefusedSamples: 0,
  };
  samples = 0;
  gathered = 0;

  constructor(bytes: Uint8Array, limits: WalkLimits) {
    this.bytes = bytes;
    this.limits = limits;
  }

  sample(from: number, to: number, known: KnownFields, times: number[], bits: bigint[]): void {
    let value = 0n;
    let time = 0n;
    for (const field of fields(this.bytes, from, to, known)) {
      if (field.number === 1) value = field.value;
      else if (field.number === 2) time = BigInt.asIntN(64, field.value);
      else if (field.number === 3 && known === V2_SAMPLE && field.value !== 0n) this.result.starts++;
    }
    if (time > TIME_MAX || time < -TIME_MAX) {
      this.result.timeRefused++;
      return;
    }
    if (this.samples >= this.limits.samples) throw new WalkError(LIMIT_SAMPLES, -1);
    this.samples++;
    times.push(Number(time));
    bits.push(value);
  }

  push(series: WalkedSeries): void {
    if (this.result.series.length >= this.limits.series) throw new WalkError(LIMIT_SERIES, -1);
    this.result.series.push(series);
  }

  gather(n: number): void {
    if (this.gathered + n > this.limits.labelBytes) throw new WalkError(LIMIT_LABELS, -1);
    this.gathered += n;
  }
}

const BYTES = [2];
const V1_SERIES = { 1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES };
const V1_SAMPLE = { 1: [1], 2: [0] };
const LABEL = { 1: BYTES, 2: BYTES };

/** Walks a prometheus.WriteRequest. Errors: WalkError. */
export function walkV1(message: Uint8Array, limits: WalkLimits): Walked {
  const walk = new Walk(message, limits);
  for (const field of fields(message, 0, message.length, { 1: BYTES, 3: BYTES })) {
    if (field.number === 1) walkSeriesV1(walk, field.from, field.to);
    if (field.number === 3) {
      if (walk.result.metadata.length >= limits.metadata) throw new WalkError(LIMIT_METADATA, -1);
      walk.result.metadata.push(message.slice(field.from, field.to));
    }
  }
  return walk.result;
}

function walkSeriesV1(walk: Walk, from: number, to: number): void {
  const { bytes, result } = walk;
  const labels: Field[] = [];
  const times: number[] = [];
  const bits: bigint[] = [];
  const refusedBefore = result.timeRefused;
  let histograms = 0;
  let scattered = false;
  for (const field of fields(bytes, from, to, V1_SERIES)) {
    if (field.number === 1) {
      for (const _ of fields(bytes, field.from, field.to, LABEL));
      // Labels that are not in one piece are copied together, all of them.
      if (!scattered && labels.length > 0 && labels.at(-1)!.to !== field.start) {
        scattered = true;
        walk.gather(labels.at(-1)!.to - labels[0]!.start);
      }
      if (scattered) walk.gather(field.to - field.start);
      labels.push(field);
    } else if (field.number === 2) {
      walk.sample(field.from, field.to, V1_SAMPLE, times, bits);
    } else if (field.number === 3) {
      result.exemplars++;
    } else if (field.number === 4) {
      histograms++;
      result.histograms++;
    }
  }
  if (times.length > 0) {
    walk.push({ labels: concat(labels.map((l) => bytes.subarray(l.start, l.to))), times, bits, family: [0, 0, 0] });
  } else if (histograms === 0 && result.timeRefused === refusedBefore) {
    result.empty++;
  }
}

const V2_SERIES = { 1: [0, 2], 2: BYTES, 3: BYTES, 4: BYTES, 5: BYTES };
const V2_SAMPLE = { 1: [1], 2: [0], 3: [0] };
const METADATA = { 1: [0], 3: [0], 4: [0] };

/** Walks an io.prometheus.write.v2.Request. Errors: WalkError. */
export function walkV2(message: Uint8Array, limits: WalkLimits): Walked {
  const walk = new Walk(message, limits);
  if (walkRequestV2(walk, true, true)) return walk.result;
  // A symbol after a series: collect all symbols, then start over.
  const symbols = new Walk(message, limits);
  walkRequestV2(symbols, true, false);
  const series = new Walk(message, limits);
  series.result.symbols.push(...symbols.result.symbols);
  walkRequestV2(series, false, true);
  return series.result;
}

/** False when both symbols and series are wanted and a symbol follows a series. */
function walkRequestV2(walk: Walk, takeSymbols: boolean, takeSeries: boolean): boolean {
  const { bytes, result, limits } = walk;
  let seriesSeen = false;
  for (const field of fields(bytes, 0, bytes.length, { 4: BYTES, 5: BYTES })) {
    if (field.number === 4) {
      if (seriesSeen && takeSymbols && takeSeries) return false;
      if (!takeSymbols) continue;
      if (result.symbols.length >= limits.symbols) throw new WalkError(LIMIT_SYMBOLS, -1);
      result.symbols.push(bytes.slice(field.from, field.to));
    } else if (field.number === 5) {
      seriesSeen = true;
      if (takeSeries) walkSeriesV2(walk, field.from, field.to);
    }
  }
  return true;
}

function walkSeriesV2(walk: Walk, from: number, to: number): void {
  const { bytes, result } = walk;
  const samplesBefore = walk.samples;
  const gatheredBefore = walk.gathered;
  const refusedBefore = result.timeRefused;
  const labels: Uint8Array[] = [];
  const times: number[] = [];
  const bits: bigint[] = [];
  const family: [number, number, number] = [0, 0, 0];
  let others = 0;
  let refsBad = false;
  let name: Uint8Array | undefined;
  const takeRef = (ref: bigint): void => {
    if (ref >= BigInt(result.symbols.length)) {
      refsBad = true;
      return;
    }
    const symbol = result.symbols[Number(ref)]!;
    if (name === undefined) {
      name = symbol;
      return;
    }
    const label = encodeLabel(name, symbol);
    const head = encodeVarint(label.length);
    if (label.length + 5 > walk.limits.labelBytes - walk.gathered) throw new WalkError(LIMIT_LABELS, -1);
    walk.gathered += 1 + head.length + label.length;
    labels.push(concat([Uint8Array.of(0x0a), head, label]));
    name = undefined;
  };
  for (const field of fields(bytes, from, to, V2_SERIES)) {
    if (field.number === 1) {
      if (field.wire === 0) {
        takeRef(field.value);
        continue;
      }
      for (let at = field.from; at < field.to; ) {
        const ref = varint(bytes, at, field.to, at);
        takeRef(ref.value);
        at = ref.next;
      }
    } else if (field.number === 2) {
      walk.sample(field.from, field.to, V2_SAMPLE, times, bits);
    } else if (field.number === 3) {
      others++;
      result.histograms++;
    } else if (field.number === 4) {
      others++;
      result.exemplars++;
    } else if (field.number === 5) {
      for (const f of fields(bytes, field.from, field.to, METADATA)) {
        const word = f.value < 1n << 32n ? Number(f.value) : 0xffffffff;
        if (f.number === 1) family[0] = word;
        if (f.number === 3) family[1] = word;
        if (f.number === 4) family[2] = word;
      }
    }
  }
  if (refsBad || name !== undefined) {
    result.refsRefused++;
    result.refsRefusedSamples += times.length;
    walk.samples = samplesBefore;
    walk.gathered = gatheredBefore;
  } else if (times.length > 0) {
    walk.push({ labels: concat(labels), times, bits, family });
  } else {
    walk.gathered = gatheredBefore;
    if (others === 0 && result.timeRefused === refusedBefore) result.empty++;
  }
}

function encodeVarint(n: number): Uint8Array {
  const out: number[] = [];
  let rest = n;
  while (rest > 127) {
    out.push((rest & 127) | 128);
    rest >>>= 7;
  }
  return Uint8Array.of(...out, rest);
}

function encodeLabel(name: Uint8Array, value: Uint8Array): Uint8Array {
  return concat([
    Uint8Array.of(0x0a),
    encodeVarint(name.length),
    name,
    Uint8Array.of(0x12),
    encodeVarint(value.length),
    value,
  ]);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
