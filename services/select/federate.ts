// services/select/federate.ts: `/federate`: the newest sample of each series that any match[] selects, for other servers to
// scrape. Series whose newest sample is a stale marker, or older than the lookback, are left out.
import {
  compareLabels,
  compareUtf8,
  histogramAt,
  InvalidError,
  type Leaf,
  type LeafResult,
  labelsKey,
  labelValue,
  type Matcher,
  METRIC_NAME,
  type Queryable,
  type QueryContext,
  type StepColumn,
} from "../../libs/model/index.ts";
import { type Exchange, type Route, requestTenant } from "../../libs/runtime/index.ts";
import { type ExposedSample, expositionType, renderExposition } from "./exposition.ts";
import { protobufType, renderProtobuf } from "./exposition-proto.ts";
import { Form } from "./form.ts";
import { parseSelectors } from "./match-parameter.ts";
import { negotiateExposition } from "./name-escaping.ts";
import type { QueryRunner } from "./run-query.ts";

export interface FederateOptions {
  readonly queryable: () => Queryable;
  readonly runner: QueryRunner;
  readonly nowMs: () => number;
  readonly lookbackMs: number;
}

/** `/federate`, and the same below /select/<tenant>/prometheus. */
export function federateRoutes(options: FederateOptions): Route[] {
  return ["/federate", "/select/:tenant/prometheus/federate"].map((pattern): Route => {
    return { methods: ["GET"], pattern, needsEngine: true, handle: (exchange) => federate(exchange, options) };
  });
}

async function federate(exchange: Exchange, options: FederateOptions): Promise<void> {
  const tenant = requestTenant(exchange);
  const form = new Form(exchange.target.query);
  if (form.error !== "") throw new InvalidError(`error parsing form values: ${form.error}`);
  // A selector without matchers selects nothing here, as in Prometheus.
  const sets = parseSelectors(form.getAll("match[]")).filter((matchers) => matchers.length > 0);
  const { queryable, runner, nowMs, lookbackMs } = options;
  const timeMs = nowMs();
  const samples = await runner.run("instant", exchange, tenant, undefined, async (context) => {
    const found = new Map<string, ExposedSample>();
    const budget = new ReadBudget(queryable(), context);
    for (const matchers of sets) {
      for (const sample of await newestSamples(budget, matchers, timeMs, lookbackMs)) {
        found.set(labelsKey(sample.labels), sample);
      }
    }
    runner.counters.samplesRead += budget.samplesRead;
    return [...found.values()];
  });
  samples.sort((a, b) => compareUtf8(a.name, b.name) || compareLabels(a.labels, b.labels));
  const { format, scheme } = negotiateExposition(exchange.header("accept") ?? "");
  if (format === "text") await exchange.stream(200, expositionType(scheme), renderExposition(samples, scheme));
  else await exchange.stream(200, protobufType(scheme), renderProtobuf(samples, scheme));
}

/** What all selectors of a request may read together. */
class ReadBudget {
  readonly #queryable: Queryable;
  readonly #context: QueryContext;
  samplesRead = 0;

  constructor(queryable: Queryable, context: QueryContext) {
    this.#queryable = queryable;
    this.#context = context;
  }

  /** Errors: those of the storage; LimitError (422) when it has been read too much. */
  async evaluate(leaf: Leaf): Promise<LeafResult> {
    const samplesMax = Math.max(0, this.#context.samplesMax - this.samplesRead);
    const result = await this.#queryable.evaluate(leaf, { ...this.#context, samplesMax });
    this.samplesRead += result.samplesRead;
    return result;
  }
}

/**
 * First the times of the newest samples, which tell stale series, then the samples from the oldest of these times on:
 * time and value are of one reading, whatever arrives meanwhile.
 */
async function newestSamples(
  budget: ReadBudget,
  matchers: readonly Matcher[],
  timeMs: number,
  lookbackMs: number,
): Promise<ExposedSample[]> {
  const grid = { startMs: timeMs, stepMs: 0, count: 1 };
  const leaf = { matchers, grid, offsetMs: 0, args: [], dropName: false };
  // Both ends of the window count here.
  const newest = await budget.evaluate({ ...leaf, rollup: "timestamp", rangeMs: lookbackMs + 1 });
  if (newest.columns.length === 0) return [];
  let oldestMs = timeMs;
  const live = new Set<string>();
  for (const { labels, values } of newest.columns) {
    oldestMs = Math.min(oldestMs, Math.round(values[0]! * 1000));
    live.add(labelsKey(labels));
  }
  const rangeMs = timeMs - oldestMs + 1;
  const { columns } = await budget.evaluate({ ...leaf, rollup: "samples", rangeMs });
  return columns.flatMap((column) => (live.has(labelsKey(column.labels)) ? lastSample(column) : []));
}

/** The last sample of a series with a name; series without one have no place in an exposition. */
function lastSample({ labels, values, times, histograms }: StepColumn): ExposedSample[] {
  const last = values.length - 1;
  const name = labelValue(labels, METRIC_NAME);
  if (last < 0 || name === "") return [];
  const histogram = histograms === undefined ? undefined : histogramAt(histograms, last);
  return [{ name, labels, timeMs: times![last]!, value: values[last]!, histogram }];
}
