// libs/wal/replay.ts: reads the WAL at the start: all registrations of all segments first, then everything else in order.
// Damage costs what it hit and nothing else; it is reported with its place. Reading changes nothing on disk and may be repeated.
import { type Clock, type FileSystem, SECTOR_BYTES } from "../env/index.ts";
import { CorruptionError, InvalidError } from "../model/index.ts";
import type { DirectoryIdentity } from "./identity.ts";
import { Checksums, isKnownType, RECORD } from "./record.ts";
import { decompressRegistrations, Registration, SERIES_END_MAX } from "./registration.ts";
import { type Scanned, SegmentReader, scanSegment } from "./scan.ts";
import {
  claimedDirectory,
  decodeSegmentHeader,
  listSegments,
  type SegmentEnd,
  type SegmentHeader,
  segmentPath,
  walFolder,
} from "./segment.ts";
import { refuseSuspect } from "./suspect.ts";

/** Bytes between two breaths of the event loop. */
const PAUSE_BYTES = 4 * 2 ** 20;

/** Receives what is intact. Bodies and entries are valid during the call only. A CorruptionError thrown here counts as damage. */
export interface ReplayHandler {
  /** Each registered series once, before all samples; not in the order of the numbers. */
  registration(entry: Registration): void;
  /** Returns the newest time (ms) of the record's samples, undefined when it can't tell. */
  samples(body: Uint8Array, segment: number): number | undefined;
  /** Likewise. */
  lateSamples(body: Uint8Array): number | undefined;
  metadata(body: Uint8Array): void;
  /** As samples. */
  side(body: Uint8Array, segment: number): number | undefined;
  /** In its place among the samples. */
  deletion(body: Uint8Array): void;
}

/** A range of a segment that gave no records. */
export interface Damage {
  /** tail: the end of what a crash interrupted, never acknowledged; damage: may have held acknowledged records. */
  readonly kind: "tail" | "damage";
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  readonly reason: string;
  /** False where it is known that no sample was lost: all else is there more than once. */
  readonly mayLoseSamples: boolean;
}

export interface ReplayedSegment {
  readonly segment: number;
  readonly sizeBytes: number;
  /** Where the last intact record ends. */
  readonly endOffset: number;
  /** Newest time of its samples; -Infinity when it has none, Infinity when that is unknown: it is damaged, or the handler can't tell. */
  readonly newestMs: number;
}

export interface ReplayReport {
  /** The segments read, in order. */
  readonly segments: readonly ReplayedSegment[];
  /** Segments below it were ignored. */
  readonly firstSegment: number;
  readonly counts: Readonly<Record<"series" | "samples" | "lateSamples" | "metadata" | "deletions" | "side", number>>;
  readonly bytes: number;
  readonly damage: readonly Damage[];
  /** Names in the WAL's folder that mean nothing to it. */
  readonly strangers: readonly string[];
  /** Where writing stopped; the next segment's header repeats it. */
  readonly end: SegmentEnd;
  readonly nextSegment: number;
  readonly elapsedMs: number;
}

/** One line for a log. */
export function describeDamage(damage: Damage): string {
  return `${damage.path}: ${damage.length} bytes at ${damage.offset}: ${damage.reason}${damage.kind === "tail" ? " (torn tail)" : ""}`;
}

export interface ReplayOptions {
  /**
   * Segments below it are ignored, and may be missing: the owner keeps what they held elsewhere, and had stored this number
   * durably before it truncated the WAL. 1 when left out.
   */
  readonly firstSegment?: number;
  /** Reads a directory marked SUSPECT as well: nothing will be built on what is found. */
  readonly evenSuspect?: boolean;
}

/**
 * Replays the WAL of a data directory. Errors: InvalidError for a directory marked SUSPECT, unless `evenSuspect`, for a newer format, and for segments
 * of another directory. Damage is no error.
 */
export async function replay(
  fs: FileSystem,
  clock: Clock,
  dataDir: string,
  identity: DirectoryIdentity,
  handler: ReplayHandler,
  { firstSegment = 1, evenSuspect = false }: ReplayOptions = {},
): Promise<ReplayReport> {
  if (!evenSuspect) refuseSuspect(fs, dataDir);
  return new Replay(fs, clock, dataDir, identity, handler, firstSegment).run();
}

interface Segment {
  readonly segment: number;
  readonly path: string;
  header: SegmentHeader | undefined;
}

