// libs/block/derive.ts: what blocks of coarser levels are made of: rows of samples, rows joined, rows without a day, samples that have no rows.
// Steps of a job, as merges are: a series at each. Rows are made of a series where they halve its bytes, headers counted.
import { type ColumnKernel, COLUMN_FIELD as FIELD, KIND_CODED } from "../kernel/index.ts";
import { InvalidError, ROW, ROW_COLUMNS, ROW_LEVELS, ROW_MS, type RowLevel, RowTable } from "../model/index.ts";
import { foldSamples } from "./fold-rows.ts";
import type { BlockOptions, Footer } from "./footer.ts";
import { mergeSteps } from "./merge.ts";
import type { BlockReader } from "./reader.ts";
import { type BlockWriter, compareBytes } from "./writer.ts";

/** How a block comes of others; plain data. */
export type Derivation =
  /** Rows of the first input, samples. */
  | { readonly kind: "rows"; readonly level: RowLevel }
  /** The series of the first input, samples, of which the others, rows, have nothing in its time. */
  | { readonly kind: "rest"; readonly level: RowLevel }
  /** The rows of all inputs. */
  | { readonly kind: "join" }
  /** The first input, of any level but raw, without what deletions hide. */
  | { readonly kind: "purge" }
  /** The rows of the first input but those in (fromMs, toMs], and without what deletions hide; parents come off its list. */
  | { readonly kind: "cut"; readonly fromMs: number; readonly toMs: number; readonly parents: readonly Uint8Array[] };

const among = (ids: readonly Uint8Array[], id: Uint8Array): boolean => ids.some((one) => compareBytes(one, id) === 0);

/** What a derived block says of itself. Rows and rests name the raw blocks that they come from. Errors: InvalidError for unlike inputs. */
export function derivedOptions(
  derivation: Derivation,
  inputs: readonly Footer[],
  id: Uint8Array,
  range: Pick<BlockOptions, "minMs" | "maxMs">,
): BlockOptions {
  const [one] = inputs;
  if (one === undefined) throw new InvalidError("cannot derive block: got no inputs; want one at least");
  for (const { shard, shardCount, hashSeed } of inputs) {
    if (shard !== one.shard || shardCount !== one.shardCount || compareBytes(hashSeed, one.hashSeed) !== 0)
      throw new InvalidError("cannot derive block: got inputs of several shards or clusters; want one");
  }
  const { kind } = derivation;
  let parents: readonly Uint8Array[] = one.level === "raw" ? [one.id] : one.parents;
  if (kind === "join") {
    parents = inputs.flatMap((input) => input.parents).filter((id, i, all) => !among(all.slice(0, i), id));
  } else if (kind === "cut") parents = parents.filter((parent) => !among(derivation.parents, parent));
  return {
    id,
    shard: one.shard,
    shardCount: one.shardCount,
    hashSeed: one.hashSeed,
    level: kind === "rows" || kind === "rest" ? derivation.level : one.level,
    minMs: range.minMs,
    maxMs: range.maxMs,
    walPosition: one.walPosition,
    parents,
    columnsPerSeries: kind === "rest" ? 1 : kind === "purge" ? one.columnsPerSeries : ROW_COLUMNS,
  };
}

/** A derivation that leaves something out of one block, as a merge of it alone would. */
export type Leaving = Extract<Derivation, { kind: "cut" | "purge" }>;

export function isLeaving(derivation: Derivation): derivation is Leaving {
  return derivation.kind === "cut" || derivation.kind === "purge";
}

/** Adds what is derived to the writer, a series at each step. Errors: CorruptionError for a damaged input; InvalidError. */
export function deriveSteps(
  derivation: Exclude<Derivation, Leaving>,
  readers: readonly BlockReader[],
  writer: BlockWriter,
  kernel: ColumnKernel,
): Generator<unknown, void> {
  const [first, ...others] = readers as [BlockReader, ...BlockReader[]];
  switch (derivation.kind) {
    case "rows":
      return rowSteps(first, writer, kernel, ROW_MS[derivation.level]);
    case "rest":
      return restSteps(first, others, writer);
    case "join":
      return mergeSteps(readers, writer);
  }
}

/** Arrays of times that were seen last: the same one for the same times, so that the writer looks at it once. */
class KnownTimes {
  private last = new Float64Array(0);

  same(times: Float64Array): Float64Array {
    const { last } = this;
    if (times.length === last.length && times.every((time, i) => time === last[i])) return last;
    this.last = times.slice();
    return this.last;
  }
}

