// test/unit/wal/wal-fixture.ts: a data directory opened as a storage would: identity, replay, WAL; what was read is kept as text.
import {
  type Clock,
  type DiskSpace,
  type FileStat,
  type FileSystem,
  type OpenFile,
  type OpenMode,
  type Random,
  SeededRandom,
  SimClock,
} from "../../../libs/env/index.ts";
import {
  type DirectoryIdentity,
  type MetadataSource,
  openIdentity,
  openWal,
  RECORD,
  type RegistrationBody,
  type RegistrationSource,
  type ReplayHandler,
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

/** Metadata as texts by place; a source for the WAL and a target for the replay. Bodies are lists of [place, text]. */
export class TestMetadata implements MetadataSource {
  readonly texts: string[] = [];
  private readonly blockTexts: number;

  constructor(blockTexts = 2) {
    this.blockTexts = blockTexts;
  }

  get metadataEnd(): number {
    return this.texts.length;
  }

  repeatMetadata(from: number): { body: Uint8Array; end: number } {
    const end = Math.min(from + this.blockTexts, this.texts.length);
    const rows = this.texts.slice(from, end).map((text, i) => [from + i, text]);
    return { body: new TextEncoder().encode(JSON.stringify(rows)), end };
  }

  /** Logs another text for a place, and changes it unless the log refuses. */
  put(wal: Wal, place: number, text: string): number {
    const position = wal.append(RECORD.metadata, new TextEncoder().encode(JSON.stringify([[place, text]])));
    this.texts[place] = text;
    return position;
  }

  /** Takes over a replayed record as `Opened` has it. */
  replay(record: string): void {
    for (const [place, text] of JSON.parse(record.slice("metadata:".length)) as [number, string][]) {
      this.texts[place] = text;
    }
  }
}

export interface Opened {
  readonly identity: DirectoryIdentity;
  readonly report: ReplayReport;
  readonly series: TestSeries;
  /** Replayed records in order: "samples:…", "late:…", "metadata:…". */
  readonly records: string[];
  /** Number of the segment that each of them was in. */
  readonly segments: number[];
}

export function openDirectory(
  fs: FileSystem,
  random: Random = new SeededRandom(5),
  dataDir = DATA_DIR,
): DirectoryIdentity {
  return openIdentity(fs, dataDir, { shardCount: 64 }, random);
}

/** Identity and replay. Samples that begin with "t=" and a number have that time; that of others is unknown. */
export async function read(
  fs: FileSystem,
  dataDir = DATA_DIR,
  clock: Clock = new SimClock(),
  firstSegment = 1,
): Promise<Opened> {
  const identity = openDirectory(fs, new SeededRandom(5), dataDir);
  const series = new TestSeries();
  const records: string[] = [];
  const segments: number[] = [];
  const watched = new OpenedLast(fs);
  const keep = (kind: string, body: Uint8Array): number | undefined => {
    const text = new TextDecoder().decode(body);
    records.push(`${kind}:${text}`);
    segments.push(watched.segment);
    const time = /^t=(-?\d+)/.exec(text)?.[1];
    return time === undefined ? undefined : Number(time);
  };
  const handler: ReplayHandler = {
    registration(entry) {
      if (series.keys.has(entry.series)) throw new Error(`series ${entry.series} was replayed twice`);
      if (records.length > 0) throw new Error("a registration came after a sample");
      const same = entry.shard === entry.series % 64 && entry.home === BigInt(entry.series) * 0x1_0000_0001n;
      if (!same || entry.id.some((byte) => byte !== (entry.series & 255)))
        throw new Error("a registration has changed");
      series.keys.set(entry.series, new TextDecoder().decode(entry.key));
    },
    samples: (body) => keep("samples", body),
    lateSamples: (body) => keep("late", body),
    metadata: (body) => void keep("metadata", body),
    side: (body) => keep("side", body),
    deletion: (body) => void keep("deletion", body),
  };
  const report = await replay(watched, clock, dataDir, identity, handler, { firstSegment });
  return { identity, report, series, records, segments };
}

/** A file system that remembers which segment was opened last: the one that the replay is in. */
class OpenedLast implements FileSystem {
  segment = 0;
  private readonly fs: FileSystem;

  constructor(fs: FileSystem) {
    this.fs = fs;
  }

  open(path: string, mode: OpenMode): OpenFile {
    const name = /(\d+)\.wal$/.exec(path);
    if (name !== null) this.segment = Number(name[1]);
    return this.fs.open(path, mode);
  }

  stat(path: string): FileStat | undefined {
    return this.fs.stat(path);
  }

  list(folder: string): string[] {
    return this.fs.list(folder);
  }

  makeDirectory(path: string): void {
    this.fs.makeDirectory(path);
  }

  rename(from: string, to: string): void {
    this.fs.rename(from, to);
  }

  link(from: string, to: string): void {
    this.fs.link(from, to);
  }

  unlink(path: string): void {
    this.fs.unlink(path);
  }

  removeDirectory(path: string): void {
    this.fs.removeDirectory(path);
  }

  space(folder: string): DiskSpace {
    return this.fs.space(folder);
  }

  fsyncDir(folder: string, site: string): void {
    this.fs.fsyncDir(folder, site);
  }

  fsyncDirSoon(folder: string, site: string): Promise<void> {
    return this.fs.fsyncDirSoon(folder, site);
  }
}

/** Identity, replay and an inline WAL on `fs`. */
export async function open(
  fs: FileSystem,
  options: Partial<WalOptions> & { readonly firstSegment?: number } = {},
): Promise<Opened & { readonly wal: Wal }> {
  const opened = await read(fs, options.dataDir, options.clock, options.firstSegment);
  const wal = openWal({
    fs,
    clock: new SimClock(),
    dataDir: DATA_DIR,
    identity: opened.identity,
    replayed: opened.report,
    registrations: opened.series,
    metadata: new TestMetadata(),
    mode: "inline",
    bufferBytes: 2 ** 20,
    ...options,
  });
  return { ...opened, wal };
}

export function appendSamples(wal: Wal, text: string, newestMs?: number): number {
  return wal.append(RECORD.samples, new TextEncoder().encode(text), newestMs);
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
