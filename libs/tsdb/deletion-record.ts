// libs/tsdb/deletion-record.ts: deletions and their undoing as records of the log. Layout: libs/wal/FORMAT.md, "Deletion".
import type { DeletionEntry } from "../block/index.ts";
import { errorText } from "../env/index.ts";
import { CorruptionError } from "../model/index.ts";

const VERSION = 1;
const ID_BYTES = 16;
const HEADER_BYTES = 8;
/** Ids of one record: 256 KiB. */
const IDS_PER_RECORD = 16_384;

/** What a record says. */
export interface DeletionRecord {
  /** Of all deletions and undoings of this storage, ascending. */
  readonly number: number;
  readonly undo: boolean;
  readonly deletion: DeletionEntry;
  /** 16 bytes for each series; none when undoing. */
  readonly ids: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The records of one deletion, or of undoing it: one unless it has very many series. */
export function encodeDeletion({ number, undo, deletion, ids }: DeletionRecord): Uint8Array[] {
  const { id, tenant, selectors, minMs, maxMs, madeMs, series } = deletion;
  const text = encoder.encode(JSON.stringify({ number, undo, id, tenant, selectors, minMs, maxMs, madeMs, series }));
  const records: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < ids.length; at += IDS_PER_RECORD * ID_BYTES) {
    const some = ids.subarray(at, at + IDS_PER_RECORD * ID_BYTES);
    const record = new Uint8Array(HEADER_BYTES + text.length + some.length);
    const view = new DataView(record.buffer);
    view.setUint32(0, VERSION, true);
    view.setUint32(4, text.length, true);
    record.set(text, HEADER_BYTES);
    record.set(some, HEADER_BYTES + text.length);
    records.push(record);
  }
  return records;
}

/** Bytes that its records take at most, bodies alone. */
export function deletionBytesMax(selectors: readonly string[], seriesCount: number): number {
  const text = selectors.reduce((sum, selector) => sum + 6 * selector.length + 4, 1024);
  return Math.ceil((seriesCount + 1) / IDS_PER_RECORD) * text + ID_BYTES * seriesCount;
}

/** Errors: CorruptionError for anything but what encodeDeletion wrote. */
export function decodeDeletion(body: Uint8Array): DeletionRecord {
  if (body.length < HEADER_BYTES) throw corrupt(`${body.length} bytes`);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  if (view.getUint32(0, true) !== VERSION) throw corrupt(`version ${view.getUint32(0, true)}`);
  const textBytes = view.getUint32(4, true);
  const idBytes = body.length - HEADER_BYTES - textBytes;
  if (idBytes < 0 || idBytes % ID_BYTES !== 0) throw corrupt(`a text of ${textBytes} bytes in ${body.length}`);
  const fields = parse(body.subarray(HEADER_BYTES, HEADER_BYTES + textBytes));
  const { number, undo, ...deletion } = fields;
  const isWhole =
    [number, deletion.series].every((count) => Number.isSafeInteger(count) && count >= 0) &&
    [deletion.minMs, deletion.maxMs, deletion.madeMs].every(Number.isFinite) &&
    typeof undo === "boolean" &&
    typeof deletion.tenant === "string" &&
    /^[0-9a-f]{16}$/.test(deletion.id) &&
    Array.isArray(deletion.selectors);
  if (!isWhole) throw corrupt(JSON.stringify(fields).slice(0, 200));
  return { number, undo, deletion, ids: new Uint8Array(body.subarray(HEADER_BYTES + textBytes)) };
}

function parse(text: Uint8Array): DeletionEntry & { readonly number: number; readonly undo: boolean } {
  try {
    return JSON.parse(decoder.decode(text));
  } catch (error) {
    throw corrupt(errorText(error));
  }
}

function corrupt(got: string): CorruptionError {
  return new CorruptionError(`cannot read deletion: got ${got}; want one of version ${VERSION}`, "", 0);
}
