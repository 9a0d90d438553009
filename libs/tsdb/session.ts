// libs/tsdb/session.ts: one insert's connection to this storage: its dictionary, and what happens to a batch.
// Everything up to the WAL's append runs without a pause, so batches of all sessions are applied one after another; only the
// wait for the disk is asynchronous. Batch layout: libs/kernel/FORMAT.md, "Ingest batch".

import type { SeriesIndex } from "../index/index.ts";
import {
  type BatchAck,
  type IngestSession,
  InvalidError,
  type MetadataEntry,
  type Rejection,
  type SideAck,
  type StorageIdentity,
  UnavailableError,
} from "../model/index.ts";
import { RECORD, RegistrationBody } from "../wal/index.ts";
import { headFullError } from "./head.ts";
import { encodeMetadata } from "./metadata-store.ts";
import { numberFor } from "./register.ts";
import { rejectionText } from "./rejection-text.ts";
import { appendSideBatch } from "./side-append.ts";
import type { DbState } from "./state.ts";
import type { WindowsDictionary } from "./windows.ts";

const MAGIC = 0x31424d54;
const HEADER_BYTES = 32;
const REGISTRATION_BYTES = 36;
/** References are below 2^22. */
const NO_REFERENCE = 0xffffffff;
const NO_REFS = new Uint32Array(0);

export class DbSession implements IngestSession {
  readonly identity: StorageIdentity;
  readonly closed: Promise<void>;
  private readonly state: DbState;
  private readonly dictionary: WindowsDictionary;
  private readonly registrations = new RegistrationBody();
  private ended = false;
  /** What stood in the way of the series refused last. */
  private limitText = "got a limit before";
  private refusedForMemory = false;
  private settleClosed: () => void = () => {};

  /** Errors: UnavailableError when the head has no memory left for a dictionary. */
  constructor(state: DbState) {
    this.state = state;
    this.identity = state.identity;
    const dictionary = state.windows.makeDictionary();
    if (dictionary === undefined) throw headFullError();
    this.dictionary = dictionary;
    this.closed = new Promise((resolve) => {
      this.settleClosed = resolve;
    });
  }

  async append(batch: Uint8Array): Promise<BatchAck> {
    const { state } = this;
    if (this.ended || state.closing)
      throw new UnavailableError("cannot append batch: got a session that is closed; want it open");
    state.reserve.check();
    if (state.budget.isSpent) {
      state.onPressure();
      throw headFullError();
    }
    // References refused for want of memory stay refused on this connection: the next one asks again.
    if (this.refusedForMemory && !state.budget.isTight && state.windows.hasSeriesRoom) {
      this.end("got series refused for memory that is there now");
    }
    const began = state.clock.monotonicMs();
    const view = readHeader(batch, state.windows.current.batchBytesMax);
    const seq = view.getUint32(8, true);
    const sampleCount = view.getUint32(12, true);
    // The log takes up to twice as much: registrations lie there twice, and a sample may need a run of its own, of 14 bytes.
    state.wal.admit(batch.length + 7 * sampleCount);
    const unknown = this.register(batch, view);
    if (unknown.length > 0)
      return { seq, status: "unknown-refs", unknownRefs: Uint32Array.from(unknown), rejections: [] };

    const now = state.clock.nowMs();
    const tenant = state.retention.hasTenants ? this.tenantOf(batch, view) : "";
    const minMs = state.retention.writeFromMs(tenant, now);
    const maxMs = now + state.maxFutureMs;
    const done = state.windows.append(batch, this.dictionary, minMs, maxMs);
    if (done.status === "unknown-refs") {
      return { seq, status: "unknown-refs", unknownRefs: Uint32Array.from(new Set(done.unknownRefs)), rejections: [] };
    }
    for (const record of done.records) state.wal.append(RECORD.samples, record, done.newestMs);
    state.stats.count(sampleCount, done);
    if (state.budget.wantsSeal) state.onPressure();
    // A repeated sample is durable when the group that holds the first one is, so every batch waits for all before it.
    await state.wal.durable(state.wal.position);
    if (done.status === "full") throw headFullError();
    state.stats.appendMs(state.clock.monotonicMs() - began);
    const rejections: Rejection[] = [];
    const reject = (reason: Rejection["reason"], count: number): void => {
      if (count > 0)
        rejections.push({
          reason,
          count,
          text: rejectionText(this.limitText, reason, () => state.retention.boundText(tenant, now), maxMs),
        });
    };
    reject("future", done.future);
    reject("too-old", done.tooOld);
    reject("series-limit", done.refusedLimit);
    reject("id-collision", done.refusedCollision);
    return { seq, status: "stored", unknownRefs: NO_REFS, rejections };
  }

