// test/crash/service.ts: a service of real processes that is started again and again on its ports.
import { type Running, startTidemark, stop, untilOk } from "../e2e/processes.ts";

const START_MS = 30_000;

export class Service {
  readonly http: string;
  readonly base: string;
  process!: Running;
  private readonly args: readonly string[];
  private readonly running: Set<Running>;

  /** `running`: what is to be ended when a test fails. */
  constructor(port: number, args: readonly string[], running: Set<Running>) {
    this.http = `127.0.0.1:${port}`;
    this.base = `http://${this.http}`;
    this.args = [...args, "--http-listen", this.http];
    this.running = running;
  }

  start(more: readonly string[] = []): void {
    this.process = startTidemark(this.args[0]!, [...this.args, ...more]);
    this.running.add(this.process);
  }

  async ready(): Promise<void> {
    await untilOk(`${this.base}/-/ready`, START_MS, [this.process]);
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    const code = await stop(this.process, signal);
    this.running.delete(this.process);
    return code;
  }
}
