// test/unit/insert/storage-twin.ts: a storage in memory behind IngestTarget: decodes batches as libs/kernel/FORMAT.md says, into a
// ledger. Slow and strict: everything that a batch must be is asserted. Faults are switched on by the test.
import { expect } from "vitest";
import { clusterIdentity } from "../../../libs/cluster/index.ts";
import {
  type BatchAck,
  decodeSeriesKey,
  type IngestSession,
  type IngestTarget,
  type MetadataEntry,
  placeSeries,
  type Rejection,
  type SideAck,
  type SideRejection,
  type StorageIdentity,
  UnavailableError,
} from "../../../libs/model/index.ts";
import { decodeSideBatch, type NamedSide } from "../../../libs/side/index.ts";
import { sipHash } from "../model/siphash-twin.ts";

const HEADER_BYTES = 32;
/** The slow hash takes too long for longer keys. */
const CHECKED_KEY_BYTES_MAX = 2_000;

interface Registration {
  readonly ref: number;
  readonly id: string;
  /** Undefined: by id only. */
  readonly key: Uint8Array | undefined;
}

export interface DecodedBatch {
  readonly seq: number;
  readonly bytes: number;
  readonly registrations: readonly Registration[];
  readonly samples: readonly { readonly ref: number; readonly time: number; readonly bits: bigint }[];
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** One series of the ledger. */
export interface StoredSeries {
  readonly key: Uint8Array;
  readonly samples: Map<number, bigint>;
}

export class StorageTwin implements IngestTarget {
  readonly address: string;
  identity: StorageIdentity;
  /** What is durable: series by id. */
  readonly series = new Map<string, StoredSeries>();
  readonly metadata: MetadataEntry[] = [];
  /** Side data in the order it came. */
  readonly side: NamedSide[] = [];
  /** Rejections to report of the next side batches. */
  rejectSide: (parts: readonly NamedSide[]) => readonly SideRejection[] = () => [];
  /** All batches that arrived, refused ones too. */
  readonly batches: DecodedBatch[] = [];
  readonly sessions: TwinSession[] = [];
  connects = 0;
  /** Throws instead of connecting. */
  refuseConnect: string | undefined;
  /** Acknowledgements wait until `release`. */
  hold = false;
  /** Makes the next appends fail, one each. */
  failures: Error[] = [];
  /** Rejections to report of the next stored batches. */
  reject: (batch: DecodedBatch) => readonly Rejection[] = () => [];
  /** Whether sessions tell when they end. */
  announcesEnd = true;
  private readonly held: (() => void)[] = [];

  constructor(address: string, options: { shardCount?: number; nodeId?: string; cluster?: string } = {}) {
    this.address = address;
    this.identity = {
      ...clusterIdentity(options.cluster ?? "tidemark"),
      nodeId: options.nodeId ?? `node of ${address}`,
      shardCount: options.shardCount ?? 64,
    };
  }

  async connect(): Promise<IngestSession> {
    this.connects++;
    await Promise.resolve();
    if (this.refuseConnect !== undefined) throw new UnavailableError(this.refuseConnect);
    const session = new TwinSession(this);
    this.sessions.push(session);
    return session;
  }

  /** Runs `then` now, or when held acknowledgements are released. */
  whenReleased(then: () => void): void {
    if (this.hold) this.held.push(then);
    else then();
  }

  release(): void {
    this.hold = false;
    for (const then of this.held.splice(0)) then();
  }

  /** All connections are gone at once; what is stored stays. */
  cutConnections(): void {
    this.held.splice(0);
    for (const session of this.sessions.splice(0)) session.end();
  }

  /** Samples by `tenant{name="value",…}`, as [time, value] in order of time. */
  ledger(): Record<string, [number, number][]> {
    const out: Record<string, [number, number][]> = Object.create(null);
    for (const { key, samples } of this.series.values()) {
      const { tenant, labels } = decodeSeriesKey(key);
      const pairs: string[] = [];
      for (let i = 0; i < labels.length; i += 2) pairs.push(`${labels[i]}=${JSON.stringify(labels[i + 1])}`);
      const sorted = [...samples].sort(([a], [b]) => a - b);
      if (sorted.length > 0) out[`${tenant}{${pairs.join(",")}}`] = sorted.map(([t, bits]) => [t, floatOf(bits)]);
    }
    return out;
  }

