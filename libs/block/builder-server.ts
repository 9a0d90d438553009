// libs/block/builder-server.ts: the far end of a builder's channel: does one job at a time, asking for pieces as it can take them.
import type { MessagePort } from "node:worker_threads";
import type { FileSystem } from "../env/index.ts";
import type { ColumnKernel } from "../kernel/index.ts";
import { classifyingFileSystem } from "./disk-errors.ts";
import { BuildRun, canceled, type MergeTask, runIndex, runMerge } from "./job.ts";
import { type BuilderReply, type BuilderRequest, errorParts, PIECES_IN_FLIGHT } from "./job-messages.ts";

/** Serves the port until it is told to close. */
export function serveBuilder(port: MessagePort, fs: FileSystem, kernel: ColumnKernel): void {
  const server = new BuilderServer(port, classifyingFileSystem(fs), kernel);
  port.on("message", (request: BuilderRequest) => server.receive(request));
}

/** Lets messages in. */
const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class BuilderServer {
  private readonly port: MessagePort;
  private readonly fs: FileSystem;
  private readonly kernel: ColumnKernel;
  /** The job at hand; what was decided about an older one is no longer of interest. */
  private job = 0;
  private run: BuildRun | undefined;
  private cancelWanted = false;

  constructor(port: MessagePort, fs: FileSystem, kernel: ColumnKernel) {
    this.port = port;
    this.fs = fs;
    this.kernel = kernel;
  }

  receive(request: BuilderRequest): void {
    if (request.kind === "close") {
      this.port.close();
      return;
    }
    const { job } = request;
    if (request.kind === "build" || request.kind === "merge" || request.kind === "index") {
      this.job = job;
      this.cancelWanted = false;
    }
    if (job !== this.job) return;
    switch (request.kind) {
      case "build":
        this.attempt(() => {
          this.run = new BuildRun(this.fs, this.kernel, request.task);
          for (let i = 0; i < PIECES_IN_FLIGHT; i++) this.reply({ kind: "want", job });
        });
        break;
      case "merge":
        void this.merge(job, request.task);
        break;
      case "index":
        void this.index(job, request.path);
        break;
      case "piece":
        this.attempt(() => {
          if (this.run === undefined) return;
          this.run.add(request.piece);
          this.reply({ kind: "want", job });
        });
        break;
      case "end":
        this.attempt(() => {
          const summary = this.run?.finish();
          this.run = undefined;
          if (summary !== undefined) this.reply({ kind: "done", job, summary });
        });
        break;
      case "cancel":
        this.cancelWanted = true;
        if (this.run !== undefined) this.fail(canceled());
    }
  }

  /** A step of a build. */
  private attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    this.run?.abandon();
    this.run = undefined;
    this.reply({ kind: "failed", job: this.job, error: errorParts(error) });
  }

  private async merge(job: number, task: MergeTask): Promise<void> {
    try {
      const summary = await runMerge(this.fs, this.kernel, task, pause, () => this.cancelWanted);
      this.reply({ kind: "done", job, summary });
    } catch (error) {
      this.fail(error);
    }
  }

  private async index(job: number, path: string): Promise<void> {
    try {
      const pieces = await runIndex(this.fs, this.kernel, path, pause, () => this.cancelWanted);
      this.reply({ kind: "indexed", job, pieces });
    } catch (error) {
      this.fail(error);
    }
  }

  private reply(reply: BuilderReply): void {
    this.port.postMessage(reply);
  }
}
