// libs/kernel/twin/head.ts: what the head must do, said plainly: maps of samples, no chunks, no groups, no late store.
// The reference of the tests of libs/kernel/head.ts, assembly/lib/append.ts and libs/tsdb/head.ts.
import { InvalidError } from "../../model/index.ts";
import { decodeRuns, decodeSamplesRecord, type SampleColumns } from "../samples-record.ts";
import { beats } from "../winner.ts";

const BATCH_MAGIC = 0x31424d54;
const BATCH_HEADER_BYTES = 32;

/** A dictionary: reference → series number, or why its samples are refused. */
export type TwinDictionary = Map<number, number | "series-limit" | "id-collision">;

export interface TwinAppend {
  readonly status: "stored" | "unknown-refs";
  readonly unknownRefs: number[];
  /** Samples stored, in order: new ones and winners. Bits, so that NaN payloads can be compared. */
  readonly stored: { series: number; time: number; bits: bigint }[];
  duplicates: number;
  outvoted: number;
  future: number;
  tooOld: number;
  refusedLimit: number;
  refusedCollision: number;
}

export class TwinHead {
  private readonly samples = new Map<number, Map<number, bigint>>();

  /** As Head.append. Errors: InvalidError for a malformed batch. */
  append(batch: Uint8Array, dictionary: TwinDictionary, minMs: number, maxMs: number): TwinAppend {
    const columns = decodeBatch(batch);
    const result = emptyResult();
    for (let i = 0; i < columns.count; i++) {
      if (!dictionary.has(columns.series[i]!)) result.unknownRefs.push(columns.series[i]!);
    }
    if (result.unknownRefs.length > 0) return { ...result, status: "unknown-refs" };
    const bits = new BigUint64Array(columns.values.buffer);
    for (let i = 0; i < columns.count; i++) {
      const time = columns.times[i]!;
      const series = dictionary.get(columns.series[i]!)!;
      if (time < minMs) result.tooOld++;
      else if (time > maxMs) result.future++;
      else if (series === "series-limit") result.refusedLimit++;
      else if (series === "id-collision") result.refusedCollision++;
      else this.insert(series, time, bits[i]!, result);
    }
    return result;
  }

  /**
   * As Head.replay; `known` are the registered series. Errors: InvalidError for a malformed record or another series.
   */
  replay(record: Uint8Array, known: ReadonlyMap<number, unknown>): TwinAppend {
    const columns = decodeSamplesRecord(record);
    if (columns.series.some((series) => !known.has(series))) {
      throw new InvalidError("cannot replay record: got an unknown series; want registered ones");
    }
    const result = emptyResult();
    const bits = new BigUint64Array(columns.values.buffer);
    for (let i = 0; i < columns.count; i++) this.insert(columns.series[i]!, columns.times[i]!, bits[i]!, result);
    return result;
  }

  private insert(series: number, time: number, bits: bigint, result: TwinAppend): void {
    let column = this.samples.get(series);
    if (column === undefined) {
      column = new Map();
      this.samples.set(series, column);
    }
    const there = column.get(time);
    if (there === bits) result.duplicates++;
    else if (there !== undefined && !wins(bits, there)) result.outvoted++;
    else {
      column.set(time, bits);
      result.stored.push({ series, time, bits });
    }
  }

  /** All samples of a series with times in [lowMs, highMs], ascending. */
  read(series: number, lowMs: number, highMs: number): { time: number; bits: bigint }[] {
    return [...(this.samples.get(series) ?? [])]
      .filter(([time]) => time >= lowMs && time <= highMs)
      .sort((a, b) => a[0] - b[0])
      .map(([time, bits]) => ({ time, bits }));
  }
}

function emptyResult(): TwinAppend {
  return {
    status: "stored",
    unknownRefs: [],
    stored: [],
    duplicates: 0,
    outvoted: 0,
    future: 0,
    tooOld: 0,
    refusedLimit: 0,
    refusedCollision: 0,
  };
}

function wins(a: bigint, b: bigint): boolean {
  return beats(Number(a >> 32n), Number(a & 0xffffffffn), Number(b >> 32n), Number(b & 0xffffffffn));
}

/** The samples of an ingest batch, references in the column of series. Errors: InvalidError when it is malformed. */
export function decodeBatch(batch: Uint8Array): SampleColumns {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  if (batch.length < BATCH_HEADER_BYTES || view.getUint32(0, true) !== BATCH_MAGIC) {
    throw new InvalidError("cannot decode batch: got no header; want TMB1");
  }
  const word = (at: number): number => view.getUint32(at, true);
  const at = BATCH_HEADER_BYTES + word(24);
  if (word(4) !== batch.length) {
    throw new InvalidError(`cannot decode batch: got a length of ${word(4)} in ${batch.length} bytes; want its own`);
  }
  return decodeRuns(batch, at, word(28), word(16), word(12));
}
