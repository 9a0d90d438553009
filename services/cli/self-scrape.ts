// services/cli/self-scrape.ts: the process's own metrics, written through the real ingest path as a Prometheus would.
import { compressSync } from "snappy";
import { nodeClock, type Timer } from "../../libs/env/index.ts";
import { DEFAULT_TENANT } from "../../libs/model/index.ts";
import type { ExposedFamily, Logger, Metrics } from "../../libs/runtime/index.ts";
import type { IngestHandler } from "../insert/index.ts";
import { encodeMetadata, encodeSamples } from "./remote-write-message.ts";

export class SelfScrape {
  readonly #metrics: Metrics;
  readonly #handler: IngestHandler;
  readonly #instance: string;
  readonly #everyMs: number;
  readonly #log: Logger;
  #timer: Timer | undefined;
  #running: Promise<void> = Promise.resolve();
  #isBusy = false;
  #metadataStored = false;
  #failures = 0;

  /** `instance` becomes the label of every series, beside job="tidemark". */
  constructor(metrics: Metrics, handler: IngestHandler, instance: string, everyMs: number, log: Logger) {
    this.#metrics = metrics;
    this.#handler = handler;
    this.#instance = instance;
    this.#everyMs = everyMs;
    this.#log = log;
    metrics.addSource(() => ({ tidemark_self_scrape_failures_total: this.#failures }));
  }

  /** Scrapes at once and then periodically. */
  start(): void {
    const scrape = (): void => {
      // A scrape that takes longer than the period is not overtaken.
      if (!this.#isBusy) this.#running = this.#scrape();
    };
    scrape();
    this.#timer = nodeClock.every(this.#everyMs, scrape);
  }

  /** Waits for a scrape that is under way. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#running;
  }

  async #scrape(): Promise<void> {
    this.#isBusy = true;
    const began = performance.now();
    try {
      const families = await this.#metrics.families();
      const seconds = (performance.now() - began) / 1000;
      const target = { job: "tidemark", instance: this.#instance };
      const samples = encodeSamples([...families, ...scrapeFamilies(families, seconds)], target, nodeClock.nowMs());
      await this.#write(this.#metadataStored ? samples : Buffer.concat([samples, encodeMetadata(families)]));
      this.#metadataStored = true;
    } catch (err) {
      this.#failures++;
      // The first failure is told; the metric counts the others.
      if (this.#failures === 1) this.#log.warn({ err }, "own metrics were not stored");
    } finally {
      this.#isBusy = false;
    }
  }

  async #write(message: Buffer): Promise<void> {
    const body = compressSync(message, { copyOutputData: true });
    const contentType = "application/x-protobuf";
    const reply = await this.#handler.write({ tenant: DEFAULT_TENANT, contentType, contentEncoding: "snappy", body });
    if (reply.status !== 204) throw new Error(`write answered ${reply.status}: ${reply.text}`);
  }
}

/** What a Prometheus adds to each scrape. */
function scrapeFamilies(families: readonly ExposedFamily[], seconds: number): ExposedFamily[] {
  const scraped = families.reduce((sum, family) => sum + family.values.length, 0);
  const values = { up: 1, scrape_duration_seconds: seconds, scrape_samples_scraped: scraped };
  return Object.entries(values).map(([name, value]) => ({
    name,
    help: "",
    type: "gauge",
    values: [{ name, labels: {}, value }],
  }));
}
