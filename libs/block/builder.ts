// libs/block/builder.ts: builds and merges blocks away from the event loop, in a worker thread; or in this thread, for simulations.
// Jobs run one after another, in the order in which they came. A job leaves a whole, durable block, or nothing.
import { type MessagePort, Worker } from "node:worker_threads";
import { type Clock, errorText, type FileSystem, packageRoot, type Timer } from "../env/index.ts";
import type { PieceValue } from "../index/index.ts";
import { ColumnKernel } from "../kernel/index.ts";
import { InternalError, InvalidError } from "../model/index.ts";
import { classifyingFileSystem } from "./disk-errors.ts";
import { BuildRun, type BuildTask, canceled, type MergeTask, runIndex, runMerge } from "./job.ts";
import { type BuilderReply, type BuilderRequest, errorFrom } from "./job-messages.ts";
import { type BlockPiece, transferOf } from "./piece.ts";
import type { BlockSummary } from "./writer.ts";

/** A cut or a merge has many jobs, one soon after the other. */
const IDLE_MS = 30_000;

export interface BuildJob extends BuildTask {
  /**
   * The next piece, undefined after the last. Called when the builder wants one: at most two are in flight. The buffers of its arrays are
   * taken away. An error thrown here ends the job and is its error.
   */
  next(): BlockPiece | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface MergeJob extends MergeTask {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Errors of jobs: InvalidError (series out of order, a path that is taken); UnavailableError: the disk is full, try later; CorruptionError:
 * an input is damaged; CanceledError: the signal, or the builder was closed; one that comes too late changes nothing. InternalError: a sync
 * failed, the disk refuses or the worker died: nothing more may be built on this directory, the process is to stop.
 */
export interface BlockBuilder {
  build(job: BuildJob): Promise<BlockSummary>;
  merge(job: MergeJob): Promise<BlockSummary>;
  /** The pieces of the persistent index of the block at `path`, which are nowhere written. */
  index(path: string): Promise<PieceValue[]>;
  /** Cancels all jobs, waits for the one at hand to leave, and ends. */
  close(): Promise<void>;
}

/** Runs jobs one after another. */
class JobQueue {
  private last: Promise<unknown> = Promise.resolve();
  private readonly ending = new AbortController();

  run<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const either = signal === undefined ? this.ending.signal : AbortSignal.any([signal, this.ending.signal]);
    const mine = this.last.then(() => {
      if (either.aborted) throw canceled();
      return work(either);
    });
    this.last = mine.catch(() => undefined);
    return mine;
  }

  async end(): Promise<void> {
    this.ending.abort();
    await this.last;
  }
}

/** The error of buffers that can't be given away: shared, a kernel's memory, or given away before. */
function notTransferable(error: unknown): InvalidError {
  return new InvalidError(`cannot send piece: got ${errorText(error)}; want arrays with buffers of their own`);
}

/** Builds in this thread, a piece or a few series in a microtask of its own. */
export class InlineBlockBuilder implements BlockBuilder {
  private readonly fs: FileSystem;
  private readonly queue = new JobQueue();
  private made: ColumnKernel | undefined;

  constructor(fs: FileSystem) {
    this.fs = classifyingFileSystem(fs);
  }

  /** Takes milliseconds to make: many a simulated storage never builds anything. */
  private get kernel(): ColumnKernel {
    this.made ??= new ColumnKernel();
    return this.made;
  }

  build(job: BuildJob): Promise<BlockSummary> {
    return this.queue.run(job.signal, async (signal) => {
      const run = new BuildRun(this.fs, this.kernel, job);
      try {
        for (;;) {
          await undefined;
          if (signal.aborted) throw canceled();
          const piece = job.next();
          if (piece === undefined) return run.finish();
          run.add(received(piece));
        }
      } catch (error) {
        run.abandon();
        throw error;
      }
    });
  }

  merge(job: MergeJob): Promise<BlockSummary> {
    const pause = async (): Promise<void> => undefined;
    return this.queue.run(job.signal, (signal) => runMerge(this.fs, this.kernel, job, pause, () => signal.aborted));
  }

  index(path: string): Promise<PieceValue[]> {
    const pause = async (): Promise<void> => undefined;
    return this.queue.run(undefined, (signal) => runIndex(this.fs, this.kernel, path, pause, () => signal.aborted));
  }

  close(): Promise<void> {
    return this.queue.end();
  }
}

/** As it arrives at a worker: its maker is left without its buffers, so that a simulation sees who keeps them. */
function received(piece: BlockPiece): BlockPiece {
  try {
    return structuredClone(piece, { transfer: transferOf(piece) });
  } catch (error) {
    throw notTransferable(error);
  }
}

interface OpenJob {
  readonly job: number;
  readonly next: () => BlockPiece | undefined;
  readonly settle: (outcome: { result: BlockSummary | PieceValue[] } | { error: unknown }) => void;
  /** Nothing more is sent: all is, or the job was canceled. */
  ended: boolean;
  /** Why it was canceled. */
  error: unknown;
}

/** Builds at the far end of a channel, where serveBuilder is. */
export class ChannelBlockBuilder implements BlockBuilder {
  private readonly port: MessagePort | Worker;
  private readonly queue = new JobQueue();
  private jobs = 0;
  private current: OpenJob | undefined;
  private failure: InternalError | undefined;

  constructor(port: MessagePort | Worker) {
    this.port = port;
    const receive = (reply: BuilderReply): void => this.receive(reply);
    if (port instanceof Worker) port.on("message", receive);
    else port.on("message", receive);
  }