  async appendMetadata(entries: readonly MetadataEntry[]): Promise<void> {
    const { state } = this;
    if (this.ended || state.closing)
      throw new UnavailableError("cannot append metadata: got a session that is closed; want it open");
    state.reserve.check();
    state.wal.admit(
      entries.reduce((n, e) => n + 64 + 4 * (e.tenant.length + e.family.length + e.help.length + e.unit.length), 0),
    );
    const news = state.metadata.put(entries);
    if (news.length > 0) state.wal.append(RECORD.metadata, encodeMetadata(news));
    await state.wal.durable(state.wal.position);
  }

  async appendSide(batch: Uint8Array): Promise<SideAck> {
    if (this.ended || this.state.closing)
      throw new UnavailableError("cannot append histograms: got a session that is closed; want it open");
    this.state.reserve.check();
    return appendSideBatch(this.state, batch);
  }

  async close(): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    this.dictionary.drop();
    this.state.sessions.delete(this);
    this.settleClosed();
  }

  /** Whose samples a batch has, told by its first one: a batch has samples of one request. */
  private tenantOf(batch: Uint8Array, view: DataView): string {
    const { windows, catalog } = this.state;
    const ref = firstReference(batch, HEADER_BYTES + view.getUint32(24, true));
    const series = this.dictionary.of(windows.current).seriesOf(ref);
    return series < 0 ? "" : catalog.index.tenantOf(series);
  }

  /**
   * Resolves a batch's registrations: references get the series that have the ids, new series are made and logged. Returns the
   * references whose id is unknown and came without a key. Errors: InvalidError for a malformed batch, which defines nothing.
   */
  private register(batch: Uint8Array, view: DataView): number[] {
    const entries = readRegistrations(batch, view, this.identity.shardCount, this.state.catalog.index);
    if (entries.length === 0) return [];
    this.state.windows.check(batch, this.dictionary);
    const unknown: number[] = [];
    this.registrations.clear();
    try {
      for (const entry of entries) if (!this.resolve(batch, view, entry)) unknown.push(entry.ref);
    } finally {
      // Whatever happens to the samples, series that exist now must be in the log before any sample of theirs.
      if (this.registrations.sizeBytes > 0) this.state.wal.append(RECORD.registrations, this.registrations.body());
    }
    return unknown;
  }

  /** Gives one reference its series. Returns false when only an unknown id was given. */
  private resolve(batch: Uint8Array, view: DataView, { ref, at, keyEnd }: BatchRegistration): boolean {
    const { catalog, clock, limits, stats } = this.state;
    const idAt = at + 16;
    const keyAt = at + REGISTRATION_BYTES;
    let series = catalog.find(view, idAt);
    if (keyAt === keyEnd) {
      if (series < 0) return false;
    } else if (series >= 0) {
      if (!catalog.agrees(series, catalog.index.read(batch, keyAt, keyEnd))) {
        stats.idCollisions++;
        this.define(this.dictionary.refuse(ref, "id-collision"));
        return true;
      }
    } else {
      const name = catalog.index.read(batch, keyAt, keyEnd);
      const home = { low: view.getUint32(at + 8, true), high: view.getUint32(at + 12, true) };
      let limit = limits.limitOf(catalog, name.tenant);
      series = limit === undefined ? numberFor(this.state, home) : -1;
      if (series < 0) {
        limit ??= "--head-memory";
        if (limit === "--head-memory") this.refusedForMemory = true;
        this.limitText = limits.refuse(limit, catalog, name.tenant);
        this.define(this.dictionary.refuse(ref, "series-limit"));
        return true;
      }
      const shard = view.getUint32(at + 4, true);
      catalog.add(view, idAt, name, shard, home, clock.nowMs(), series);
      this.registrations.add(
        series,
        shard,
        view.getBigUint64(at + 8, true),
        bytesOf(view, idAt, 16),
        batch.subarray(keyAt, keyEnd),
      );
    }
    // Whoever has a reference may write: the series stays for a while.
    catalog.see(series, clock.nowMs());
    this.define(this.dictionary.set(ref, series));
    return true;
  }

  private define(done: boolean): void {
    if (!done) this.end("got a full dictionary");
  }

  /** Tells the insert to connect anew, because the references of this connection are of no use any more. */
  private end(got: string): never {
    this.settleClosed();
    throw new UnavailableError(`cannot define reference: ${got}; want a new connection`);
  }
}

