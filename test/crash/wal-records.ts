// test/crash/wal-records.ts: the records of an undamaged segment, found by their headers alone (libs/wal/FORMAT.md, "Record").

export interface WalRecord {
  readonly type: number;
  /** From the header's first byte to the end of the frame, filling included. */
  readonly offset: number;
  readonly end: number;
  readonly body: Uint8Array;
}

export const REGISTRATIONS = 1;
export const SAMPLES = 2;
export const METADATA = 4;
export const SEGMENT_HEADER = 5;
export const REPEATED = 6;

/** All records, in order. Bytes between them are zeros that fill up sectors. */
export function listRecords(segment: Uint8Array): WalRecord[] {
  const view = new DataView(segment.buffer, segment.byteOffset, segment.byteLength);
  const records: WalRecord[] = [];
  for (let at = 0; at + 16 <= segment.length; ) {
    if (view.getUint16(at, true) !== 0x5754) {
      at = (Math.floor(at / 512) + 1) * 512;
      continue;
    }
    const length = view.getUint32(at + 4, true);
    const end = Math.ceil((at + 16 + length) / 8) * 8;
    const body = segment.subarray(at + 16, at + 16 + length);
    records.push({ type: view.getUint16(at + 2, true) & 0x7fff, offset: at, end, body });
    at = end;
  }
  return records;
}