function* rowSteps(
  reader: BlockReader,
  writer: BlockWriter,
  kernel: ColumnKernel,
  levelMs: number,
): Generator<void, void> {
  const table = new RowTable();
  const known = new KnownTimes();
  const joined = levelMs === ROW_MS["1h"] ? JOINED_DAYS : 1;
  let values = new Float64Array(0);
  for (let i = 0; i < reader.seriesCount; i++) {
    const column = reader.column(i);
    const { count } = column.header;
    if (values.length < count) values = new Float64Array(2 * count);
    const times = reader.times(column.times);
    table.length = 0;
    const spent = costOf(column.header.bytes[FIELD.KIND]!, column.header.payloadBytes, 1);
    // So many columns can't be half of it, whatever is in them.
    if (2 * ROW_COLUMNS * CONSTANT_BYTES <= spent * joined) {
      reader.readValues(column, values);
      foldSamples(times, values, count, levelMs, table);
      // What has rows of a finer level has them of all: its samples go when that level's rows are there.
      if (
        !overflows(table) &&
        (halves(table, spent, joined, kernel) || halvesFiner(times, values, count, levelMs, spent, kernel))
      )
        writer.addSeries(reader.key(i), known.same(table.ends.subarray(0, table.length)), ...columnsOf(table));
    }
    yield;
  }
}

/** What a constant column and any other take of a page of headers, about. */
const CONSTANT_BYTES = 1;
const HEADER_BYTES = 4;
/** Days that share a header once rows of an hour are joined (plan-levels.ts), and what is left of their payloads then: 24 values of a day are coded dearly. */
const JOINED_DAYS = 30;
const JOINED_PAYLOAD_SHARE = 0.85;

function costOf(kind: number, payloadBytes: number, joined: number): number {
  return payloadBytes + (kind === KIND_CODED ? HEADER_BYTES : CONSTANT_BYTES) / joined;
}

const columnsOf = (table: RowTable): Float64Array[] => table.columns.map((one) => one.subarray(0, table.length));

const finer = new RowTable();

function halvesFiner(
  times: Float64Array,
  values: Float64Array,
  count: number,
  levelMs: number,
  bytes: number,
  kernel: ColumnKernel,
): boolean {
  return ROW_LEVELS.some((level) => {
    if (ROW_MS[level] >= levelMs) return false;
    finer.length = 0;
    foldSamples(times, values, count, ROW_MS[level], finer);
    return halves(finer, bytes, 1, kernel);
  });
}

/** Whether the rows take half of `bytes` at most. */
function halves(table: RowTable, bytes: number, joined: number, kernel: ColumnKernel): boolean {
  const columns = columnsOf(table);
  const payloadShare = joined > 1 ? JOINED_PAYLOAD_SHARE : 1;
  let left = bytes / 2;
  for (const [which, column] of columns.entries()) {
    const { header, payload } = kernel.encode(column);
    // A counter's least samples are its first ones: a column that another one equals is written as a reference.
    const twin = TWINS.get(which);
    const isTwin = twin !== undefined && columns[twin]!.every((value, i) => value === column[i]);
    left -= costOf(header.bytes[FIELD.KIND]!, isTwin ? 0 : payload.length * payloadShare, joined);
    if (left < 0) return false;
  }
  return true;
}

const TWINS: ReadonlyMap<number, number> = new Map([
  [ROW.MIN, ROW.FIRST],
  [ROW.MAX, ROW.LAST],
]);

/** Whether a row's sum is beyond all numbers, though its samples are not: their mean may be none the less. */
function overflows({ length, columns }: RowTable): boolean {
  for (let i = 0; i < length; i++) {
    if (Math.abs(columns[ROW.SUM]![i]!) !== Number.POSITIVE_INFINITY) continue;
    if (Number.isFinite(columns[ROW.MIN]![i]!) && Number.isFinite(columns[ROW.MAX]![i]!)) return true;
  }
  return false;
}

function* restSteps(reader: BlockReader, rows: readonly BlockReader[], writer: BlockWriter): Generator<void, void> {
  const { minMs, maxMs } = reader.footer;
  const next = rows.map(() => 0);
  let values = new Float64Array(0);
  for (let i = 0; i < reader.seriesCount; i++) {
    const key = reader.key(i);
    let has = false;
    for (const [r, other] of rows.entries()) {
      let at = next[r]!;
      while (at < other.seriesCount && compareBytes(other.key(at), key) < 0) at++;
      next[r] = at;
      if (at === other.seriesCount || compareBytes(other.key(at), key) !== 0) continue;
      // Rows end behind their samples: those of the block's time begin after its own begin.
      if (other.times(other.column(at).times).some((end) => end > minMs && end - maxMs < rowMs(other))) has = true;
    }
    if (!has) {
      const column = reader.column(i);
      const { count } = column.header;
      if (values.length < count) values = new Float64Array(2 * count);
      reader.readValues(column, values);
      writer.addSeries(key, reader.times(column.times), values.subarray(0, count));
    }
    yield;
  }
}

function rowMs({ footer }: BlockReader): number {
  return footer.level === "raw" ? 1 : ROW_MS[footer.level];
}
