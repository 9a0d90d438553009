// test/crash/hand.ts: an operator of a real process who never rests: flushes, compacts, makes snapshots, deletes series, brings them back, and
// takes them off the disk. Remembers what it was told of its victims: series of its own that nobody else writes.
import type { SeededRandom } from "../../libs/env/index.ts";
import { sleep } from "../e2e/processes.ts";
import { compress, encodeWriteRequest, post } from "../e2e/remote-write.ts";

const HOUR = 3_600_000;
const PAUSE_MS = 40;
export const VICTIM_JOB = "victim";

interface Victim {
  readonly times: readonly number[];
  state: "there" | "deleted" | "gone";
}

export class Hand {
  /** What was done, and acknowledged, how often. */
  readonly done = new Map<string, number>();
  readonly victims = new Map<string, Victim>();
  readonly problems: string[] = [];
  private readonly base: string;
  private readonly random: SeededRandom;
  private readonly work: Promise<void>;
  private stopping = false;
  private made = 0;

  /** Begins at once. */
  constructor(base: string, random: SeededRandom) {
    this.base = base;
    this.random = random;
    this.work = this.run();
  }

  /** What is on its way is done until it is acknowledged; then no more. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.work;
  }

  private async run(): Promise<void> {
    while (!this.stopping) {
      const draw = this.random.below(20);
      if (draw < 4) await this.order("flush", "admin/flush");
      else if (draw < 9) await this.order("compact", "admin/compact");
      else if (draw < 10) await this.order("snapshot", "admin/tsdb/snapshot");
      else if (draw < 11) await this.clean();
      else if (draw < 14) await this.makeVictim();
      else if (draw < 17) await this.deleteSome();
      else await this.undeleteSome();
      await sleep(PAUSE_MS);
    }
  }

  private count(what: string): void {
    this.done.set(what, (this.done.get(what) ?? 0) + 1);
  }

  /** The status of the reply; 0 when there was none. */
  private async ask(method: string, path: string): Promise<{ status: number; text: string }> {
    try {
      const reply = await fetch(`${this.base}/api/v1/${path}`, { method });
      const text = await reply.text();
      if (reply.status >= 400 && reply.status < 500) this.problems.push(`${method} ${path}: ${reply.status} ${text}`);
      return { status: reply.status, text };
    } catch {
      return { status: 0, text: "" };
    }
  }

  private async order(name: string, path: string): Promise<void> {
    const { status } = await this.ask("POST", path);
    if (status >= 200 && status < 300) this.count(name);
  }

  /** What was deleted by now is gone for good, or will be: a part of it may be off the disk. */
  private async clean(): Promise<void> {
    for (const victim of this.victims.values()) if (victim.state === "deleted") victim.state = "gone";
    await this.order("clean", "admin/tsdb/clean_tombstones");
  }

  private async makeVictim(): Promise<void> {
    const { random } = this;
    const n = `${++this.made}`;
    const firstMs = Date.now() - random.below(3) * 24 * HOUR - 2 * HOUR;
    const times = Array.from({ length: 20 }, (_, i) => firstMs + i * 15_000);
    const labels = Object.entries({ __name__: "v", job: VICTIM_JOB, n });
    const body = compress(encodeWriteRequest([{ labels, times, values: Float64Array.from(times, (t) => t % 1000) }]));
    await this.insist(async () => (await post(`${this.base}/api/v1/write`, body)).status);
    this.victims.set(n, { times, state: "there" });
    this.count("victim");
  }

  private async deleteSome(): Promise<void> {
    const there = [...this.victims].filter(([, { state }]) => state === "there");
    if (there.length === 0) return;
    const [n, victim] = this.random.pick(there);
    const selector = encodeURIComponent(`{job="${VICTIM_JOB}",n="${n}"}`);
    await this.insist(async () => (await this.ask("POST", `admin/tsdb/delete_series?match[]=${selector}`)).status);
    victim.state = "deleted";
    this.count("delete");
  }

  private async undeleteSome(): Promise<void> {
    const list = async (): Promise<{ id: string; selectors: string[] }[] | undefined> => {
      const { status, text } = await this.ask("GET", "admin/tsdb/undelete_series");
      return status === 200 ? JSON.parse(text).data : undefined;
    };
    const listed = await list();
    if (listed === undefined || listed.length === 0) return;
    const { id, selectors } = this.random.pick(listed);
    const victim = this.victims.get(/n="(\d+)"/.exec(selectors[0]!)![1]!)!;
    if (victim.state !== "deleted") return;
    await this.insist(async () => {
      const now = await list();
      if (now === undefined) return 0;
      if (now.every((one) => one.id !== id)) return 204;
      return (await this.ask("POST", `admin/tsdb/undelete_series?id=${id}`)).status;
    });
    victim.state = "there";
    this.count("undelete");
  }

  /** Does something until it is acknowledged. */
  private async insist(work: () => Promise<number>): Promise<void> {
    for (;;) {
      const status = await work();
      if (status >= 200 && status < 300) return;
      if (status >= 400 && status < 500) throw new Error(`refused for good: ${status} ${this.problems.at(-1) ?? ""}`);
      await sleep(PAUSE_MS);
    }
  }
}