  get sampleCount(): number {
    let count = 0;
    for (const { samples } of this.series.values()) count += samples.size;
    return count;
  }
}

function floatOf(bits: bigint): number {
  return new Float64Array(new BigUint64Array([bits]).buffer)[0]!;
}

class TwinSession implements IngestSession {
  readonly identity: StorageIdentity;
  readonly closed?: Promise<void>;
  readonly dictionary = new Map<number, string>();
  isOpen = true;
  private readonly storage: StorageTwin;
  private settleClosed: () => void = () => {};
  private readonly waiting = new Set<(error: Error) => void>();

  constructor(storage: StorageTwin) {
    this.storage = storage;
    this.identity = storage.identity;
    if (storage.announcesEnd) {
      this.closed = new Promise((resolve) => {
        this.settleClosed = resolve;
      });
    }
  }

  append(bytes: Uint8Array): Promise<BatchAck> {
    if (!this.isOpen) return Promise.reject(new UnavailableError("the connection is gone"));
    // The caller may reuse its memory only after the answer; a copy makes sure that we would notice.
    const batch = decodeBatch(bytes.slice());
    this.storage.batches.push(batch);
    const failure = this.storage.failures.shift();
    if (failure !== undefined) return Promise.reject(failure);
    const ack = this.apply(batch);
    return new Promise((resolve, reject) => {
      this.waiting.add(reject);
      this.storage.whenReleased(() => {
        this.waiting.delete(reject);
        resolve(ack);
      });
    });
  }

  private apply(batch: DecodedBatch): BatchAck {
    const { storage } = this;
    const defined = new Map<number, string>();
    const unknown = new Set<number>();
    for (const { ref, id, key } of batch.registrations) {
      if (key === undefined && !storage.series.has(id)) unknown.add(ref);
      else defined.set(ref, id);
      if (key !== undefined) this.checkKey(id, key);
    }
    for (const { ref } of batch.samples) if (!defined.has(ref) && !this.dictionary.has(ref)) unknown.add(ref);
    if (unknown.size > 0) {
      return { seq: batch.seq, status: "unknown-refs", unknownRefs: Uint32Array.from(unknown), rejections: [] };
    }
    for (const { ref, id, key } of batch.registrations) {
      this.dictionary.set(ref, id);
      if (key !== undefined && !storage.series.has(id)) storage.series.set(id, { key, samples: new Map() });
    }
    const rejections = storage.reject(batch);
    if (rejections.length === 0) {
      for (const { ref, time, bits } of batch.samples) {
        storage.series.get(this.dictionary.get(ref)!)!.samples.set(time, bits);
      }
    }
    return { seq: batch.seq, status: "stored", unknownRefs: new Uint32Array(0), rejections };
  }

  private checkKey(id: string, key: Uint8Array): void {
    if (key.length > CHECKED_KEY_BYTES_MAX) return;
    const { hashSeed } = this.identity;
    expect(id, "id is the hash of the key").toBe(hex(sipHash(hashSeed, key, 16)));
    const known = this.storage.series.get(id);
    if (known !== undefined) expect(hex(known.key)).toBe(hex(key));
  }

  async appendMetadata(entries: readonly MetadataEntry[]): Promise<void> {
    if (!this.isOpen) throw new UnavailableError("the connection is gone");
    await new Promise<void>((resolve, reject) => {
      this.waiting.add(reject);
      this.storage.whenReleased(() => {
        this.waiting.delete(reject);
        this.storage.metadata.push(...entries);
        resolve();
      });
    });
  }

