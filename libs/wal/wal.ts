// libs/wal/wal.ts: the write-ahead log as its owner sees it: append, then wait until it is durable. Group commit: while one
// group is written and synced, everything appended meanwhile forms the next.
// Invariants: records become durable in the order of `append`; a buffer is not touched while its commit is open; a failed sync
// is never tried again; what was accepted is kept until it is durable or the WAL has ended. A rotation's boundary lies between two
// groups, and the later one begins a segment; `registeredFrom` is a segment that was begun, so what is written to never goes.
import { type Clock, errorText, type FileSystem, Gather } from "../env/index.ts";
import { InternalError, UnavailableError } from "../model/index.ts";
import { type Committer, InlineCommitter, NoCommitter, WorkerCommitter } from "./committer.ts";
import { Group } from "./group.ts";
import type { DirectoryIdentity } from "./identity.ts";
import { frameBytes, RECORD, type RecordType } from "./record.ts";
import { compressRegistrations } from "./registration.ts";
import { type MetadataSource, type RegistrationSource, Repeater } from "./repeat.ts";
import type { ReplayReport } from "./replay.ts";
import { SEGMENT_MAX, segmentPath, walFolder, wholeSectors } from "./segment.ts";
import { markSuspect, refuseSuspect } from "./suspect.ts";
import type { CommitResult, WriterSettings } from "./writer.ts";

/** New segments repeat all registrations, 5 µs a series: segments are long, so that this stays a small part of the work. */
const SEGMENT_BYTES = 512 * 2 ** 20;
const BUFFER_BYTES = 32 * 2 ** 20;
/** A block of repeated registrations must fit into an empty group, whatever keys were accepted. */
const BUFFER_BYTES_MIN = 2 ** 20;
const SPACE_RETRY_MS = 500;
const CLOSED = "cannot write to the WAL: got a closed one; want it open";

/** What one commit took; for metrics. */
export interface GroupStats {
  readonly bytes: number;
  readonly records: number;
  readonly segment: number;
  readonly writeMs: number;
  readonly syncMs: number;
}

export interface WalOptions {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly dataDir: string;
  readonly identity: DirectoryIdentity;
  /** The replay that came before: writing goes on after it. */
  readonly replayed: ReplayReport;
  readonly registrations: RegistrationSource;
  readonly metadata: MetadataSource;
  /** worker: on the real file system, whatever `fs` is; inline: on `fs`, in this thread. */
  readonly mode: "worker" | "inline";
  readonly segmentBytes?: number;
  /** Limit of what may wait for the disk while a commit is open; `append` refuses beyond it. */
  readonly bufferBytes?: number;
  readonly onGroup?: (stats: GroupStats) => void;
  /** Given: nothing is ever written, and this is what writers are told. A directory marked SUSPECT may be opened so. */
  readonly readOnly?: string | undefined;
}

/** open: all is well; full: the disk is, and appends are refused until it isn't; failed, closed and read-only are final. */
export type WalState = "open" | "full" | "failed" | "closed" | "read-only";

/** What a writer should wait before it tries again, in seconds. */
const RETRY_S: Readonly<Record<WalState, number>> = { open: 1, full: 5, failed: 1, closed: 1, "read-only": 60 };

/** A rotation that was asked for. */
interface Rotation {
  readonly atBoundary: () => void;
  readonly resolve: (segment: number) => void;
  readonly reject: (error: unknown) => void;
}

