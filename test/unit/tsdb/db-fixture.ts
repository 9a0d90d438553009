// test/unit/tsdb/db-fixture.ts: a storage on a simulated disk, and batches for it made by hand.

import { expect } from "vitest";
import { type FileSystem, SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import {
  type BatchAck,
  type IngestSession,
  labelsFromRecord,
  labelsToRecord,
  type Matcher,
} from "../../../libs/model/index.ts";
import { Db, type DbOptions } from "../../../libs/tsdb/index.ts";
import { register, writeBatch } from "../../contract/ingest-batch.ts";

export const DATA_DIR = "/disk/data";
export const NOW = 1_700_000_000_000;
export const TENANT = "default";
export const HOUR = 3_600_000;

export const SEGMENT = (number: number): string => `${DATA_DIR}/wal/${String(number).padStart(8, "0")}.wal`;

let lastPid = 1;

/** Opens the storage on `fs`; each as a process of its own, the ones before it gone. */
export async function openDb(
  fs: FileSystem = new SimFileSystem(),
  overrides: Partial<DbOptions> & { readonly clock?: SimClock } = {},
): Promise<Db> {
  const clock = overrides.clock ?? new SimClock(NOW);
  const pid = ++lastPid;
  const opening = Db.open({
    dataDir: DATA_DIR,
    fs,
    clock,
    random: new SeededRandom(7),
    processes: { pid, host: "test", startOf: (other) => (other === pid ? "now" : undefined) },
    shardCount: 4,
    headMemoryBytes: 1 << 20,
    retentionMs: 24 * HOUR,
    maxFutureMs: HOUR / 6,
    seriesMax: 1000,
    walMode: "inline",
    walBufferBytes: 1 << 20,
    ...overrides,
  });
  let settled = false;
  const done = opening.finally(() => {
    settled = true;
  });
  done.catch(() => {});
  // A lock that a crash has left half written is looked at again after a while; else no time passes.
  for (let turn = 0; !settled; turn++) await clock.advance(turn < 100 ? 0 : 100);
  return done;
}

/** Lets the work of a storage go on until it settles, or until the process whose files these are has died. */
export async function settled<T>(clock: SimClock, work: Promise<T>, fs?: SimFileSystem): Promise<T> {
  let done = false;
  const mark = work.finally(() => {
    done = true;
  });
  mark.catch(() => undefined);
  for (let turn = 0; !done; turn++) {
    if (turn > 5000) throw new Error("the work does not end");
    await clock.advance(turn < 100 ? 0 : 1);
    if (!done && fs?.crashed) throw new Error("the process died");
  }
  return mark;
}

export type LabelRecord = Readonly<Record<string, string>>;
/** Labels, then time and value; a bigint is the value's bits. */
export type Row = readonly [labels: LabelRecord, timeMs: number, value: number | bigint];

export function bitsOfNumber(value: number): bigint {
  return new BigUint64Array(Float64Array.of(value).buffer)[0]!;
}

/** One batch with the registrations of all its series, references from `firstRef` on. */
export function batchOf(session: IngestSession, rows: readonly Row[], firstRef = 1, tenant = TENANT): Uint8Array {
  const refs = new Map<string, number>();
  const registrations = [];
  for (const [labels] of rows) {
    const key = JSON.stringify(labels);
    if (refs.has(key)) continue;
    const ref = firstRef + refs.size;
    refs.set(key, ref);
    registrations.push(register(session.identity, ref, tenant, labelsFromRecord(labels)));
  }
  return writeBatch({
    seq: 1,
    registrations,
    refs: rows.map(([labels]) => refs.get(JSON.stringify(labels))!),
    timesMs: rows.map(([, time]) => time),
    values: valuesOf(rows),
  });
}

/** A session that registers each series once, and again when the storage has forgotten it, as an insert does. */
export class Feed {
  readonly session: IngestSession;
  private readonly refs = new Map<string, number>();
  private seq = 0;
  /** References that the storage did not know any more. */
  forgotten = 0;

  constructor(db: Db) {
    this.session = db.openSession();
  }

  async append(rows: readonly Row[], tenant = TENANT): Promise<BatchAck> {
    const names = rows.map(([labels]) => JSON.stringify([tenant, labels]));
    const news = new Set(names.filter((name) => !this.refs.has(name)));
    for (const name of news) this.refs.set(name, this.refs.size + 1);
    const ack = await this.send(rows, names, news);
    if (ack.status !== "unknown-refs") return ack;
    this.forgotten += ack.unknownRefs.length;
    const unknown = names.filter((name) => news.has(name) || ack.unknownRefs.includes(this.refs.get(name)!));
    return this.send(rows, names, new Set(unknown));
  }

  private send(rows: readonly Row[], names: readonly string[], named: ReadonlySet<string>): Promise<BatchAck> {
    const registrations = [...named].map((name) => {
      const [tenant, labels] = JSON.parse(name) as [string, LabelRecord];
      return register(this.session.identity, this.refs.get(name)!, tenant, labelsFromRecord(labels));
    });
    const refs = names.map((name) => this.refs.get(name)!);
    const timesMs = rows.map(([, time]) => time);
    return this.session.append(writeBatch({ seq: ++this.seq, registrations, refs, timesMs, values: valuesOf(rows) }));
  }
}

function valuesOf(rows: readonly Row[]): Float64Array {
  const bits = BigUint64Array.from(rows, ([, , value]) => (typeof value === "bigint" ? value : bitsOfNumber(value)));
  return new Float64Array(bits.buffer);
}

/** Writes rows in one batch through a session of their own. */
export async function write(db: Db, rows: readonly Row[], tenant = TENANT): Promise<BatchAck> {
  const session = db.openSession();
  try {
    return await session.append(batchOf(session, rows, 1, tenant));
  } finally {
    await session.close();
  }
}

/** All samples of a tenant as text lines: labels, time after NOW, bits. */
export function contents(db: Db, matchers: readonly Matcher[] = [], tenant = TENANT): string[] {
  const lines: string[] = [];
  for (const { labels, times, values } of db.export(tenant, matchers)) {
    const bits = new BigUint64Array(values.buffer, values.byteOffset, values.length);
    times.forEach((time, i) => {
      lines.push(`${JSON.stringify(labelsToRecord(labels))} ${time - NOW} ${bits[i]!.toString(16)}`);
    });
  }
  return lines.sort();
}

/** Closes a storage; the contents of its directory as the next process finds them, undamaged. */
export async function reopened(db: Db, fs: SimFileSystem, options: Partial<DbOptions> = {}): Promise<string[]> {
  await db.close();
  const next = await openDb(fs, options as object);
  const found = contents(next);
  expect(next.replayed.damage).toEqual([]);
  await next.close();
  return found;
}

/** A row as `contents` shows it. */
export function line([labels, timeMs, value]: Row): string {
  const bits = typeof value === "bigint" ? value : bitsOfNumber(value);
  return `${JSON.stringify(labelsToRecord(labelsFromRecord(labels)))} ${timeMs - NOW} ${bits.toString(16)}`;
}

export const lines = (rows: readonly Row[]): string[] => rows.map(line).sort();
