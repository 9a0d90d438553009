// libs/side/side-batch.ts: side data on its way from insert to storage: series by id, with keys. FORMAT.md, "Side batch".
// No dictionary: what travels here is much longer than a key, or rare.
import { ByteSink, ByteSource } from "../block/index.ts";
import { AppError, InvalidError, SERIES_ID_BYTES } from "../model/index.ts";
import { decodeSide, encodeSide } from "./side-bytes.ts";
import type { SideSeries } from "./side-series.ts";

export const SIDE_BATCH_MAGIC = 0x31534d54;
const HEADER_BYTES = 12;

/** A series as an insert names it. */
export interface NamedSeries {
  readonly shard: number;
  readonly homeLow: number;
  readonly homeHigh: number;
  readonly id: Uint8Array;
  readonly key: Uint8Array;
}

export interface NamedSide {
  readonly name: NamedSeries;
  readonly side: SideSeries;
}

/** Collects series into a batch. */
export class SideBatchWriter {
  private readonly sink = new ByteSink();
  private count = 0;

  constructor() {
    for (let i = 0; i < HEADER_BYTES / 4; i++) this.sink.u32(0);
  }

  get sizeBytes(): number {
    return this.sink.length;
  }

  get isEmpty(): boolean {
    return this.count === 0;
  }

  add({ shard, homeLow, homeHigh, id, key }: NamedSeries, side: SideSeries): void {
    const { sink } = this;
    const own = new ByteSink();
    encodeSide(own, side);
    sink.u32(shard);
    sink.u32(homeLow);
    sink.u32(homeHigh);
    sink.raw(id);
    sink.blob(key);
    sink.blob(own.written());
    this.count++;
  }

  finish(): Uint8Array {
    const batch = this.sink.written().slice();
    const view = new DataView(batch.buffer);
    view.setUint32(0, SIDE_BATCH_MAGIC, true);
    view.setUint32(4, batch.length, true);
    view.setUint32(8, this.count, true);
    return batch;
  }
}

/** Errors: InvalidError for bytes that are no batch. */
export function decodeSideBatch(batch: Uint8Array, shardCount: number): NamedSide[] {
  const source = new ByteSource(batch, "side batch", "", 0);
  try {
    if (source.u32() !== SIDE_BATCH_MAGIC) throw source.damage("other magic bytes", "a side batch of version 1");
    if (source.u32() !== batch.length) throw source.damage("another length than its own", `${batch.length}`);
    const out: NamedSide[] = [];
    for (let left = source.u32(); left > 0; left--) {
      const name = {
        shard: source.u32(),
        homeLow: source.u32(),
        homeHigh: source.u32(),
        id: source.raw(SERIES_ID_BYTES),
        key: source.blob(),
      };
      if (name.shard >= shardCount) throw source.damage(`shard ${name.shard}`, `one of ${shardCount}`);
      const own = new ByteSource(source.blob(), "side batch", "", 0);
      out.push({ name, side: decodeSide(own) });
      own.end();
    }
    source.end();
    return out;
  } catch (error) {
    if (error instanceof AppError && error.reaction === "corruption") throw new InvalidError(error.message);
    throw error;
  }
}
