// libs/wal/committer.ts: where groups are committed: in a worker thread of its own, or in this thread for simulations.
// libuv's four threads also serve reads, zlib and DNS and must not delay an acknowledgement; hence the worker.
// Messages both ways, the bytes in shared memory. Waking by Atomics was measured 2–4 µs faster, of 75: not worth a protocol.
import { Worker } from "node:worker_threads";
import { type Clock, errorText, type FileSystem, packageRoot } from "../env/index.ts";
import { type TruncateResult, truncateSegments } from "./truncate.ts";
import { type CommitResult, SegmentWriter, type WriterSettings } from "./writer.ts";

export interface Committer {
  /** Buffers that groups are built in; each is at least `bufferBytes` long. */
  readonly buffers: readonly [Uint8Array, Uint8Array];
  /**
   * Commits the first `length` bytes of buffer `index`, which must not be touched until the promise settles; with `newSegment`
   * as the first group of a segment. Never rejects.
   */
  commit(index: number, length: number, newSegment: boolean): Promise<CommitResult>;
  /** Removes the segments below `segment`, beside commits. Never rejects. */
  truncate(segment: number): Promise<TruncateResult>;
  close(): Promise<void>;
}

/** Commits in this thread, each group in a microtask of its own. */
export class InlineCommitter implements Committer {
  readonly buffers: readonly [Uint8Array, Uint8Array];
  private readonly fs: FileSystem;
  private readonly dataDir: string;
  private readonly writer: SegmentWriter;

  constructor(fs: FileSystem, clock: Clock, settings: WriterSettings, bufferBytes: number) {
    this.fs = fs;
    this.dataDir = settings.dataDir;
    this.buffers = [new Uint8Array(bufferBytes), new Uint8Array(bufferBytes)];
    this.writer = new SegmentWriter(fs, clock, settings);
  }

  async commit(index: number, length: number, newSegment: boolean): Promise<CommitResult> {
    await undefined;
    return this.writer.commit(this.buffers[index]!, length, newSegment);
  }

  async truncate(segment: number): Promise<TruncateResult> {
    await undefined;
    return truncateSegments(this.fs, this.dataDir, segment);
  }

  async close(): Promise<void> {
    this.writer.close();
  }
}

/** Of a WAL that takes nothing. */
export class NoCommitter implements Committer {
  readonly buffers: readonly [Uint8Array, Uint8Array] = [new Uint8Array(0), new Uint8Array(0)];

  async commit(): Promise<CommitResult> {
    return { kind: "failed", text: "cannot write to the WAL: got a read-only one; want it open" };
  }

  async truncate(): Promise<TruncateResult> {
    return { kind: "failed", text: "cannot truncate the WAL: got a read-only one; want it open" };
  }

  async close(): Promise<void> {}
}

/** What the worker is started with. */
export interface WorkerStart {
  readonly settings: WriterSettings;
  readonly buffers: readonly [Uint8Array, Uint8Array];
}

/** A group to commit, or the end. */
export type WorkerRequest = { readonly index: number; readonly length: number; readonly newSegment: boolean } | "close";

/** What the worker that truncates is started with. */
export interface TruncateStart {
  readonly dataDir: string;
  readonly segment: number;
}

/** Commits on the real file system in a worker thread. A worker that dies counts as a failed write. */
export class WorkerCommitter implements Committer {
  readonly buffers: readonly [Uint8Array, Uint8Array];
  private readonly dataDir: string;
  private readonly worker: Worker;
  private readonly exited: Promise<void>;
  private waiting: ((result: CommitResult) => void) | undefined;
  private failure: CommitResult | undefined;

  constructor(settings: WriterSettings, bufferBytes: number) {
    // Pages of a shared buffer that no group reached take no memory.
    const buffer = (): Uint8Array => new Uint8Array(new SharedArrayBuffer(bufferBytes));
    this.buffers = [buffer(), buffer()];
    this.dataDir = settings.dataDir;
    const start: WorkerStart = { settings, buffers: this.buffers };
    this.worker = startWorker("sync-worker", start);
    this.worker.on("message", (result: CommitResult) => this.settle(result));
    this.worker.on("error", (error) => this.die(errorText(error)));
    this.exited = new Promise((resolve) => {
      this.worker.on("exit", (code) => {
        this.die(`exit code ${code}`);
        resolve();
      });
    });
  }

  commit(index: number, length: number, newSegment: boolean): Promise<CommitResult> {
    if (this.failure !== undefined) return Promise.resolve(this.failure);
    return new Promise((resolve) => {
      this.waiting = resolve;
      this.worker.postMessage({ index, length, newSegment } satisfies WorkerRequest);
    });
  }

  /** In a short-lived thread: a disk may take most of a second to remove a long file, and no group is to wait for that. */
  truncate(segment: number): Promise<TruncateResult> {
    return new Promise((resolve) => {
      const worker = startWorker("truncate-worker", { dataDir: this.dataDir, segment } satisfies TruncateStart);
      const die = (reason: string): void =>
        resolve({ kind: "failed", text: `cannot truncate the WAL: got its worker's end (${reason}); want it running` });
      worker.on("message", resolve);
      worker.on("error", (error) => die(errorText(error)));
      worker.on("exit", (code) => die(`exit code ${code}`));
    });
  }

  async close(): Promise<void> {
    this.worker.postMessage("close" satisfies WorkerRequest);
    await this.exited;
  }

  private settle(result: CommitResult): void {
    const waiting = this.waiting;
    this.waiting = undefined;
    waiting?.(result);
  }

  private die(reason: string): void {
    this.failure ??= {
      kind: "failed",
      text: `cannot write to the WAL: got its worker's end (${reason}); want it running`,
    };
    this.settle(this.failure);
  }
}

/** Node 20 runs no TypeScript: also the tests, which run the sources, start the compiled worker. */
function startWorker(file: string, workerData: WorkerStart | TruncateStart): Worker {
  return new Worker(`${packageRoot()}/dist/libs/wal/${file}.js`, { name: "wal", workerData, execArgv: [] });
}
