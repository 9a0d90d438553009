// libs/tsdb/verify.ts: reads every byte of a data directory: all checksums, and whether its files say the same of each other.
// Changes nothing, but for the mark of a directory whose disk failed to sync: when all is whole it is removed (libs/wal, settleSuspect).
import {
  type BlockEntry,
  BlockReader,
  blockPath,
  blocksFolder,
  isBlockFile,
  isDraftFile,
  type RegistryState,
  readRegistry,
  registryPath,
  verifyBlock,
} from "../block/index.ts";
import { type Clock, errorCode, errorText, type FileSystem, type Processes } from "../env/index.ts";
import { ColumnKernel, createHash128, decodeSamplesRecord, newestTimeOf } from "../kernel/index.ts";
import { AppError, CorruptionError, type Hash128, InvalidError, placeSeries } from "../model/index.ts";
import { decodeSideRecord, isSideDraft, isSideFile, newestSideMs, sideFolder, verifySideFile } from "../side/index.ts";
import {
  type DirectoryIdentity,
  describeDamage,
  identityPath,
  lockDirectory,
  type Registration,
  type ReplayHandler,
  type ReplayReport,
  readIdentity,
  replay,
  segmentPath,
  settleSuspect,
  suspicionOf,
} from "../wal/index.ts";
import { decodeDeletion } from "./deletion-record.ts";
import { decodeMetadata } from "./metadata-store.ts";
import { quarantineFolder } from "./quarantine-folder.ts";

export interface VerifyOptions {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly processes: Processes;
  readonly dataDir: string;
  /** Hears which file is looked at next, and how many of how many bytes are done. */
  readonly onProgress?: (path: string, doneBytes: number, totalBytes: number) => void;
}

export interface VerifyReport {
  /** What is damaged, one line each; empty: the directory is whole. */
  readonly damages: readonly string[];
  /** What is remarkable but no damage: torn tails, files that mean nothing. */
  readonly notes: readonly string[];
  readonly files: number;
  readonly bytes: number;
}

/**
 * Verifies a data directory, or a snapshot, that no process uses. Errors: InvalidError when there is none, or a process uses it, or a later
 * release wrote it.
 */
export async function verifyDirectory(options: VerifyOptions): Promise<VerifyReport> {
  const { fs, clock, processes, dataDir } = options;
  if (fs.stat(dataDir)?.kind !== "directory") {
    throw new InvalidError(`cannot verify ${dataDir}: got no such folder; want a data directory (--data-dir)`);
  }
  const release = await lockIfPossible(fs, clock, processes, dataDir);
  try {
    return await new Verification(options).run();
  } finally {
    release();
  }
}

/** Where nobody can write, nobody needs to be kept out. */
async function lockIfPossible(
  fs: FileSystem,
  clock: Clock,
  processes: Processes,
  dataDir: string,
): Promise<() => void> {
  try {
    const lock = await lockDirectory(fs, clock, processes, dataDir);
    return () => lock.release();
  } catch (error) {
    if (["EROFS", "EACCES", "EPERM"].includes(errorCode(error) ?? "")) return () => {};
    throw error;
  }
}

class Verification {
  private readonly options: VerifyOptions;
  private readonly fs: FileSystem;
  private readonly dataDir: string;
  private readonly damages: string[] = [];
  private readonly notes: string[] = [];
  private files = 0;
  private bytes = 0;
  private totalBytes = 0;

  constructor(options: VerifyOptions) {
    this.options = options;
    this.fs = options.fs;
    this.dataDir = options.dataDir;
  }

  async run(): Promise<VerifyReport> {
    const { fs, dataDir } = this;
    this.totalBytes =
      bytesBelow(fs, `${dataDir}/wal`) + bytesBelow(fs, blocksFolder(dataDir)) + bytesBelow(fs, sideFolder(dataDir));
    const suspicion = suspicionOf(fs, dataDir);
    if (suspicion !== undefined) this.notes.push(`marked SUSPECT: ${suspicion}`);
    let identity: DirectoryIdentity | undefined;
    this.attempt(() => {
      identity = readIdentity(fs, identityPath(dataDir));
      this.files++;
    });
    // Without it nothing else can be told from the files of another directory.
    if (identity !== undefined) await this.verifyWith(identity, suspicion !== undefined);
    const { damages, notes, files, bytes } = this;
    return { damages, notes, files, bytes };
  }

