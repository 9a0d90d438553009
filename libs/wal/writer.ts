// libs/wal/writer.ts: puts groups of records into segments: checksums, write, fdatasync, the next segment. All of it blocks;
// the same code runs in the worker (sync-worker.ts) and, in simulations, inline.
// Invariants: a group lies in one segment; a group is durable, and so is its segment's name, before `commit` says "done";
// what was acknowledged is never written again, not even its sector; after a failed sync nothing is written any more.
import { type Clock, errorCode, errorText, type FileSystem, type OpenFile } from "../env/index.ts";
import type { DirectoryIdentity } from "./identity.ts";
import { Checksums } from "./record.ts";
import { encodeSegmentHead, type SegmentEnd, segmentPath, walFolder, wholeSectors } from "./segment.ts";
import { markSuspect } from "./suspect.ts";

/** What a writer needs to know; plain data, so that it can be sent to a worker. */
export interface WriterSettings {
  readonly dataDir: string;
  readonly identity: DirectoryIdentity;
  /** Where the WAL ended when it was replayed; writing goes on in a new segment. */
  readonly previous: SegmentEnd;
  /** Number of that new segment: above every segment that exists, intact or not. */
  readonly segment: number;
  /** A group that would make a segment longer goes to the next one. */
  readonly segmentBytes: number;
}

export type CommitResult =
  | { readonly kind: "done"; readonly segment: number; readonly writeMs: number; readonly syncMs: number }
  /** The disk is full (or files have run out): nothing is lost, commit the same group again later. */
  | { readonly kind: "no-space"; readonly text: string }
  /** Nothing may be written any more. */
  | { readonly kind: "failed"; readonly text: string };

/** Errors that time may cure. All others of the write path are final. */
const PASSING = new Set(["ENOSPC", "EDQUOT", "EMFILE", "ENFILE"]);

export class SegmentWriter {
  private readonly fs: FileSystem;
  private readonly clock: Clock;
  private readonly settings: WriterSettings;
  private segment: number;
  private previous: SegmentEnd;
  private file: OpenFile | undefined;
  private checksums: Checksums;
  /** End of the acknowledged part, a whole number of sectors; 0 until the head is written. */
  private offset = 0;
  /** End of the last acknowledged record: `offset` without padding. */
  private recordsEnd = 0;
  /** Whether the segment's name is durable, and with it the first group. */
  private named = false;
  private failure: string | undefined;

  constructor(fs: FileSystem, clock: Clock, settings: WriterSettings) {
    this.fs = fs;
    this.clock = clock;
    this.settings = settings;
    this.segment = settings.segment;
    this.previous = settings.previous;
    this.checksums = new Checksums(settings.identity.directoryId, this.segment);
  }

  /**
   * Makes the records in the first `length` bytes of `group` durable, as a whole or not at all as far as the caller may
   * rely on it. The buffer must reach to the next whole sector; the bytes up to there are zeroed. `newSegment`: the group is to
   * be the first of its segment; where none lies in this one yet, that is so already. Never throws.
   */
  commit(group: Uint8Array, length: number, newSegment: boolean): CommitResult {
    if (this.failure !== undefined) return { kind: "failed", text: this.failure };
    const padded = wholeSectors(length);
    if (this.named && (newSegment || this.offset + padded > this.settings.segmentBytes)) this.endSegment();
    const startMs = this.clock.monotonicMs();
    try {
      this.writeGroup(group, length, padded);
    } catch (error) {
      return this.undo(error);
    }
    const writtenMs = this.clock.monotonicMs();
    try {
      this.sync();
    } catch (error) {
      const text = `cannot sync ${this.path()}: got ${errorText(error)}; want every acknowledged byte on disk`;
      markSuspect(this.fs, this.settings.dataDir, `${new Date(this.clock.nowMs()).toISOString()} ${text}`);
      return this.fail(text);
    }
    this.recordsEnd = this.offset + length;
    this.offset += padded;
    const endMs = this.clock.monotonicMs();
    return { kind: "done", segment: this.segment, writeMs: writtenMs - startMs, syncMs: endMs - writtenMs };
  }

  close(): void {
    this.file?.close();
    this.file = undefined;
    this.failure ??= "cannot write to the WAL: got a closed one; want it open";
  }

  private path(): string {
    return segmentPath(this.settings.dataDir, this.segment);
  }

  /** The next group opens the next segment. Everything in this one is durable already. */
  private endSegment(): void {
    this.file?.close();
    this.file = undefined;
    this.previous = { segment: this.segment, offset: this.recordsEnd };
    this.segment++;
    this.checksums = new Checksums(this.settings.identity.directoryId, this.segment);
    this.offset = 0;
    this.named = false;
  }

  private writeGroup(group: Uint8Array, length: number, padded: number): void {
    this.file ??= this.fs.open(this.path(), "create");
    if (this.offset === 0) {
      const header = { segment: this.segment, previous: this.previous, createdMs: this.clock.nowMs() };
      const head = encodeSegmentHead(header, this.settings.identity);
      this.file.write(head, 0);
      this.offset = head.length;
    }
    this.checksums.seal(group, length, this.offset);
    group.fill(0, length, padded);
    this.file.write(group.subarray(0, padded), this.offset);
  }

  private sync(): void {
    this.file?.fdatasync("wal-group");
    if (this.named) return;
    this.fs.fsyncDir(walFolder(this.settings.dataDir), "wal-segment");
    this.named = true;
  }

  /** After a failed write: gives the disk back what was written of the group, or fails for good. */
  private undo(error: unknown): CommitResult {
    const text = `cannot write ${this.path()}: got ${errorText(error)}`;
    if (!PASSING.has(errorCode(error) ?? "")) return this.fail(`${text}; want a disk that can be written`);
    try {
      this.file?.truncate(this.offset);
    } catch (second) {
      return this.fail(`${text}, then ${errorText(second)}; want a disk that can be written`);
    }
    return { kind: "no-space", text: `${text}; want space (or files) on the disk: writes go on by themselves then` };
  }

  private fail(text: string): CommitResult {
    this.failure = text;
    return { kind: "failed", text };
  }
}