export class Wal {
  /** Resolves with the reason when nothing can be made durable any more: the process must stop. */
  readonly failed: Promise<Error>;
  private readonly options: WalOptions;
  private readonly committer: Committer;
  private readonly gather: Gather;
  private readonly repeater: Repeater;
  private filling: Group;
  private writing: Group | undefined;
  private running: Promise<void> | undefined;
  private endPosition = 0;
  private durablePosition = 0;
  private currentState: WalState = "open";
  private stateText = CLOSED;
  private closing = false;
  private refusalCount = 0;
  private segment: number;
  /** Rotations whose boundary is still to be drawn, and those that wait for the group before their boundary. */
  private rotations: Rotation[] = [];
  private drawn: Rotation[] = [];
  private readonly whenCommitted: (() => void)[] = [];
  /** Whether the group being filled is to begin a segment. */
  private rotated = false;
  private readonly newest = new Map<number, number>();
  /** Settles when no truncation is running. */
  private truncating: Promise<void> = Promise.resolve();
  private reportFailure!: (error: Error) => void;

  /** Use `openWal`. */
  constructor(options: WalOptions, committer: Committer) {
    this.options = options;
    this.committer = committer;
    this.gather = new Gather(options.clock);
    const { firstSegment, segments } = options.replayed;
    this.repeater = new Repeater(options.registrations, options.metadata, firstSegment);
    for (const { segment, newestMs } of segments) this.newest.set(segment, newestMs);
    this.filling = new Group(0, committer.buffers[0]);
    this.segment = options.replayed.end.segment;
    this.failed = new Promise((resolve) => {
      this.reportFailure = resolve;
    });
    if (options.readOnly !== undefined) {
      this.currentState = "read-only";
      this.stateText = options.readOnly;
    }
  }

  get state(): WalState {
    return this.currentState;
  }

  /** Why nothing is taken now; undefined while the WAL is open. */
  get refusal(): string | undefined {
    return this.currentState === "open" ? undefined : this.stateText;
  }

  /** Position after everything appended so far. */
  get position(): number {
    return this.endPosition;
  }

  /** Bytes appended but not yet durable. */
  get waitingBytes(): number {
    return this.filling.sizeBytes + (this.writing?.sizeBytes ?? 0);
  }

  /** Appends that were refused. */
  get refusals(): number {
    return this.refusalCount;
  }

  /** Number of the segment written to last; 0 before the first. */
  get currentSegment(): number {
    return this.segment;
  }

  /**
   * This segment and its successors hold the registrations of all series and all metadata, so that older ones may go once their
   * samples are elsewhere. At first the replay's `firstSegment`; it advances as repeat.ts says.
   */
  get registeredFrom(): number {
    return this.repeater.registeredFrom;
  }

  /**
   * Errors: UnavailableError unless appends of `bodyBytes` in all, in at most 64 records, will be accepted when they follow
   * without an await between: to be asked before the head is changed.
   */
  admit(bodyBytes: number): void {
    // Twice, because they may be registrations.
    this.appendDeferred();
    const needed = 2 * (bodyBytes + 64 * frameBytes(8));
    if (!this.accepts || this.deferred.length > 0 || !this.filling.hasRoom(needed)) this.refuse(bodyBytes);
  }

  /**
   * Appends a registration that reading has made: now, or, while the log takes nothing, before whatever comes next. Nothing refers to it
   * before that, so nothing is lost without it.
   */
  register(body: Uint8Array): void {
    this.deferred.push(body.slice());
    this.appendDeferred();
  }

  /** As many as there is room for. */
  private appendDeferred(): void {
    while (this.deferred.length > 0 && this.accepts) {
      const [body] = this.deferred as [Uint8Array];
      const frame = frameBytes(body.length);
      if (!this.filling.hasRoom(2 * frame)) return;
      this.deferred.shift();
      this.filling.add(RECORD.registrations, [body], body.length);
      this.endPosition += frame;
      this.running ??= this.run();
    }
  }