function readHeader(batch: Uint8Array, bytesMax: number): DataView {
  if (batch.length < HEADER_BYTES) throw malformed(`${batch.length} bytes`);
  if (batch.length > bytesMax) throw malformed(`${batch.length} bytes; a batch has at most ${bytesMax}`);
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  if (view.getUint32(0, true) !== MAGIC) throw malformed("other magic bytes");
  if (view.getUint32(4, true) !== batch.length) throw malformed("another length than its own");
  if (view.getUint32(24, true) > batch.length - HEADER_BYTES) throw malformed("registrations beyond its end");
  // Two values take a byte at least.
  if (view.getUint32(12, true) > 2 * batch.length) throw malformed("more samples than its bytes can hold");
  return view;
}

/** The reference of the first run, which begins with it as a zigzag varint; a number that nobody has where there is none. */
function firstReference(batch: Uint8Array, at: number): number {
  let value = 0;
  for (let i = 0; i < 5 && at + i < batch.length; i++) {
    value += (batch[at + i]! & 127) * 2 ** (7 * i);
    if (batch[at + i]! < 128) return value % 2 === 0 ? value / 2 : NO_REFERENCE;
  }
  return NO_REFERENCE;
}

/** A registration of a batch: where it lies. Its key is the rest of it, and may be empty. */
interface BatchRegistration {
  readonly ref: number;
  readonly at: number;
  readonly keyEnd: number;
}

/** All registrations of a batch. Errors: InvalidError when any of them is malformed. */
function readRegistrations(
  batch: Uint8Array,
  view: DataView,
  shardCount: number,
  index: SeriesIndex,
): BatchRegistration[] {
  const count = view.getUint32(20, true);
  const end = HEADER_BYTES + view.getUint32(24, true);
  const entries: BatchRegistration[] = [];
  let at = HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    if (at + REGISTRATION_BYTES > end) throw malformed("a registration beyond its section");
    const keyAt = at + REGISTRATION_BYTES;
    const keyBytes = view.getUint32(at + 32, true);
    if (keyBytes > end - keyAt) throw malformed("a key beyond its section");
    const shard = view.getUint32(at + 4, true);
    if (shard >= shardCount) throw malformed(`shard ${shard} of ${shardCount}`);
    const keyEnd = keyAt + keyBytes;
    if (keyBytes > 0) index.read(batch, keyAt, keyEnd);
    entries.push({ ref: view.getUint32(at, true), at, keyEnd });
    at = keyEnd;
  }
  if (at !== end) throw malformed("registrations that do not fill their section");
  return entries;
}

function bytesOf(view: DataView, at: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, length);
}

function malformed(got: string): InvalidError {
  return new InvalidError(`cannot append batch: got ${got}; want a batch of version 1`);
}