class Replay {
  private readonly fs: FileSystem;
  private readonly clock: Clock;
  private readonly dataDir: string;
  private readonly identity: DirectoryIdentity;
  private readonly handler: ReplayHandler;
  private readonly firstSegment: number;
  private readonly segments: Segment[] = [];
  private readonly damage: Damage[] = [];
  private readonly counts = { series: 0, samples: 0, lateSamples: 0, metadata: 0, deletions: 0, side: 0 };
  private seen = new Uint8Array(1024);
  private bytes = 0;
  /** Of the segment being read. */
  private newestMs = Number.NEGATIVE_INFINITY;

  constructor(
    fs: FileSystem,
    clock: Clock,
    dataDir: string,
    identity: DirectoryIdentity,
    handler: ReplayHandler,
    firstSegment: number,
  ) {
    this.fs = fs;
    this.clock = clock;
    this.dataDir = dataDir;
    this.identity = identity;
    this.handler = handler;
    this.firstSegment = firstSegment;
  }

  async run(): Promise<ReplayReport> {
    const startMs = this.clock.monotonicMs();
    const { segments, strangers } = listSegments(this.fs, this.dataDir);
    this.find(segments);
    for (const one of this.segments) await this.readRegistrations(one);
    const read: ReplayedSegment[] = [];
    for (let i = 0; i < this.segments.length; i++) {
      const one = this.segments[i]!;
      this.newestMs = Number.NEGATIVE_INFINITY;
      const end = await this.readRecords(one, this.segments[i + 1]);
      const damaged = this.damage.some(({ kind, path }) => kind === "damage" && path === one.path);
      const newestMs = damaged ? Number.POSITIVE_INFINITY : this.newestMs;
      read.push({ segment: one.segment, ...end, newestMs });
      this.bytes += end.sizeBytes;
    }
    const last = read.at(-1);
    return {
      segments: read,
      firstSegment: this.firstSegment,
      counts: this.counts,
      bytes: this.bytes,
      damage: this.damage,
      strangers,
      end: { segment: last?.segment ?? 0, offset: last?.endOffset ?? 0 },
      nextSegment: Math.max(this.firstSegment, (segments.at(-1) ?? 0) + 1),
      elapsedMs: this.clock.monotonicMs() - startMs,
    };
  }

  /** What is there to read; numbers that are missing are damage, because nothing but a truncation removes segments. */
  private find(segments: readonly number[]): void {
    let expected = this.firstSegment;
    for (const segment of segments) {
      if (segment < this.firstSegment) continue;
      if (expected < segment) {
        const reason = expected === segment - 1 ? "missing segment" : `missing segments, up to number ${segment - 1}`;
        this.addDamage(segmentPath(this.dataDir, expected), 0, 0, reason);
      }
      expected = segment + 1;
      const path = segmentPath(this.dataDir, segment);
      const kind = this.fs.stat(path)?.kind;
      if (kind === "file") this.segments.push({ segment, path, header: undefined });
      else this.addDamage(path, 0, 0, `not a file but ${kind === undefined ? "gone" : `a ${kind}`}`);
    }
  }

  private async readRegistrations(one: Segment): Promise<void> {
    const wanted = (type: number): boolean =>
      type === RECORD.segmentHeader || type === RECORD.registrations || type === RECORD.repeatedRegistrations;
    await this.scan(one, wanted, (found) => {
      if (found.kind !== "record") return;
      if (found.type === RECORD.segmentHeader) one.header = decodeSegmentHeader(one.path, found.body);
      else this.guard(one.path, found, () => this.register(one.path, found));
    });
    if (one.header === undefined) this.refuseForeign(one);
  }

  private register(path: string, record: Extract<Scanned, { kind: "record" }>): void {
    const plain = record.type === RECORD.registrations ? record.body : decompressRegistrations(record.body);
    const entry = new Registration(plain ?? new Uint8Array(1));
    let more = entry.next();
    for (; more === true; more = entry.next()) {
      if (!this.markSeen(entry.series)) continue;
      this.counts.series++;
      this.handler.registration(entry);
    }
    if (more === "malformed") {
      this.addDamage(path, record.offset, record.end - record.offset, "malformed registrations");
    }
  }

  /** True when `series` had not been seen. */
  private markSeen(series: number): boolean {
    const at = series >> 3;
    const bit = 1 << (series & 7);
    if (at >= this.seen.length) {
      const longer = new Uint8Array(Math.min(SERIES_END_MAX / 8, Math.max(this.seen.length * 2, at + 1)));
      longer.set(this.seen);
      this.seen = longer;
    }
    if ((this.seen[at]! & bit) !== 0) return false;
    this.seen[at]! |= bit;
    return true;
  }

