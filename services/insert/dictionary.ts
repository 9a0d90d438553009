// services/insert/dictionary.ts: one connection's references: series number (sid) ↔ reference, and the registrations that
// make them known (libs/kernel/FORMAT.md, "Ingest batch").
// Invariants: references are dense from 1 in the order they are given; a reference is never given twice on a connection.
// It counts as known once the batch that registers it is on its way: batches apply in order, and where that batch fails,
// the owner answers the next one that uses the reference with "unknown", which brings the labels.
import {
  BATCH_HEADER_BYTES,
  type BatchWriter,
  type IngestDictionary,
  REGISTRATION_BYTES,
} from "../../libs/kernel/index.ts";
import { InternalError, UnavailableError } from "../../libs/model/index.ts";
import { assembleBatch, BATCH_REGISTRATION_BYTES_MAX, type BatchParts } from "./batch-writer.ts";
import type { SeriesRegistry } from "./registry.ts";

/** Reference tables on both sides: sid → ref here, ref → sid here, ref → series there. */
const REF_BYTES = 12;

/** What an owner was told in earlier connections of this process: its labels need not travel again. */
export class ToldSeries {
  private flags = new Uint8Array(4096);

  has(sid: number): boolean {
    return this.flags[sid] === 1;
  }

  add(sid: number): void {
    if (sid >= this.flags.length) {
      const wider = new Uint8Array(Math.max(sid + 1, this.flags.length * 2));
      wider.set(this.flags);
      this.flags = wider;
    }
    this.flags[sid] = 1;
  }

  delete(sid: number): void {
    if (sid < this.flags.length) this.flags[sid] = 0;
  }

  clear(): void {
    this.flags = new Uint8Array(4096);
  }
}

export class Dictionary {
  private readonly registry: SeriesRegistry;
  /** The references as the kernel sees them. An owner's connections use the same, one after the other. */
  private readonly table: IngestDictionary;
  private readonly told: ToldSeries;
  /** sid of each reference; 0: the series has been forgotten. */
  private sids = new Uint32Array(1024);
  private last = 0;

  /** Empties `table`: it belongs to this dictionary from now on. */
  constructor(registry: SeriesRegistry, table: IngestDictionary, told: ToldSeries) {
    this.registry = registry;
    this.table = table;
    this.told = told;
    // Only what can be in use: touching all of a table that is made for millions would cost their memory.
    table.refs.fill(0, 0, registry.highestSid + 1);
    table.count = 0;
  }

  /** References given so far. */
  get size(): number {
    return this.last;
  }

  get sizeBytes(): number {
    return this.last * REF_BYTES;
  }

  /** Bytes that registering these sids takes at most. */
  registrationBytesMax(sids: Uint32Array): number {
    let bytes = 0;
    for (let i = 0; i < sids.length; i++) bytes += this.registry.registrationBytes(sids[i]!);
    return bytes;
  }

  /**
   * Gives references to sids that have none (any may occur more than once) and puts their registrations into the batch that
   * the writer has begun. Labels go along unless the owner was told before.
   */
  register(sids: Uint32Array, writer: BatchWriter): void {
    for (const sid of this.registry.byTarget(sids)) {
      if (this.table.refs[sid] !== 0) continue;
      if (!writer.register(sid, this.registry.registration(sid, !this.told.has(sid)))) {
        throw new InternalError("invariant broken: registrations of a batch were measured before");
      }
      this.note(this.table.count, sid);
    }
  }

  /** Drops series that the registry is about to forget. Their references stay used up; the table is the caller's to clear. */
  forget(isIdle: (sid: number) => boolean): void {
    for (let ref = 1; ref <= this.last; ref++) {
      const sid = this.sids[ref]!;
      if (sid !== 0 && isIdle(sid)) this.sids[ref] = 0;
    }
  }