  async appendSide(bytes: Uint8Array): Promise<SideAck> {
    if (!this.isOpen) throw new UnavailableError("the connection is gone");
    const parts = decodeSideBatch(bytes.slice(), this.identity.shardCount);
    const failure = this.storage.failures.shift();
    if (failure !== undefined) throw failure;
    for (const { name } of parts) {
      this.checkKey(hex(name.id), name.key);
      const { shard, home } = placeSeries(
        (key) => sipHash(this.identity.hashSeed, key, 16),
        name.key,
        this.identity.shardCount,
      );
      expect([name.shard, name.homeLow, name.homeHigh]).toEqual([shard, home.low, home.high]);
    }
    await new Promise<void>((resolve, reject) => {
      this.waiting.add(reject);
      this.storage.whenReleased(() => {
        this.waiting.delete(reject);
        resolve();
      });
    });
    const rejections = this.storage.rejectSide(parts);
    if (rejections.length === 0) this.storage.side.push(...parts);
    return { rejections };
  }

  /** The connection is gone. */
  end(): void {
    this.isOpen = false;
    for (const reject of this.waiting) reject(new UnavailableError("the connection is gone"));
    this.waiting.clear();
    this.settleClosed();
  }

  async close(): Promise<void> {
    this.end();
  }
}

/** Reads a batch by the letter of FORMAT.md. */
export function decodeBatch(bytes: Uint8Array): DecodedBatch {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (i: number): number => view.getUint32(i * 4, true);
  expect(word(0)).toBe(0x31424d54);
  expect(word(1)).toBe(bytes.length);
  const [seq, sampleCount, runCount, registrationCount, registrationBytes, runBytes] = [2, 3, 4, 5, 6, 7].map(word);
  const registrations: Registration[] = [];
  let at = HEADER_BYTES;
  while (at < HEADER_BYTES + registrationBytes!) {
    const keyBytes = view.getUint32(at + 32, true);
    const key = keyBytes === 0 ? undefined : bytes.slice(at + 36, at + 36 + keyBytes);
    registrations.push({ ref: view.getUint32(at, true), id: hex(bytes.subarray(at + 16, at + 32)), key });
    if (key !== undefined) checkPlace(view, at, key);
    at += 36 + keyBytes;
  }
  expect(at).toBe(HEADER_BYTES + registrationBytes!);
  expect(registrations.length).toBe(registrationCount);
  const runsEnd = at + runBytes!;
  const uvarint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const svarint = (): bigint => {
    const z = uvarint();
    return (z >> 1n) ^ -(z & 1n);
  };
  const samples: { ref: number; time: number; bits: bigint }[] = [];
  let expected = 0n;
  let time = 0n;
  for (let run = 0; run < runCount!; run++) {
    const ref0 = expected + svarint();
    const count = uvarint();
    time += svarint();
    if (count < 1n || Math.abs(Number(time)) > 2 ** 53) throw new Error(`got run of ${count} at ${time}`);
    for (let i = 0n; i < count; i++) samples.push({ ref: Number(ref0 + i), time: Number(time), bits: 0n });
    expected = ref0 + count;
  }
  expect(at).toBe(runsEnd);
  expect(samples.length).toBe(sampleCount);
  const kept = samples.map((_, i) => (i % 2 === 0 ? bytes[runsEnd + i / 2]! & 15 : bytes[runsEnd + (i - 1) / 2]! >> 4));
  at = runsEnd + Math.ceil(samples.length / 2);
  const values = kept.map((length) => {
    const value = Buffer.alloc(8);
    value.set(bytes.subarray(at, at + length), 8 - length);
    at += length;
    return value.readBigUInt64LE();
  });
  expect(at).toBe(bytes.length);
  return {
    seq: seq!,
    bytes: bytes.length,
    registrations,
    samples: samples.map((s, i) => ({ ...s, bits: values[i]! })),
  };
}

/** Shard and home of a registration must follow from its key. */
function checkPlace(view: DataView, at: number, key: Uint8Array): void {
  if (key.length > CHECKED_KEY_BYTES_MAX) return;
  const { hashSeed } = clusterIdentity("tidemark");
  const shard = view.getUint32(at + 4, true);
  const home = { low: view.getUint32(at + 8, true), high: view.getUint32(at + 12, true) };
  const matches = [7, 16, 64, 256].some((shards) => {
    const place = placeSeries((bytes) => sipHash(hashSeed, bytes, 16), key, shards);
    return place.shard === shard && place.home.low === home.low && place.home.high === home.high;
  });
  expect(matches, "shard and home of the key").toBe(true);
}