  private async verifyWith(identity: DirectoryIdentity, isSuspect: boolean): Promise<void> {
    const { fs, dataDir } = this;
    let registry: RegistryState | undefined;
    const read = this.attempt(() => {
      registry = readRegistry(fs, dataDir, identity);
      if (registry !== undefined) this.files++;
    });
    const written = await this.verifyWal(identity, registry?.walFrom);
    if (registry !== undefined) this.verifyBlocks(identity, registry.blocks);
    else if (read) this.lookForBlocks();
    this.verifySideFiles();
    this.lookAtQuarantine();
    if (!isSuspect) return;
    if (this.damages.length > 0) {
      this.notes.push("the mark SUSPECT stays: a directory with damage takes no writes");
      return;
    }
    if (registry !== undefined) written.push(registryPath(dataDir));
    settleSuspect(fs, dataDir, [...written, identityPath(dataDir)]);
    this.notes.push(
      "the mark SUSPECT is removed: all is whole, and what the failed sync may have lost was written anew",
    );
  }

  /** The paths of the segments that were read. */
  private async verifyWal(identity: DirectoryIdentity, walFrom: number | undefined): Promise<string[]> {
    const { fs, dataDir } = this;
    const content = new WalContent(identity);
    const firstSegment = walFrom ?? firstSegmentOf(fs, dataDir);
    let current = 0;
    const handler: ReplayHandler = {
      registration: (entry) => content.registration(entry),
      samples: (body, segment) => {
        if (segment !== current) this.tell(segmentPath(dataDir, segment), 0);
        current = segment;
        return content.samples(body);
      },
      lateSamples: () => undefined,
      metadata: (body) => void decodeMetadata(body),
      side: (body) => Math.max(...decodeSideRecord(body).map(({ side }) => newestSideMs(side))),
      deletion: (body) => void decodeDeletion(body),
    };
    const { clock } = this.options;
    let report: ReplayReport;
    try {
      report = await replay(fs, clock, dataDir, identity, handler, { firstSegment, evenSuspect: true });
    } catch (error) {
      // A segment of another directory, or of a later release.
      if (!(error instanceof InvalidError)) throw error;
      this.damages.push(error.message);
      return [];
    }
    for (const one of report.damage) (one.kind === "tail" ? this.notes : this.damages).push(describeDamage(one));
    for (const one of content.wrong) this.damages.push(`${dataDir}/wal: ${one}`);
    for (const name of report.strangers) this.notes.push(`${dataDir}/wal/${name}: no file of ours`);
    this.files += report.segments.length;
    this.bytes += report.bytes;
    return report.segments.map(({ segment }) => segmentPath(dataDir, segment));
  }

  /** Files of histograms, exemplars and start times: each in the folder is live. */
  private verifySideFiles(): void {
    const { fs, dataDir } = this;
    const folder = sideFolder(dataDir);
    if (fs.stat(folder) === undefined) return;
    const kernel = new ColumnKernel();
    for (const name of fs.list(folder)) {
      if (!isSideFile(name)) {
        this.notes.push(
          `${folder}/${name}: ${isSideDraft(name) ? "what a crash left; the next start removes it, or gives it its name" : "no file of ours"}`,
        );
        continue;
      }
      const path = `${folder}/${name}`;
      this.tell(path, fs.stat(path)?.sizeBytes ?? 0);
      this.files++;
      this.attempt(() => {
        for (const { offset, message } of verifySideFile(fs, path, kernel)) {
          this.damages.push(`${path}: at ${offset}: ${message}`);
        }
      });
    }
  }

  private verifyBlocks(identity: DirectoryIdentity, entries: readonly BlockEntry[]): void {
    const { fs, dataDir } = this;
    const kernel = new ColumnKernel();
    const hash128 = createHash128(identity.hashSeed);
    const live = new Set(entries.map(({ file }) => file));
    for (const entry of entries) {
      const path = blockPath(dataDir, entry.file);
      this.tell(path, entry.sizeBytes);
      const found = fs.stat(path);
      if (found?.kind !== "file" || found.sizeBytes !== entry.sizeBytes) {
        const got = found === undefined ? "no such file" : `a ${found.kind} of ${found.sizeBytes} bytes`;
        this.damages.push(`${path}: ${got}; the registry names one of ${entry.sizeBytes} bytes`);
        continue;
      }
      this.files++;
      const before = this.damages.length;
      this.attempt(() => {
        for (const { part, offset, message } of verifyBlock(fs, path, kernel)) {
          this.damages.push(`${path}: ${part} at ${offset}: ${message}`);
        }
      });
      if (this.damages.length === before) this.attempt(() => this.compare(entry, path, identity, hash128, kernel));
    }
    this.lookForBlocks(live);
  }