  /** Gives one sid its reference, if it has none. Returns both, and the registration that must travel first (empty if none). */
  registerOne(sid: number): { readonly ref: number; readonly registration: Uint8Array } {
    const known = this.table.refs[sid]!;
    if (known !== 0) return { ref: known, registration: new Uint8Array(0) };
    const ref = this.table.add(sid);
    this.note(ref, sid);
    return { ref, registration: this.registration(ref) };
  }

  private note(ref: number, sid: number): void {
    this.told.add(sid);
    this.last = ref;
    if (ref >= this.sids.length) {
      const wider = new Uint32Array(this.sids.length * 2);
      wider.set(this.sids);
      this.sids = wider;
    }
    this.sids[ref] = sid;
  }

  /**
   * The registration of a reference with labels. Errors: UnavailableError when its series has been forgotten meanwhile,
   * InternalError when the reference is not of this dictionary.
   */
  private registration(ref: number): Uint8Array {
    const sid = ref > 0 && ref <= this.last ? this.sids[ref]! : -1;
    if (sid < 0) throw new InternalError(`invariant broken: an owner asks for references it was given, got ${ref}`);
    if (!this.registry.isLive(sid)) {
      throw new UnavailableError("cannot repeat labels: got a series forgotten meanwhile; want the request again");
    }
    const out = new Uint8Array(this.registry.registrationBytes(sid));
    this.registry.writeRegistration(out, 0, ref, sid);
    return out;
  }

  /**
   * The same batch with labels for the references that the owner does not know: those of its own registrations and those
   * of earlier batches. What would make it too large goes ahead in batches of registrations alone.
   * Errors: UnavailableError when a series has been forgotten meanwhile.
   */
  withLabels(batch: Uint8Array, unknownRefs: Uint32Array): Uint8Array[] {
    const unknown = new Set(unknownRefs);
    const { head, kept } = splitRegistrations(batch, unknown);
    const out: Uint8Array[] = [];
    let group: Uint8Array[] = [];
    let groupBytes = 0;
    for (const ref of unknown) {
      const registration = this.registration(ref);
      if (groupBytes > 0 && groupBytes + registration.length > BATCH_REGISTRATION_BYTES_MAX) {
        out.push(registrationsAlone(group));
        group = [];
        groupBytes = 0;
      }
      group.push(registration);
      groupBytes += registration.length;
    }
    const registrations = Buffer.concat([...kept, ...group]);
    if (registrations.length > BATCH_REGISTRATION_BYTES_MAX && kept.length > 0) {
      out.push(registrationsAlone(group));
      group = [];
    }
    const own = [...kept, ...group];
    out.push(assembleBatch({ ...head, registrations: Buffer.concat(own), registrationCount: own.length }));
    return out;
  }
}

function registrationsAlone(registrations: readonly Uint8Array[]): Uint8Array {
  const none = new Uint8Array(0);
  return assembleBatch({
    registrations: Buffer.concat(registrations),
    registrationCount: registrations.length,
    runs: none,
    runCount: 0,
    sampleCount: 0,
    values: none,
  });
}

/** A batch's samples, and its registrations but those of `unknown`. */
function splitRegistrations(
  batch: Uint8Array,
  unknown: ReadonlySet<number>,
): { readonly head: Omit<BatchParts, "registrations" | "registrationCount">; readonly kept: Uint8Array[] } {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  const end = BATCH_HEADER_BYTES + view.getUint32(24, true);
  const runsEnd = end + view.getUint32(28, true);
  const kept: Uint8Array[] = [];
  for (let at = BATCH_HEADER_BYTES; at < end; ) {
    const next = at + REGISTRATION_BYTES + view.getUint32(at + 32, true);
    if (!unknown.has(view.getUint32(at, true))) kept.push(batch.subarray(at, next));
    at = next;
  }
  const runs = batch.subarray(end, runsEnd);
  const sampleCount = view.getUint32(12, true);
  return { head: { runs, runCount: view.getUint32(16, true), sampleCount, values: batch.subarray(runsEnd) }, kept };
}
