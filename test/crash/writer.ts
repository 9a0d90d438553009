// test/crash/writer.ts: a sender of remote write over HTTP: each sample once, and again only when the answer was not 2xx.
import { SeededRandom } from "../../libs/env/index.ts";
import { sleep } from "../e2e/processes.ts";
import { compress, encodeWriteRequest, post, type WriteSeries } from "../e2e/remote-write.ts";
import { bitsOf, type Ledger } from "./ledger.ts";
import { seriesKey } from "./sim-traffic.ts";

const ODD_BITS = [
  0x7ff0000000000002n,
  0x7ff8000000000123n,
  0x7ff0000000000003n,
  0x8000000000000000n,
  0x7ff0000000000000n,
];
const SERIES = 25;
const FIRST_PAUSE_MS = 30;
const LAST_PAUSE_MS = 300;

export interface WriterOptions {
  readonly url: string;
  readonly ledger: Ledger;
  readonly number: number;
  /** The target that its series name; writers with the same one write the same series at different times. */
  readonly instance: string;
  /** Milliseconds between a reply and the next request. */
  readonly pauseMs: number;
  /** New series come with this chance per request. */
  readonly churn?: number;
  /** How long ago a request's samples are, one of these; left out: now. */
  readonly agesMs?: readonly number[];
}

export class Writer {
  acknowledged = 0;
  retries = 0;
  /** Answers that neither took a request nor asked for it again. */
  readonly refusals: string[] = [];
  private readonly options: WriterOptions;
  private readonly random: SeededRandom;
  private readonly done: Promise<void>;
  private stopping = false;
  private series = SERIES;
  private lastMs = 0;

  /** Begins at once. */
  constructor(options: WriterOptions) {
    this.options = options;
    this.random = new SeededRandom(options.number);
    this.done = this.run();
  }

  /** No new request is begun; the one on its way is sent until it is answered. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.done;
  }

  private async run(): Promise<void> {
    const { ledger, url, pauseMs } = this.options;
    while (!this.stopping) {
      const series = this.compose();
      const record = (outcome: "unknown" | "acknowledged"): void => {
        for (const { labels, times, values } of series) {
          times.forEach((time, i) => {
            ledger.record(seriesKey("default", labels), time, bitsOf(values, i), outcome);
          });
        }
      };
      record("unknown");
      const body = compress(encodeWriteRequest(series));
      for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(2 * wait, LAST_PAUSE_MS)) {
        const { status, text } = await post(url, body);
        if (status >= 200 && status < 300) {
          record("acknowledged");
          this.acknowledged++;
          break;
        }
        if (status !== 0 && status < 500) {
          this.refusals.push(`${status} ${text}`);
          return;
        }
        this.retries++;
        await sleep(wait);
      }
      await sleep(pauseMs);
    }
  }

  private compose(): WriteSeries[] {
    const { random } = this;
    const { instance, number, churn = 0, agesMs = [0] } = this.options;
    if (random.chance(churn)) this.series++;
    // Writers of one target differ in the last digit of their times.
    this.lastMs = Math.max(this.lastMs + 10, Math.floor(Date.now() / 10) * 10 + (number % 10));
    const timeMs = this.lastMs - random.pick(agesMs);
    return Array.from({ length: this.series }, (_, i) => {
      const bits = random.chance(0.05) ? random.pick(ODD_BITS) : undefined;
      const values =
        bits === undefined ? Float64Array.of(random.float() * 1e6) : new Float64Array(BigUint64Array.of(bits).buffer);
      const labels: [string, string][] = [
        ["__name__", `metric_${i % 7}`],
        ["i", `${i}`],
        ["instance", instance],
        ["job", "crash"],
      ];
      return { labels: random.chance(0.1) ? labels.reverse() : labels, times: [timeMs], values };
    });
  }
}
