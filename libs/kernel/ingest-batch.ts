// libs/kernel/ingest-batch.ts: a request's samples for one storage as an ingest batch (FORMAT.md), by a connection's dictionary.
// The kernel writes header, runs and values; registrations, which are rare, are written here.
import { type Hash64, InternalError, SERIES_ID_BYTES } from "../model/index.ts";
import {
  BATCH,
  BATCH_HEADER_BYTES,
  type IngestExports,
  type IngestRegions,
  type IngestSizes,
  OWNED_BYTES,
  REGISTRATION_BYTES,
} from "./ingest-layout.ts";

/** One connection's references: dense, from 1 on, given in the order of registration. Also which shards its storage owns. */
export class IngestDictionary {
  /** Reference of each sid; 0 = none yet. */
  readonly refs: Uint32Array;
  /** 1 for each shard whose samples go to this connection. Used only after ownShards. */
  readonly owned: Uint8Array;
  /** References given so far. */
  count = 0;
  /** Address of `refs`, and of `owned` or 0 while all shards are owned. The batch writer's own. */
  readonly refsAddress: number;
  ownedAddress = 0;
  private readonly ownedRegion: number;
  private highestSid = 0;

  constructor(buffer: SharedArrayBuffer, refsAddress: number, ownedRegion: number, seriesMax: number) {
    this.refs = new Uint32Array(buffer, refsAddress, seriesMax + 1);
    this.owned = new Uint8Array(buffer, ownedRegion, OWNED_BYTES);
    this.refsAddress = refsAddress;
    this.ownedRegion = ownedRegion;
  }

  /** Gives the next reference to a sid. */
  add(sid: number): number {
    this.count++;
    this.refs[sid] = this.count;
    if (sid > this.highestSid) this.highestSid = sid;
    return this.count;
  }

  /** Forgets all references. */
  reset(): void {
    // No further than needed: writing to untouched pages would take memory.
    this.refs.fill(0, 0, this.highestSid + 1);
    this.highestSid = 0;
    this.count = 0;
  }

  /** The storage behind this connection owns every shard: shards are not looked at. */
  ownAll(): void {
    this.ownedAddress = 0;
  }

  /** The storage owns these shards, and no others. */
  ownShards(shards: Iterable<number>): void {
    this.owned.fill(0);
    for (const shard of shards) this.owned[shard] = 1;
    this.ownedAddress = this.ownedRegion;
  }
}

/** What a storage must know of a series that gets a reference. */
export interface SeriesRegistration {
  readonly shard: number;
  readonly home: Hash64;
  /** SERIES_ID_BYTES bytes. */
  readonly id: Uint8Array;
  /** The series key; empty when the storage should know the id. */
  readonly key: Uint8Array;
}

/**
 * Writes one batch at a time: `begin`; `register` for every sid in `missing` that has no reference by then; `finish`. All
 * without awaiting in between, because the request's columns and the batch's region are reused.
 */
export class BatchWriter {
  /** After begin: sids of the batch without a reference, in order of appearance, perhaps repeated. */
  readonly missing: Uint32Array;
  private readonly kernel: IngestExports;
  private readonly regions: IngestRegions;
  private readonly registrationBytesMax: number;
  private readonly words: Uint32Array;
  private readonly bytes: Uint8Array;
  private readonly out: DataView;
  private dictionary: IngestDictionary | undefined;
  private length = 0;

  constructor(buffer: SharedArrayBuffer, kernel: IngestExports, regions: IngestRegions, sizes: IngestSizes) {
    this.kernel = kernel;
    this.regions = regions;
    this.registrationBytesMax = sizes.registrationBytesMax;
    this.bytes = new Uint8Array(buffer);
    this.out = new DataView(buffer, regions.out, regions.outBytes);
    this.words = new Uint32Array(buffer, regions.batch, BATCH.words);
    this.missing = new Uint32Array(buffer, regions.missing, regions.rowsMax);
    this.words[BATCH.out] = regions.out;
    this.words[BATCH.cap] = regions.outBytes;
    this.words[BATCH.shards] = regions.shards;
    this.words[BATCH.missing] = regions.missing;
    this.words[BATCH.scratch] = regions.batchScratch;
  }

  /**
   * Starts the batch of the rows [fromRow, toRow) of the request decoded last that have a sid and whose shard the
   * dictionary's storage owns. Returns how many entries `missing` has.
   */
  begin(dictionary: IngestDictionary, seq: number, fromRow = 0, toRow = 0xffff_ffff): number {
    const { words } = this;
    this.dictionary = dictionary;
    words[BATCH.refs] = dictionary.refsAddress;
    words[BATCH.owned] = dictionary.ownedAddress;
    words[BATCH.seq] = seq;
    words[BATCH.registrations] = 0;
    words[BATCH.registrationBytes] = 0;
    words[BATCH.from] = fromRow;
    words[BATCH.to] = toRow;
    this.encode();
    return words[BATCH.missingCount]!;
  }

  private encode(): void {
    this.length = this.kernel.encodeBatch(this.regions.request, this.regions.batch);
    if (this.length < 0) throw new InternalError("cannot encode batch: got more bytes than its region; want it to fit");
  }

  /**
   * Gives `sid` the dictionary's next reference and adds its registration. False when the batch has no room for it: then
   * finish a batch of fewer rows first.
   */
  register(sid: number, series: SeriesRegistration): boolean {
    const { words, out } = this;
    const used = words[BATCH.registrationBytes]!;
    const size = REGISTRATION_BYTES + series.key.length;
    if (used + size > this.registrationBytesMax) return false;
    const at = BATCH_HEADER_BYTES + used;
    out.setUint32(at, this.dictionary!.add(sid), true);
    out.setUint32(at + 4, series.shard, true);
    out.setUint32(at + 8, series.home.low, true);
    out.setUint32(at + 12, series.home.high, true);
    this.bytes.set(series.id.subarray(0, SERIES_ID_BYTES), this.regions.out + at + 16);
    out.setUint32(at + 32, series.key.length, true);
    this.bytes.set(series.key, this.regions.out + at + REGISTRATION_BYTES);
    words[BATCH.registrations] = words[BATCH.registrations]! + 1;
    words[BATCH.registrationBytes] = used + size;
    return true;
  }

  /**
   * The batch, a view of linear memory that is valid until the next `begin`; undefined when no row is for this storage.
   * Errors: InternalError when sids still lack a reference.
   */
  finish(): Uint8Array | undefined {
    if (this.words[BATCH.missingCount] !== 0) {
      this.encode();
      const missing = this.words[BATCH.missingCount]!;
      if (missing > 0)
        throw new InternalError(`cannot encode batch: got ${missing} series without a reference; want none`);
    }
    return this.length === 0 ? undefined : this.bytes.subarray(this.regions.out, this.regions.out + this.length);
  }

  /** Samples in the batch that `finish` returned. */
  get sampleCount(): number {
    return this.words[BATCH.samples]!;
  }
}