  /** Whether a whole block is what the registry and the directory say. */
  private compare(
    entry: BlockEntry,
    path: string,
    identity: DirectoryIdentity,
    hash128: Hash128,
    kernel: ColumnKernel,
  ): void {
    const reader = new BlockReader(this.fs, path, kernel);
    try {
      const { footer } = reader;
      const said = { ...footer, series: footer.seriesCount, id: hex(footer.id) };
      for (const name of ["id", "shard", "level", "minMs", "maxMs", "series", "samples"] as const) {
        if (said[name] === entry[name]) continue;
        this.damages.push(`${path}: ${name} ${said[name]} in the footer, ${entry[name]} in the registry`);
      }
      if (hex(footer.hashSeed) !== hex(identity.hashSeed) || footer.shardCount !== identity.shardCount) {
        this.damages.push(`${path}: hash seed or shard count of another directory`);
        return;
      }
      for (let page = 0; page < footer.seriesPages.length; page++) {
        for (const key of reader.keysOfPage(page)) {
          const { shard } = placeSeries(hash128, key, footer.shardCount);
          if (shard === footer.shard) continue;
          this.damages.push(`${path}: a series of shard ${shard} in a block of shard ${footer.shard}`);
          return;
        }
      }
    } finally {
      reader.close();
    }
  }

  /** Names in the blocks' folder that no registry explains. */
  private lookForBlocks(live?: ReadonlySet<string>): void {
    const { fs, dataDir } = this;
    const folder = blocksFolder(dataDir);
    if (fs.stat(folder) === undefined) return;
    const hasRegistry = live !== undefined;
    for (const name of fs.list(folder)) {
      const path = blockPath(dataDir, name);
      if (path === registryPath(dataDir) || live?.has(name)) continue;
      if (!hasRegistry && isBlockFile(name)) this.damages.push(`${path}: a block, and no registry beside it`);
      else if (isBlockFile(name) || isDraftFile(name) || name.endsWith(".tmp")) {
        this.notes.push(`${path}: left behind by a crash; the next start removes it`);
      } else this.notes.push(`${path}: no file of ours`);
    }
  }

  private lookAtQuarantine(): void {
    const folder = quarantineFolder(this.dataDir);
    if (this.fs.stat(folder) === undefined) return;
    for (const name of this.fs.list(folder)) this.notes.push(`${folder}/${name}: in quarantine, not read`);
  }

  private tell(path: string, sizeBytes: number): void {
    this.options.onProgress?.(path, this.bytes, this.totalBytes);
    this.bytes += sizeBytes;
  }

  /** Runs one part; its error becomes a damage. Returns whether there was none. */
  private attempt(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (errorCode(error) === undefined && !(error instanceof AppError)) throw error;
      this.damages.push(errorText(error));
      return false;
    }
  }
}

/** What the WAL's records say, and what of it can't be. */
class WalContent {
  readonly wrong: string[] = [];
  private readonly hash128: Hash128;
  private readonly shardCount: number;
  /** A bit for each series number. */
  private registered = new Uint8Array(1024);

  constructor({ hashSeed, shardCount }: DirectoryIdentity) {
    this.hash128 = createHash128(hashSeed);
    this.shardCount = shardCount;
  }

  registration({ series, shard, home, id, key }: Registration): void {
    if (series >> 3 >= this.registered.length) {
      const longer = new Uint8Array(Math.max(this.registered.length * 2, (series >> 3) + 1));
      longer.set(this.registered);
      this.registered = longer;
    }
    this.registered[series >> 3]! |= 1 << (series & 7);
    const place = placeSeries(this.hash128, key, this.shardCount);
    const isRight =
      Buffer.compare(this.hash128(key), id) === 0 &&
      place.shard === shard &&
      ((BigInt(place.home.high) << 32n) | BigInt(place.home.low)) === home;
    if (!isRight) this.wrong.push(`series ${series} is registered with an id or a shard that its key doesn't have`);
  }

  /** Errors: CorruptionError for a record that makes no sense. */
  samples(body: Uint8Array): number {
    let series: Uint32Array;
    try {
      ({ series } = decodeSamplesRecord(body));
    } catch (error) {
      throw error instanceof InvalidError ? new CorruptionError(error.message, "", 0) : error;
    }
    for (const one of series) {
      if (((this.registered[one >> 3] ?? 0) & (1 << (one & 7))) !== 0) continue;
      throw new CorruptionError(`samples of series ${one}, which has no registration`, "", 0);
    }
    return newestTimeOf(body);
  }
}

/** The number of the oldest segment there is, for a directory that can't say where its log begins. */
function firstSegmentOf(fs: FileSystem, dataDir: string): number {
  const folder = `${dataDir}/wal`;
  if (fs.stat(folder) === undefined) return 1;
  const first = fs.list(folder).find((name) => /^\d{8}\.wal$/.test(name));
  return first === undefined ? 1 : Number(first.slice(0, 8));
}

function bytesBelow(fs: FileSystem, folder: string): number {
  if (fs.stat(folder) === undefined) return 0;
  return fs.list(folder).reduce((sum, name) => sum + (fs.stat(`${folder}/${name}`)?.sizeBytes ?? 0), 0);
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