  build(job: BuildJob): Promise<BlockSummary> {
    const { path, options, signal } = job;
    return this.start(
      (number) => ({ kind: "build", job: number, task: { path, options } }),
      signal,
      () => job.next(),
    );
  }

  merge({ signal, ...task }: MergeJob): Promise<BlockSummary> {
    const none = (): undefined => undefined;
    return this.start((job) => ({ kind: "merge", job, task }), signal, none);
  }

  index(path: string): Promise<PieceValue[]> {
    return this.start(
      (job) => ({ kind: "index", job, path }),
      undefined,
      () => undefined,
    );
  }

  async close(): Promise<void> {
    await this.queue.end();
    this.send({ kind: "close" });
  }

  /** Whether the far end is gone. */
  get isDead(): boolean {
    return this.failure !== undefined;
  }

  /** The far end is gone. */
  protected die(reason: string): void {
    this.failure ??= new InternalError(`cannot build block: got the worker's end (${reason}); want it running`);
    this.current?.settle({ error: this.failure });
  }

  private start<Result extends BlockSummary | PieceValue[]>(
    order: (job: number) => BuilderRequest,
    signal: AbortSignal | undefined,
    next: () => BlockPiece | undefined,
  ): Promise<Result> {
    return this.queue.run(signal, (either) => {
      if (this.failure !== undefined) throw this.failure;
      return new Promise((resolve, reject) => {
        const onAbort = (): void => this.cancel(canceled());
        const settle: OpenJob["settle"] = (outcome) => {
          either.removeEventListener("abort", onAbort);
          this.current = undefined;
          if ("result" in outcome) resolve(outcome.result as Result);
          else reject(outcome.error);
        };
        this.current = { job: ++this.jobs, next, settle, ended: false, error: undefined };
        either.addEventListener("abort", onAbort);
        this.send(order(this.jobs));
      });
    });
  }

  private send(request: BuilderRequest, transfer: ArrayBuffer[] = []): void {
    this.port.postMessage(request, transfer);
  }

  private receive(reply: BuilderReply): void {
    const { current } = this;
    if (current === undefined || current.job !== reply.job) return;
    if (reply.kind === "done") current.settle({ result: reply.summary });
    else if (reply.kind === "indexed") current.settle({ result: reply.pieces });
    else if (reply.kind === "failed") current.settle({ error: current.error ?? errorFrom(reply.error) });
    else if (!current.ended) this.sendNext(current);
  }

  private sendNext(current: OpenJob): void {
    try {
      const piece = current.next();
      // `next` may have canceled its own job.
      if (current.ended) return;
      if (piece !== undefined) this.sendPiece(current.job, piece);
      else {
        current.ended = true;
        this.send({ kind: "end", job: current.job });
      }
    } catch (error) {
      this.cancel(error);
    }
  }

  private sendPiece(job: number, piece: BlockPiece): void {
    try {
      this.send({ kind: "piece", job, piece }, transferOf(piece));
    } catch (error) {
      throw notTransferable(error);
    }
  }

  /** The job settles when the far end has cleared up. */
  private cancel(error: unknown): void {
    const { current } = this;
    if (current === undefined) return;
    current.ended = true;
    current.error ??= error;
    this.send({ kind: "cancel", job: current.job });
  }
}

/** A worker thread that builds on the real file system. */
class BuilderThread extends ChannelBlockBuilder {
  private readonly exited: Promise<void>;

  constructor() {
    // Node 20 runs no TypeScript: also the tests, which run the sources, start the compiled worker.
    const worker = new Worker(`${packageRoot()}/dist/libs/block/builder-worker.js`, { name: "blocks", execArgv: [] });
    super(worker);
    worker.on("error", (error) => this.die(errorText(error)));
    this.exited = new Promise((resolve) => {
      worker.on("exit", (code) => {
        this.die(`exit code ${code}`);
        resolve();
      });
    });
  }

  override async close(): Promise<void> {
    await super.close();
    await this.exited;
  }
}

/** Builds on the real file system in a worker thread, which is there while there is work: it takes some 10 MB. */
export class WorkerBlockBuilder implements BlockBuilder {
  private readonly clock: Clock;
  private readonly idleMs: number;
  private thread: BuilderThread | undefined;
  private jobs = 0;
  private ending: Timer | undefined;
  private isClosed = false;

  /** The thread ends after `idleMs` without a job. */
  constructor(clock: Clock, idleMs = IDLE_MS) {
    this.clock = clock;
    this.idleMs = idleMs;
  }

  build(job: BuildJob): Promise<BlockSummary> {
    return this.run((thread) => thread.build(job));
  }

  merge(job: MergeJob): Promise<BlockSummary> {
    return this.run((thread) => thread.merge(job));
  }

  index(path: string): Promise<PieceValue[]> {
    return this.run((thread) => thread.index(path));
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.ending?.cancel();
    await this.thread?.close();
  }

  /** Whether there is a thread. */
  get isRunning(): boolean {
    return this.thread !== undefined;
  }

  private async run<Result>(work: (thread: BuilderThread) => Promise<Result>): Promise<Result> {
    if (this.isClosed) throw canceled();
    this.ending?.cancel();
    this.thread ??= new BuilderThread();
    this.jobs++;
    try {
      return await work(this.thread);
    } finally {
      if (--this.jobs === 0) this.ending = this.clock.after(this.idleMs, () => this.endThread());
    }
  }

  /** One that died stays: whoever asks is told so. */
  private endThread(): void {
    const { thread } = this;
    if (thread === undefined || thread.isDead || this.isClosed) return;
    this.thread = undefined;
    // It has no job, so that nobody waits for its end.
    void thread.close();
  }
}