  /**
   * Newest time of the samples in a segment, as far as they are durable: -Infinity when it has none, Infinity when that is
   * unknown: damage, samples appended without a time, or no such segment.
   */
  newestMs(segment: number): number {
    return this.newest.get(segment) ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Appends one record and returns the position after it. The body (or its parts, one after another) is copied before the call
   * returns; `newestMs` is the newest time of its samples. Errors: UnavailableError when the buffer is full, the disk is, or the
   * WAL has ended.
   */
  append(
    type: RecordType,
    body: Uint8Array | readonly Uint8Array[],
    newestMs = holdsSamples(type) ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY,
  ): number {
    const parts = body instanceof Uint8Array ? [body] : body;
    let bodyBytes = 0;
    for (const part of parts) bodyBytes += part.length;
    const frame = frameBytes(bodyBytes);
    const needed = type === RECORD.registrations ? 2 * frame : frame;
    this.appendDeferred();
    if (!this.accepts || this.deferred.length > 0 || !this.filling.hasRoom(needed)) this.refuse(bodyBytes);
    this.filling.add(type, parts, bodyBytes);
    this.filling.newestMs = Math.max(this.filling.newestMs, newestMs);
    this.endPosition += frame;
    this.running ??= this.run();
    return this.endPosition;
  }

  /** Resolves when everything up to `position` is on disk. Errors: UnavailableError when it will not be by this process. */
  durable(position: number): Promise<void> {
    if (position <= this.durablePosition) return Promise.resolve();
    if (this.writing !== undefined && position <= this.writing.end) return this.writing.durable;
    this.filling.writers++;
    this.gather.arrived(this.filling.writers);
    return this.filling.durable;
  }

  /**
   * Draws a boundary: `atBoundary` is called, soon, at a moment such that all records appended before it lie in segments below the
   * result and all appended after it do not. Resolves when those before it are durable; the segment is begun by the next group.
   * Errors: UnavailableError when the disk is full or the WAL has ended before that, perhaps after `atBoundary` was called;
   * whatever `atBoundary` throws.
   */
  rotate(atBoundary: () => void): Promise<number> {
    if (!this.accepts) return Promise.reject(this.unavailable());
    const boundary = new Promise<number>((resolve, reject) => this.rotations.push({ atBoundary, resolve, reject }));
    // As with groups: whoever doesn't wait is not told.
    boundary.catch(() => undefined);
    this.running ??= this.run();
    return boundary;
  }

  /**
   * Writes at once whatever `registeredFrom` waits for, into a segment of its own: for an owner that wants older ones gone although
   * nothing may be written for long. Errors: UnavailableError when the disk is full or the WAL ends before that.
   */
  async repeatNow(): Promise<void> {
    let segment = await this.beginRound();
    while (this.registeredFrom < segment) {
      if (this.state !== "open" || this.closing) throw this.unavailable();
      // A round that ran already has to end first; it is an earlier segment's.
      if (this.repeater.done && this.repeater.roundSegment < segment) segment = await this.beginRound();
      else await new Promise<void>((resolve) => this.whenCommitted.push(resolve));
    }
  }

  private async beginRound(): Promise<number> {
    const segment = await this.rotate(() => this.repeater.want());
    // A segment begins with the first record after the boundary: an empty one, when nobody else writes.
    await this.durable(this.append(RECORD.repeatedRegistrations, compressRegistrations(new Uint8Array(0))));
    return segment;
  }

  /**
   * Removes all segments below `segment`, leftovers of earlier lives included; the owner has stored durably that a replay begins
   * there. Also while the disk is full. Errors: InternalError for segments whose registrations or metadata are needed;
   * UnavailableError when the WAL has ended, or when some could not be removed, which may be tried again.
   */
  truncate(segment: number): Promise<void> {
    const done = this.truncating.then(() => this.removeBelow(segment));
    this.truncating = done.catch(() => undefined);
    return done;
  }

  /** Makes everything appended durable, then ends. On a full disk it ends at once and what waits is rejected. */
  async close(): Promise<void> {
    this.closing = true;
    if (this.currentState === "full") this.end("closed", this.stateText);
    await this.running;
    if (this.currentState === "open") this.end("closed", CLOSED);
    await this.truncating;
    await this.committer.close();
  }

  private readonly deferred: Uint8Array[] = [];

  private get hasEnded(): boolean {
    return this.currentState !== "open" && this.currentState !== "full";
  }

  private get accepts(): boolean {
    return this.currentState === "open" && !this.closing;
  }

  private refuse(bodyBytes: number): never {
    this.refusalCount++;
    if (!this.accepts) throw this.unavailable();
    throw new UnavailableError(
      `cannot append ${bodyBytes} bytes to the WAL: got ${this.filling.sizeBytes} bytes waiting for the disk; ` +
        `want at most ${this.committer.buffers[0].length} (WAL buffer)`,
    );
  }

  private unavailable(): Error {
    return new UnavailableError(this.stateText, RETRY_S[this.currentState]);
  }

  /** Commits groups until nothing waits. Begins in a microtask, so that what is appended in one go is one group. */
  private async run(): Promise<void> {
    await undefined;
    while (this.currentState === "open" && (this.hasGroup || this.rotations.length > 0)) {
      if (!this.hasGroup) {
        this.drawBoundary();
        this.settleDrawn();
        continue;
      }
      if (!this.closing) await this.gather.company(this.filling.writers);
      if (this.state !== "open") break;
      const { rotated } = this;
      const group = this.takeGroup();
      this.rotated = false;
      this.drawBoundary();
      const result = await this.commit(group, rotated);
      this.writing = undefined;
      if (result === undefined) break;
      this.committed(group, result, rotated);
    }
    this.running = undefined;
  }

  /** Whether there is anything to write. */
  private get hasGroup(): boolean {
    return this.filling.sizeBytes > 0 || (!this.repeater.done && !this.closing);
  }

  private committed(group: Group, result: Extract<CommitResult, { kind: "done" }>, rotated: boolean): void {
    const { segment, writeMs, syncMs } = result;
    this.durablePosition = group.end;
    this.newest.set(segment, Math.max(this.newest.get(segment) ?? Number.NEGATIVE_INFINITY, group.newestMs));
    group.resolve();
    this.repeater.committed();
    this.wake();
    if (segment !== this.segment) {
      // The first segment of all needs no repetition.
      if (this.segment > 0) this.repeater.newSegment(segment, group.end, rotated);
      this.segment = segment;
    }
    this.settleDrawn();
    this.gather.committed(group.writers, this.filling.writers, syncMs);
    this.options.onGroup?.({ bytes: group.sizeBytes, records: group.records, segment, writeMs, syncMs });
  }

  private wake(): void {
    for (const resolve of this.whenCommitted.splice(0)) resolve();
  }

  /** Between two groups: the later one will begin a segment. */
  private drawBoundary(): void {
    const rotations = this.rotations;
    this.rotations = [];
    for (const rotation of rotations) {
      this.rotated = true;
      try {
        rotation.atBoundary();
        this.drawn.push(rotation);
      } catch (error) {
        rotation.reject(error);
      }
    }
  }

  /** Everything before the boundaries drawn is durable. */
  private settleDrawn(): void {
    const next = Math.max(this.segment + 1, this.options.replayed.nextSegment);
    for (const rotation of this.drawn) rotation.resolve(next);
    this.drawn = [];
  }

  private async removeBelow(segment: number): Promise<void> {
    if (!(segment <= this.registeredFrom)) {
      throw new InternalError(
        `cannot truncate the WAL below segment ${segment}: got registrations from ${this.registeredFrom} on; want them all kept`,
      );
    }
    if (this.hasEnded || this.closing) throw this.unavailable();
    const result = await this.committer.truncate(segment);
    if (result.kind === "done") {
      for (const one of [...this.newest.keys()]) if (one < segment) this.newest.delete(one);
      return;
    }
    if (result.kind === "unsynced") this.end("failed", result.text);
    throw new UnavailableError(result.text);
  }

  /** Closes the group being filled and starts the next one in the other buffer. */
  private takeGroup(): Group {
    const group = this.filling;
    group.close(this.endPosition);
    if (!this.repeater.done) {
      const { type, body } = this.repeater.block();
      // A group that is full leaves the block to the next one.
      if (group.hasRoom(frameBytes(body.length))) {
        if (body.length > 0) group.add(type, [body], body.length);
        this.repeater.advance(frameBytes(body.length));
      }
    }
    const next = 1 - group.index;
    this.writing = group;
    this.filling = new Group(next, this.committer.buffers[next]!);
    return group;
  }

  /** Commits one group, again and again while the disk is full. Undefined: the WAL has ended, and everyone waiting knows. */
  private async commit(
    group: Group,
    newSegment: boolean,
  ): Promise<Extract<CommitResult, { kind: "done" }> | undefined> {
    for (;;) {
      const result = await this.committer.commit(group.index, group.sizeBytes, newSegment);
      if (result.kind === "done") {
        if (this.currentState === "full") this.currentState = "open";
        return result;
      }
      if (result.kind === "failed") this.end("failed", result.text);
      else if (this.closing) this.end("closed", result.text);
      else {
        this.currentState = "full";
        this.stateText = result.text;
        await this.options.clock.sleep(SPACE_RETRY_MS);
      }
      if (this.state !== "full") return undefined;
    }
  }

  /** Enters a final state, once: whoever waits is told. */
  private end(state: "failed" | "closed", text: string): void {
    if (this.hasEnded) return;
    this.currentState = state;
    this.stateText = text;
    const error = this.unavailable();
    this.writing?.reject(error);
    this.filling.reject(error);
    for (const rotation of [...this.rotations, ...this.drawn]) rotation.reject(error);
    this.rotations = [];
    this.drawn = [];
    this.wake();
    if (state === "failed") this.reportFailure(error);
  }
}

function holdsSamples(type: RecordType): boolean {
  return type === RECORD.samples || type === RECORD.lateSamples || type === RECORD.side;
}

/**
 * Opens the WAL for writing after `replay`. What was replayed is synced first: it may have been read from the page cache of a
 * process that was killed before its fdatasync, and from now on the owner answers for it.
 * Errors: InvalidError for a directory marked SUSPECT, unless read-only; the system's own when syncing fails, which marks it.
 */
export function openWal(options: WalOptions): Wal {
  const { fs, clock, dataDir, replayed } = options;
  if (options.readOnly !== undefined) return new Wal(options, new NoCommitter());
  refuseSuspect(fs, dataDir);
  if (replayed.nextSegment > SEGMENT_MAX) {
    throw new InternalError(`cannot name a WAL segment: got ${replayed.nextSegment}; want at most ${SEGMENT_MAX}`);
  }
  const bufferBytes = wholeSectors(options.bufferBytes ?? BUFFER_BYTES);
  if (bufferBytes < BUFFER_BYTES_MIN) {
    throw new InternalError(`cannot buffer the WAL: got ${bufferBytes} bytes; want at least ${BUFFER_BYTES_MIN}`);
  }
  syncReplayed(fs, dataDir, replayed);
  const settings: WriterSettings = {
    dataDir,
    identity: options.identity,
    previous: replayed.end,
    segment: replayed.nextSegment,
    segmentBytes: options.segmentBytes ?? SEGMENT_BYTES,
  };
  const inline = options.mode === "inline";
  return new Wal(
    options,
    inline ? new InlineCommitter(fs, clock, settings, bufferBytes) : new WorkerCommitter(settings, bufferBytes),
  );
}

function syncReplayed(fs: FileSystem, dataDir: string, replayed: ReplayReport): void {
  try {
    for (const { segment } of replayed.segments) {
      const file = fs.open(segmentPath(dataDir, segment), "update");
      try {
        file.fdatasync("wal-replayed");
      } finally {
        file.close();
      }
    }
    fs.fsyncDir(walFolder(dataDir), "wal-replayed-names");
  } catch (error) {
    markSuspect(fs, dataDir, `cannot sync ${walFolder(dataDir)} at the start: got ${errorText(error)}`);
    throw error;
  }
}
