// test/unit/wal/wal-fixture.ts: a data directory opened as a storage would: identity, replay, WAL; what was read is kept as text.
import { type Clock, type FileSystem, type Random, SeededRandom, SimClock } from "../../../libs/env/index.ts";
import {
  type DirectoryIdentity,
  openIdentity,
  openWal,
  RECORD,
  type RegistrationBody,
  type RegistrationSource,
  type ReplayReport,
  replay,
  type Wal,
  type WalOptions,
} from "../../../libs/wal/index.ts";

export const DATA_DIR = "/disk/data";

/** Registered series by number; a source for the WAL and a target for the replay. */
export class TestSeries implements RegistrationSource {
  readonly keys = new Map<number, string>();

  get seriesEnd(): number {
    return this.keys.size === 0 ? 0 : Math.max(...this.keys.keys()) + 1;
  }

  addTo(body: RegistrationBody, series: number): void {
    const key = this.keys.get(series);
    if (key !== undefined) addEntry(body, series, key);
  }
}

/** Everything about a test's series follows from its number and key. */
export function addEntry(body: RegistrationBody, series: number, key: string): void {
  const id = new Uint8Array(16).fill(series);
  body.add(series, series % 64, BigInt(series) * 0x1_0000_0001n, id, new TextEncoder().encode(key));
}

export interface Opened {
  readonly identity: DirectoryIdentity;
  readonly report: ReplayReport;
  readonly series: TestSeries;
  /** Replayed records in order: "samples:…", "late:…", "metadata:…". */
  readonly records: string[];
}

export function openDirectory(
  fs: FileSystem,
  random: Random = new SeededRandom(5),
  dataDir = DATA_DIR,
): DirectoryIdentity {
  return openIdentity(fs, dataDir, { shardCount: 64 }, random);
}

/** Identity and replay. */
export async function read(fs: FileSystem, dataDir = DATA_DIR, clock: Clock = new SimClock()): Promise<Opened> {
  const identity = openDirectory(fs, new SeededRandom(5), dataDir);
  const series = new TestSeries();
  const records: string[] = [];
  const text = (body: Uint8Array): string => new TextDecoder().decode(body);
  const report = await replay(fs, clock, dataDir, identity, {
    registration(entry) {
      if (series.keys.has(entry.series)) throw new Error(`series ${entry.series} was replayed twice`);
      if (records.length > 0) throw new Error("a registration came after a sample");
      const same = entry.shard === entry.series % 64 && entry.home === BigInt(entry.series) * 0x1_0000_0001n;
      if (!same || entry.id.some((byte) => byte !== (entry.series & 255)))
        throw new Error("a registration has changed");
      series.keys.set(entry.series, text(entry.key));
    },
    samples: (body) => records.push(`samples:${text(body)}`),
    lateSamples: (body) => records.push(`late:${text(body)}`),
    metadata: (body) => records.push(`metadata:${text(body)}`),
  });
  return { identity, report, series, records };
}

/** Identity, replay and an inline WAL on `fs`. */
export async function open(fs: FileSystem, options: Partial<WalOptions> = {}): Promise<Opened & { readonly wal: Wal }> {
  const opened = await read(fs, options.dataDir, options.clock);
  const wal = openWal({
    fs,
    clock: new SimClock(),
    dataDir: DATA_DIR,
    identity: opened.identity,
    replayed: opened.report,
    registrations: opened.series,
    mode: "inline",
    bufferBytes: 2 ** 20,
    ...options,
  });
  return { ...opened, wal };
}

export function appendSamples(wal: Wal, text: string): number {
  return wal.append(RECORD.samples, new TextEncoder().encode(text));
}

/** Registers series in one record, as a storage does before it logs their samples. */
export function register(
  wal: Wal,
  series: TestSeries,
  entries: readonly (readonly [number, string])[],
  body: RegistrationBody,
): number {
  body.clear();
  for (const [number, key] of entries) addEntry(body, number, key);
  const position = wal.append(RECORD.registrations, body.body());
  for (const [number, key] of entries) series.keys.set(number, key);
  return position;
}
