// services/insert/owner-queue.ts: everything between this insert and one storage: connection, dictionary, batches on their way.
// Invariants: batches leave in the order they were submitted; every submitted batch settles, at the latest when its connection
// is given up; bytes unacknowledged stay below the limit (one batch alone may be larger). A batch belongs to the
// connection that it was encoded for: when that goes, its writes fail as unavailable and the client sends them again.
import type { Clock, Random, Timer } from "../../libs/env/index.ts";
import type { IngestDictionary } from "../../libs/kernel/index.ts";
import {
  AppError,
  type BatchAck,
  type IngestSession,
  type IngestTarget,
  InternalError,
  type MetadataEntry,
  type SideAck,
  type StorageIdentity,
  UnavailableError,
} from "../../libs/model/index.ts";
import { setBatchSeq } from "./batch-writer.ts";
import { Connector } from "./connector.ts";
import { Dictionary, ToldSeries } from "./dictionary.ts";
import { LIMIT_FLAGS } from "./limits.ts";
import type { SeriesRegistry } from "./registry.ts";

/** A storage takes references below 2^22; some are left for what comes while the next connection is made. */
const DICTIONARY_BYTES_MAX = 36 * 1024 * 1024;
/** A connection that lasted this long, or has stored a batch, was a good one: the next attempt comes at once. */
const GOOD_CONNECTION_MS = 10_000;
const WATCH_PERIOD_MS = 500;

export interface OwnerQueueOptions {
  readonly target: IngestTarget;
  readonly clock: Clock;
  readonly random: Random;
  readonly queueMaxBytes: number;
  readonly dictionaryMaxBytes: number;
  /** An owner that acknowledges nothing for this long is given up and connected anew. */
  readonly ackTimeoutMs: number;
  /** Judges a storage that was reached; a sentence refuses it. Called before its registry and references are asked for. */
  readonly admit: (identity: StorageIdentity, address: string) => string | undefined;
  readonly registry: () => SeriesRegistry;
  /** This owner's reference table. */
  readonly table: IngestDictionary;
  /** Called when another storage than before answers at this address. */
  readonly onReplaced: () => void;
  readonly onState: (address: string, state: OwnerState, reason: string) => void;
}

export type OwnerState = "away" | "connected";

/** Plain counters for the metrics layer. */
export interface OwnerStats {
  readonly address: string;
  state: OwnerState;
  /** Why it is away. */
  reason: string;
  /** Bytes of batches that are not acknowledged. */
  queueBytes: number;
  batches: number;
  sentBytes: number;
  connections: number;
  /** Batches that had to be sent again with labels. */
  relabelled: number;
  refused: number;
  dictionaryBytes: number;
}

interface Waiting {
  bytes: Uint8Array;
  relabelled: boolean;
  settled: boolean;
  readonly resolve: (ack: BatchAck) => void;
  readonly reject: (error: Error) => void;
}

/** One session with what was submitted for it and has not settled. */
class Connection {
  readonly session: IngestSession;
  readonly dictionary: Dictionary;
  readonly inFlight = new Set<Waiting>();
  /** Metadata and side batches on their way: ends their wait. */
  readonly aside = new Set<(error: Error) => void>();
  readonly sinceMs: number;
  seq = 0;
  progressMs: number;
  hasStored = false;

  constructor(session: IngestSession, dictionary: Dictionary, nowMs: number) {
    this.session = session;
    this.dictionary = dictionary;
    this.sinceMs = nowMs;
    this.progressMs = nowMs;
  }

  get isIdle(): boolean {
    return this.inFlight.size === 0 && this.aside.size === 0;
  }
}

export class OwnerQueue {
  readonly stats: OwnerStats;
  private readonly options: OwnerQueueOptions;
  private readonly told = new ToldSeries();
  private readonly connector: Connector;
  private readonly watch: Timer;
  private current: Connection | undefined;
  /** Sessions whose dictionary was full: they take no new batches and close when the last one settles. */
  private readonly retired = new Set<Connection>();
  private nodeId: string | undefined;

