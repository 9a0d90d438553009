// test/bench/ingest-stages.ts: runs write requests through the ingest kernel and times each stage, for the benches of the stages.
// All figures are CPU time, the best of several rounds over the same requests, so that other processes on the machine count little. The
// chain's figure includes the JavaScript between the stages.
import { HASH_KEY_BYTES, IngestKernel } from "../../libs/kernel/index.ts";
import { makeRequests, type ScrapeRequestOptions, seeded } from "../unit/kernel/scrape-requests.ts";

const TENANT = 1;
const ROUNDS = 8;

type Calls = Record<string, (...args: number[]) => number>;

export interface StageTimes {
  /** Best ns per sample of each kernel function that was called. */
  readonly stages: Readonly<Record<string, number>>;
  /** The same in the first round, when every series is new. */
  readonly first: Readonly<Record<string, number>>;
  /** CPU ns per sample from body to batch, best round. */
  readonly chainNs: number;
  readonly samples: number;
  readonly bodyBytes: number;
  readonly messageBytes: number;
  readonly batchBytes: number;
}

/** Puts a stopwatch around every function of the kernel. */
function watch(kernel: IngestKernel, times: Record<string, number>): void {
  const holder = kernel as unknown as { kernel: Calls };
  const batch = kernel.batch as unknown as { kernel: Calls };
  const watched: Calls = {};
  for (const [name, call] of Object.entries(holder.kernel)) {
    watched[name] = (...args) => {
      const before = process.cpuUsage();
      const result = call(...args);
      const used = process.cpuUsage(before);
      times[name] = (times[name] ?? 0) + (used.user + used.system) / 1000;
      return result;
    };
  }
  holder.kernel = watched;
  batch.kernel = watched;
}

/** Times body → batch for one owner. */
export function timeStages(options: Omit<ScrapeRequestOptions, "samplesPerRequest">): StageTimes {
  const requests = makeRequests({ ...options, samplesPerRequest: 2000 });
  const samples = requests.reduce((sum, r) => sum + r.samples, 0);
  const random = seeded(1);
  const kernel = new IngestKernel({ hashKey: Uint8Array.from({ length: HASH_KEY_BYTES }, () => random() * 256) });
  const dictionary = kernel.openDictionary();
  const registration = { shard: 0, home: { low: 1, high: 2 }, id: new Uint8Array(16), key: new Uint8Array(120) };
  const { view, batch } = kernel;
  let nextSid = 1;
  let batchBytes = 0;
  const round = (): void => {
    batchBytes = 0;
    for (const request of requests) {
      kernel.decode(request.body, options.version, TENANT);
      for (let i = 0; i < view.unresolvedCount; i++) {
        const row = view.unresolved[i]!;
        kernel.remember(TENANT, row, nextSid);
        view.setSid(row, nextSid++);
      }
      const missing = batch.begin(dictionary, 1);
      for (let i = 0; i < missing; i++) {
        if (dictionary.refs[batch.missing[i]!] === 0) batch.register(batch.missing[i]!, registration);
      }
      batchBytes += batch.finish()!.length;
    }
  };
  const times: Record<string, number> = {};
  let chainNs = Number.POSITIVE_INFINITY;
  const stages: Record<string, number> = {};
  for (let i = 0; i < ROUNDS; i++) {
    if (i === ROUNDS / 2) watch(kernel, times);
    for (const name of Object.keys(times)) times[name] = 0;
    const cpu = process.cpuUsage();
    round();
    const used = process.cpuUsage(cpu);
    if (i < ROUNDS / 2) chainNs = Math.min(chainNs, ((used.user + used.system) * 1000) / samples);
    for (const [name, ms] of Object.entries(times)) {
      stages[name] = Math.min(stages[name] ?? Number.POSITIVE_INFINITY, (ms * 1e6) / samples);
    }
  }
  const batchBytesWarm = batchBytes;
  // Once more from nothing, with warm code: what registration costs.
  kernel.forgetAll();
  dictionary.reset();
  nextSid = 1;
  for (const name of Object.keys(times)) times[name] = 0;
  round();
  const first = Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, (ms * 1e6) / samples]));
  return {
    stages,
    first,
    chainNs,
    samples,
    bodyBytes: requests.reduce((sum, r) => sum + r.body.length, 0),
    messageBytes: requests.reduce((sum, r) => sum + r.message.length, 0),
    batchBytes: batchBytesWarm,
  };
}

/** "12.3" */
export function ns(value: number | undefined): string {
  return (value ?? 0).toFixed(1);
}
