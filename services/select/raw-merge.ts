// services/select/raw-merge.ts: streams of raw samples, each ordered by labels, as one stream in that order.
// Invariant: of each stream one batch is held, and of a series that several have, that series.
import { compareLabels, equalLabels, type RawColumn } from "../../libs/model/index.ts";
import { mergeSeries } from "../../libs/promql/index.ts";

export type RawStream = AsyncGenerator<readonly RawColumn[], void, void>;

/** One stream and where its reader stands. */
class Reader {
  readonly #stream: RawStream;
  #batch: readonly RawColumn[] = [];
  #at = 0;

  constructor(stream: RawStream) {
    this.#stream = stream;
  }

  /** The next column; undefined at the end. */
  get head(): RawColumn | undefined {
    return this.#batch[this.#at];
  }

  /** Goes to the first column. */
  async begin(): Promise<void> {
    await this.#refill();
  }

  /** Goes behind the head; waits only at the end of a batch. */
  step(): Promise<void> | undefined {
    this.#at++;
    return this.#at < this.#batch.length ? undefined : this.#refill();
  }

  async #refill(): Promise<void> {
    this.#at = 0;
    do {
      const next = await this.#stream.next();
      this.#batch = next.done === true ? [] : next.value;
      if (next.done === true) return;
    } while (this.#batch.length === 0);
  }
}

/** Errors: the first one of any stream; it's the caller who ends the others. */
export async function* mergeRawStreams(streams: readonly RawStream[]): RawStream {
  if (streams.length === 1) {
    yield* streams[0]!;
    return;
  }
  const readers = streams.map((stream) => new Reader(stream));
  await Promise.all(readers.map((reader) => reader.begin()));
  let batch: RawColumn[] = [];
  let samples = 0;
  for (;;) {
    const least = leastOf(readers);
    if (least.length === 0) break;
    const { labels } = least[0]!.head!;
    if (least.length > 1) {
      const whole = await joined(least);
      batch.push(whole);
      samples += whole.times.length;
    } else {
      const [reader] = least as [Reader];
      for (let head = reader.head; head !== undefined && equalLabels(head.labels, labels); head = reader.head) {
        batch.push(head);
        samples += head.times.length;
        if (isFull(batch, samples)) {
          yield batch;
          batch = [];
          samples = 0;
        }
        const waiting = reader.step();
        if (waiting !== undefined) await waiting;
      }
    }
    if (!isFull(batch, samples)) continue;
    yield batch;
    batch = [];
    samples = 0;
  }
  if (batch.length > 0) yield batch;
}

const BATCH_SAMPLES = 8192;
const BATCH_COLUMNS = 1024;

function isFull(batch: readonly RawColumn[], samples: number): boolean {
  return samples >= BATCH_SAMPLES || batch.length >= BATCH_COLUMNS;
}

/** The readers that stand at the first series of all. */
function leastOf(readers: readonly Reader[]): Reader[] {
  let least: Reader[] = [];
  for (const reader of readers) {
    const { head } = reader;
    if (head === undefined) continue;
    const order = least.length === 0 ? -1 : compareLabels(head.labels, least[0]!.head!.labels);
    if (order < 0) least = [reader];
    else if (order === 0) least.push(reader);
  }
  return least;
}

/** A series that several streams have: every time once, the first one's value where they differ. */
async function joined(readers: readonly Reader[]): Promise<RawColumn> {
  const { labels } = readers[0]!.head!;
  const parts: RawColumn[] = [];
  for (const reader of readers) {
    for (let head = reader.head; head !== undefined && equalLabels(head.labels, labels); head = reader.head) {
      parts.push(head);
      await reader.step();
    }
  }
  const results = parts.map((part) => ({ columns: [part], seriesCount: 1, samplesRead: 0, warnings: [] }));
  return mergeSeries(results).columns[0] as RawColumn;
}