  constructor(options: OwnerQueueOptions) {
    this.options = options;
    this.stats = {
      address: options.target.address,
      state: "away",
      reason: "not connected yet",
      queueBytes: 0,
      batches: 0,
      sentBytes: 0,
      connections: 0,
      relabelled: 0,
      refused: 0,
      dictionaryBytes: 0,
    };
    this.watch = options.clock.every(WATCH_PERIOD_MS, () => this.giveUpSilent());
    this.connector = new Connector({
      target: options.target,
      clock: options.clock,
      random: options.random,
      adopt: (session) => this.adopt(session),
      onFailure: (reason) => {
        if (this.current === undefined) this.stats.reason = reason;
      },
    });
    this.connector.start();
  }

  get isConnected(): boolean {
    return this.current !== undefined;
  }

  /**
   * The dictionary to encode for. A batch made with it must be submitted before anything else happens.
   * `bytes` is what the batch will take at most. Errors: UnavailableError when the owner is away or the queue is full.
   */
  dictionaryFor(bytes: number): Dictionary {
    const connection = this.connected();
    this.checkRoom(bytes);
    return connection.dictionary;
  }

  /** Sends a batch, settles with the owner's answer. Errors: UnavailableError, and InternalError when it was malformed. */
  submit(bytes: Uint8Array): Promise<BatchAck> {
    const connection = this.connected();
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { bytes, relabelled: false, settled: false, resolve, reject };
      this.stats.queueBytes += bytes.length;
      this.stats.batches++;
      if (connection.isIdle) connection.progressMs = this.options.clock.monotonicMs();
      this.send(connection, waiting);
      this.renewWhenFull(connection);
    });
  }

  /** Sends metadata, settles when it is durable. Errors: UnavailableError. */
  async submitMetadata(entries: readonly MetadataEntry[]): Promise<void> {
    const bytes = entries.reduce((sum, e) => sum + 32 + 3 * (e.family.length + e.help.length + e.unit.length), 0);
    await this.submitAside(bytes, (session) => session.appendMetadata(entries));
  }

  /** Sends a side batch, settles with the owner's answer. Errors: as submit. */
  submitSide(batch: Uint8Array): Promise<SideAck> {
    return this.submitAside(batch.length, (session) => session.appendSide(batch));
  }

  /** What goes beside the batches of samples, without references. */
  private async submitAside<T>(bytes: number, send: (session: IngestSession) => Promise<T>): Promise<T> {
    const connection = this.connected();
    this.checkRoom(bytes);
    this.stats.queueBytes += bytes;
    if (connection.isIdle) connection.progressMs = this.options.clock.monotonicMs();
    let giveUp: (error: Error) => void = () => {};
    const lost = new Promise<never>((_, reject) => {
      giveUp = reject;
    });
    connection.aside.add(giveUp);
    try {
      const answer = await Promise.race([send(connection.session), lost]);
      connection.progressMs = this.options.clock.monotonicMs();
      return answer;
    } catch (error) {
      this.dropIfUseless(connection, error);
      throw errorForWriter(error);
    } finally {
      connection.aside.delete(giveUp);
      this.stats.queueBytes -= bytes;
      this.closeWhenDrained(connection);
    }
  }

  /** Drops series that the registry is about to forget. */
  forget(isIdle: (sid: number) => boolean, highestSid: number): void {
    this.current?.dictionary.forget(isIdle);
    for (const connection of this.retired) connection.dictionary.forget(isIdle);
    for (let sid = 1; sid <= highestSid; sid++) {
      if (!isIdle(sid)) continue;
      this.told.delete(sid);
      this.options.table.refs[sid] = 0;
    }
  }

  /** Waits for what is on its way, no longer than `withinMs`, then closes the connection. */
  async close(withinMs: number): Promise<void> {
    this.connector.stop();
    const clock = this.options.clock;
    const untilMs = clock.monotonicMs() + withinMs;
    const busy = (): boolean => [this.current, ...this.retired].some((c) => c !== undefined && !c.isIdle);
    while (busy() && clock.monotonicMs() < untilMs) await clock.sleep(10);
    this.watch.cancel();
    for (const connection of [this.current, ...this.retired]) {
      if (connection !== undefined) this.drop(connection, "this insert is shutting down");
    }
  }

  private connected(): Connection {
    if (this.current !== undefined && !this.connector.isStopped) return this.current;
    this.stats.refused++;
    throw this.away(this.connector.isStopped ? "this insert is shutting down" : this.stats.reason);
  }

  private away(reason: string): UnavailableError {
    const address = this.options.target.address;
    return new UnavailableError(`cannot store samples: got no storage at ${address} (${reason}); want it connected`);
  }

  private checkRoom(bytes: number): void {
    const { queueMaxBytes, target } = this.options;
    if (this.stats.queueBytes === 0 || this.stats.queueBytes + bytes <= queueMaxBytes) return;
    this.stats.refused++;
    throw new UnavailableError(
      `cannot store samples: got ${this.stats.queueBytes} bytes waiting for storage ${target.address}; want at most ${queueMaxBytes} (${LIMIT_FLAGS.ownerQueueMaxBytes})`,
    );
  }

  /** Hands a batch over at once: joining batches into messages is the transport's matter, joining them into one sync the WAL's. */
  private send(connection: Connection, waiting: Waiting): void {
    setBatchSeq(waiting.bytes, connection.seq);
    connection.seq = (connection.seq + 1) >>> 0;
    connection.inFlight.add(waiting);
    this.stats.sentBytes += waiting.bytes.length;
    connection.session.append(waiting.bytes).then(
      (ack) => this.acknowledged(connection, waiting, ack),
      (error: unknown) => this.fail(connection, waiting, error),
    );
  }

  private acknowledged(connection: Connection, waiting: Waiting, ack: BatchAck): void {
    if (waiting.settled) return;
    connection.progressMs = this.options.clock.monotonicMs();
    if (ack.status === "stored") {
      connection.hasStored = true;
      this.settle(connection, waiting, ack);
    } else if (waiting.relabelled) {
      const error = this.away("it does not take the labels of its own unknown references");
      this.settle(connection, waiting, error);
      this.drop(connection, error.message);
    } else this.sendAgain(connection, waiting, ack.unknownRefs);
  }

  private sendAgain(connection: Connection, waiting: Waiting, unknownRefs: Uint32Array): void {
    let batches: Uint8Array[];
    try {
      batches = connection.dictionary.withLabels(waiting.bytes, unknownRefs);
    } catch (error) {
      this.fail(connection, waiting, error);
      return;
    }
    this.stats.relabelled++;
    const last = batches.pop()!;
    // Registrations that go ahead: nobody waits for them but the batch behind them, which fails with them.
    for (const bytes of batches) {
      const reject = (error: Error): void => this.settle(connection, waiting, error);
      this.stats.queueBytes += bytes.length;
      this.send(connection, { bytes, relabelled: true, settled: false, resolve: () => {}, reject });
    }
    this.stats.queueBytes += last.length - waiting.bytes.length;
    waiting.bytes = last;
    waiting.relabelled = true;
    this.send(connection, waiting);
  }

  /** Takes a batch off the books and tells its writer. */
  private settle(connection: Connection, waiting: Waiting, outcome: BatchAck | Error): void {
    if (waiting.settled) return;
    waiting.settled = true;
    connection.inFlight.delete(waiting);
    this.stats.queueBytes -= waiting.bytes.length;
    if (outcome instanceof Error) waiting.reject(outcome);
    else waiting.resolve(outcome);
    this.closeWhenDrained(connection);
  }

  /** Fails one batch, and the connection with it when that is of no more use. */
  private fail(connection: Connection, waiting: Waiting, error: unknown): void {
    if (waiting.settled) return;
    this.settle(connection, waiting, errorForWriter(error));
    this.dropIfUseless(connection, error);
  }

  /** A storage that is merely short of something keeps its connection; one that does not understand us gets a new one. */
  private dropIfUseless(connection: Connection, error: unknown): void {
    const tellsWhenItEnds = connection.session.closed !== undefined;
    if (tellsWhenItEnds && error instanceof AppError && error.reaction === "unavailable") return;
    this.drop(connection, error instanceof Error ? error.message : String(error));
  }

  /** Ends a connection: all its writes fail as unavailable, and a new one is sought. */
  private drop(connection: Connection, reason: string): void {
    const wasCurrent = this.current === connection;
    if (!wasCurrent && !this.retired.delete(connection)) return;
    if (this.isGood(connection)) this.connector.hurry();
    if (wasCurrent) {
      this.current = undefined;
      this.become("away", reason);
    }
    const error = this.away(reason);
    for (const waiting of [...connection.inFlight]) this.settle(connection, waiting, error);
    for (const giveUp of connection.aside) giveUp(error);
    connection.session.close().catch(() => {});
    if (wasCurrent) this.connector.start();
  }

  private isGood(connection: Connection): boolean {
    return connection.hasStored || this.options.clock.monotonicMs() - connection.sinceMs >= GOOD_CONNECTION_MS;
  }

  private become(state: OwnerState, reason: string): void {
    this.stats.reason = reason;
    if (this.stats.state === state) return;
    this.stats.state = state;
    this.options.onState(this.options.target.address, state, reason);
  }

  /** Makes a session the one that new batches go to. */
  private adopt(session: IngestSession): void {
    const { target, clock, admit, registry, table, onReplaced } = this.options;
    const refused = this.connector.isStopped ? "this insert is shutting down" : admit(session.identity, target.address);
    if (refused !== undefined) {
      session.close().catch(() => {});
      throw new UnavailableError(refused);
    }
    if (this.nodeId !== undefined && this.nodeId !== session.identity.nodeId) {
      this.told.clear();
      onReplaced();
    }
    this.nodeId = session.identity.nodeId;
    const before = this.current;
    const connection = new Connection(session, new Dictionary(registry(), table, this.told), clock.monotonicMs());
    this.current = connection;
    this.stats.connections++;
    const gone = (): void => this.drop(connection, "its connection is gone");
    session.closed?.then(gone, gone);
    this.become("connected", "");
    if (before !== undefined) {
      this.retired.add(before);
      this.closeWhenDrained(before);
    }
  }

  /** A full dictionary is replaced as a whole: by a new session, while the old one finishes what it has. */
  private renewWhenFull(connection: Connection): void {
    this.stats.dictionaryBytes = connection.dictionary.sizeBytes;
    const maxBytes = Math.min(this.options.dictionaryMaxBytes, DICTIONARY_BYTES_MAX);
    if (this.stats.dictionaryBytes <= maxBytes || this.connector.isTrying) return;
    this.connector.hurry();
    this.connector.start();
  }

  private closeWhenDrained(connection: Connection): void {
    if (!connection.isIdle || !this.retired.delete(connection)) return;
    connection.session.close().catch(() => {});
  }

  private giveUpSilent(): void {
    const nowMs = this.options.clock.monotonicMs();
    for (const connection of [this.current, ...this.retired]) {
      if (connection === undefined || connection.isIdle) continue;
      const silentMs = Math.round(nowMs - connection.progressMs);
      if (silentMs >= this.options.ackTimeoutMs) this.drop(connection, `it acknowledged nothing for ${silentMs} ms`);
    }
  }
}

/** What a failed call means to who wrote: most of it is cured by time, being misunderstood is our bug. */
function errorForWriter(error: unknown): AppError {
  if (error instanceof AppError && error.reaction === "unavailable") return error;
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof AppError && (error.reaction === "invalid" || error.reaction === "internal")) {
    const message = `cannot store samples: got "${text}" from storage; want our batch understood`;
    return new InternalError(message, { cause: error });
  }
  return new UnavailableError(`cannot store samples: got "${text}"; want an answer from storage`, 1, { cause: error });
}