  private async readRecords(
    one: Segment,
    next: Segment | undefined,
  ): Promise<{ sizeBytes: number; endOffset: number }> {
    const regions: Extract<Scanned, { kind: "region" }>[] = [];
    let endOffset = 0;
    const reader = await this.scan(
      one,
      () => true,
      (found) => {
        if (found.kind === "region") {
          regions.push(found);
          return;
        }
        if (found.kind === "skipped") return;
        endOffset = found.end;
        this.guard(one.path, found, () => this.deliver(one, found));
      },
    );
    for (const region of regions) {
      if (region.offset >= endOffset) continue;
      this.addDamage(one.path, region.offset, region.length, region.reason, "damage", region.type);
    }
    const tail = regions.find((region) => region.offset >= endOffset);
    const successor = next?.header?.previous.segment === one.segment ? next.header.previous : undefined;
    const knownEnd = next === undefined ? endOffset : (successor?.offset ?? Number.POSITIVE_INFINITY);
    if (tail !== undefined) {
      const kind = endOffset >= knownEnd ? "tail" : "damage";
      this.addDamage(one.path, tail.offset, reader.sizeBytes - tail.offset, tail.reason, kind);
    } else if (successor !== undefined && endOffset < successor.offset) {
      this.addDamage(one.path, endOffset, successor.offset - endOffset, "cut off: the next segment says it was longer");
    }
    if (reader.unreadablePages > 0) {
      this.addDamage(one.path, 0, reader.sizeBytes, `EIO on ${reader.unreadablePages} pages, read as zeros`);
    }
    return { sizeBytes: reader.sizeBytes, endOffset };
  }

  private deliver({ path, segment }: Segment, record: Extract<Scanned, { kind: "record" }>): void {
    const { type, body, offset, end } = record;
    if (type === RECORD.samples) {
      this.sawSamples(this.handler.samples(body, segment));
      this.counts.samples++;
    } else if (type === RECORD.lateSamples) {
      this.sawSamples(this.handler.lateSamples(body));
      this.counts.lateSamples++;
    } else if (type === RECORD.side) {
      this.sawSamples(this.handler.side(body, segment));
      this.counts.side++;
    } else if (type === RECORD.metadata) {
      this.handler.metadata(body);
      this.counts.metadata++;
    } else if (type === RECORD.deletion) {
      this.handler.deletion(body);
      this.counts.deletions++;
    } else if (!isKnownType(type)) {
      this.addDamage(path, offset, end - offset, `record type ${type} is unknown to this release`);
    }
  }

  private sawSamples(newestMs = Number.POSITIVE_INFINITY): void {
    this.newestMs = Math.max(this.newestMs, newestMs);
  }

  /** A record whose content makes no sense to its receiver is damage like any other. */
  private guard(path: string, record: Extract<Scanned, { kind: "record" }>, receive: () => void): void {
    try {
      receive();
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      this.addDamage(path, record.offset, record.end - record.offset, error.message);
    }
  }

  /** One pass over a segment, with pauses so that health checks are answered meanwhile. */
  private async scan(
    one: Segment,
    wanted: (type: number) => boolean,
    visit: (found: Scanned) => void,
  ): Promise<SegmentReader> {
    const file = this.fs.open(one.path, "read");
    try {
      const reader = new SegmentReader(file);
      let pauseAt = PAUSE_BYTES;
      for (const found of scanSegment(reader, new Checksums(this.identity.directoryId, one.segment), wanted)) {
        visit(found);
        if (found.offset < pauseAt) continue;
        pauseAt = found.offset + PAUSE_BYTES;
        await this.clock.sleep(0);
      }
      return reader;
    } finally {
      file.close();
    }
  }

  /** A segment of another directory looks damaged from end to end; replaying without it would lose it silently. */
  private refuseForeign(one: Segment): void {
    const file = this.fs.open(one.path, "read");
    const reader = new SegmentReader(file);
    reader.at(0, Math.min(SECTOR_BYTES, reader.sizeBytes));
    file.close();
    const claimed = claimedDirectory(reader.bytes, one.segment);
    if (claimed === undefined || Buffer.compare(claimed, this.identity.directoryId) === 0) return;
    throw new InvalidError(
      `cannot replay ${one.path}: got a segment of the data directory ${Buffer.from(claimed).toString("hex")}; ` +
        `want one of ${Buffer.from(this.identity.directoryId).toString("hex")}: ${walFolder(this.dataDir)} and tidemark.json belong together`,
    );
  }

  private addDamage(
    path: string,
    offset: number,
    length: number,
    reason: string,
    kind: Damage["kind"] = "damage",
    type?: number,
  ): void {
    const holdsSamples = type === undefined || type === RECORD.samples || type === RECORD.lateSamples;
    this.damage.push({ kind, path, offset, length, reason, mayLoseSamples: kind === "damage" && holdsSamples });
  }
}
