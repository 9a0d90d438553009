// services/select/query-endpoints.ts: `query` and `query_range`.
// Order of the checks, defaults and texts are Prometheus' own, so that a client sees the same first error.
import {
  InvalidError,
  type LevelChoice,
  type Queryable,
  type QueryContext,
  TimeoutError,
} from "../../libs/model/index.ts";
import {
  type Engine,
  type QueryChoices,
  type QueryProgress,
  type QueryResult,
  type QueryValue,
  quote,
} from "../../libs/promql/index.ts";
import type { ApiRequest, Endpoint } from "./api.ts";
import type { Form } from "./form.ts";
import { renderResult } from "./json.ts";
import {
  durationParameter,
  invalidParameter,
  limitParameter,
  parseDurationText,
  requiredTimeParameter,
  timeParameter,
} from "./params.ts";
import type { QueryRunner } from "./run-query.ts";

export interface QueryEndpointOptions {
  readonly queryable: () => Queryable;
  readonly engine: Engine;
  readonly runner: QueryRunner;
  readonly nowMs: () => number;
  /** Whether stats=all tells counts step by step. */
  readonly perStepStats: boolean;
  /** A range query has at most this many steps after its first. */
  readonly stepsMax: number;
}

const LEVEL_CHOICES: readonly LevelChoice[] = ["auto", "raw", "1m", "1h"];
/** The resolution of durations in parameters: what is shorter is none. */
const NANOSECOND_MS = 1e-6;

type QueryWork = (context: QueryContext, progress: QueryProgress) => Promise<QueryResult>;

export function queryEndpoints(options: QueryEndpointOptions): Endpoint[] {
  const { queryable, engine, runner, nowMs } = options;
  const instant = async ({ exchange, tenant, form }: ApiRequest) => {
    const started = performance.now();
    const limit = limitParameter(form);
    const timeMs = timeParameter(form, "time", nowMs());
    const timeoutMs = timeoutParameter(form);
    const choices = queryChoices(form);
    const query = form.get("query");
    const work: QueryWork = (c, progress) =>
      namingQuery(engine.instant(queryable(), query, timeMs, c, { ...choices, progress }));
    const result = await runner.run("instant", exchange, tenant, timeoutMs, work, query);
    return answer(result, limit, form, options, started, { startMs: timeMs, stepMs: 1 });
  };
  const range = async ({ exchange, tenant, form }: ApiRequest) => {
    const started = performance.now();
    const limit = limitParameter(form);
    const startMs = requiredTimeParameter(form, "start");
    const endMs = requiredTimeParameter(form, "end");
    if (endMs < startMs) throw invalidParameter("end", "end timestamp must not be before start time");
    const stepMs = stepParameter(form, endMs - startMs, options);
    const timeoutMs = timeoutParameter(form);
    const choices = queryChoices(form);
    const query = form.get("query");
    const work: QueryWork = (c, progress) =>
      namingQuery(engine.range(queryable(), query, startMs, endMs, stepMs, c, { ...choices, progress }));
    const result = await runner.run("range", exchange, tenant, timeoutMs, work, query);
    return answer(result, limit, form, options, started, { startMs, stepMs });
  };
  return [
    { path: "query", acceptsPost: true, answer: instant },
    { path: "query_range", acceptsPost: true, answer: range },
  ];
}

function timeoutParameter(form: Form): number | undefined {
  if (form.get("timeout") === "") return undefined;
  const timeoutMs = durationParameter(form, "timeout");
  if (timeoutMs >= NANOSECOND_MS) return timeoutMs;
  throw new TimeoutError("query timed out in query execution");
}

/** Whole ms: the resolution of time here. */
function stepParameter(form: Form, spanMs: number, { stepsMax, runner }: QueryEndpointOptions): number {
  const stepMs = durationParameter(form, "step");
  if (stepMs >= NANOSECOND_MS && spanMs / stepMs >= stepsMax + 1) {
    const advice = "Try decreasing the query resolution (?step=XX)";
    const most = stepsMax.toLocaleString("en-US");
    runner.countLimit("query-steps-max");
    throw new InvalidError(`exceeded maximum resolution of ${most} points per timeseries. ${advice}`);
  }
  if (stepMs >= 1) return Math.floor(stepMs);
  const reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
  throw invalidParameter("step", reason);
}

function queryChoices(form: Form): QueryChoices {
  const countSamples = form.get("stats") !== "";
  const trace = form.get("trace") === "1" || form.get("trace") === "true";
  return {
    countSamples,
    ...lookbackChoice(form.get("lookback_delta")),
    ...levelChoice(form.get("level")),
    ...(trace ? { trace } : {}),
  };
}

function levelChoice(text: string): QueryChoices {
  if (text === "") return {};
  const level = LEVEL_CHOICES.find((one) => one === text);
  if (level === undefined) throw invalidParameter("level", `got ${quote(text)}; want raw, 1m, 1h or auto`);
  return { level };
}

function lookbackChoice(text: string): QueryChoices {
  if (text === "") return {};
  try {
    const lookbackMs = Math.floor(parseDurationText(text));
    // As in Prometheus, 0 and less mean the default.
    return lookbackMs > 0 ? { lookbackMs } : {};
  } catch (error) {
    throw error instanceof InvalidError
      ? new InvalidError(`error parsing lookback delta duration: ${error.message}`)
      : error;
  }
}

/** What is wrong with a query's text is told with the parameter's name. */
async function namingQuery(result: Promise<QueryResult>): Promise<QueryResult> {
  try {
    return await result;
  } catch (error) {
    throw error instanceof InvalidError ? invalidParameter("query", error.message) : error;
  }
}

function answer(
  result: QueryResult,
  limit: number,
  form: Form,
  { runner, perStepStats }: QueryEndpointOptions,
  started: number,
  steps: Steps,
): Iterable<Uint8Array> {
  runner.counters.samplesRead += result.stats.samplesRead;
  const warnings = [...result.warnings];
  const value = truncated(result.value, limit);
  if (value !== result.value) warnings.push("results truncated due to limit");
  const asked = form.get("stats");
  if (asked !== "" && asked !== "true" && asked !== "all") {
    warnings.push(
      `value ${quote(asked)} for parameter "stats" is deprecated and will be rejected in the next major release, use "true" or "all"`,
    );
  }
  const seconds = (performance.now() - started) / 1000;
  const stats = asked === "" ? "" : renderStats(result, seconds, asked === "all" && perStepStats ? steps : undefined);
  return runner.answers.hold(value, renderResult(value, stats, { warnings, infos: result.infos }, result.trace));
}

function truncated(value: QueryValue, limit: number): QueryValue {
  if (limit === 0 || value.type === "scalar" || value.type === "string" || value.columns.length <= limit) return value;
  return { ...value, columns: value.columns.slice(0, limit) };
}

/** Where the steps of a query lie. */
interface Steps {
  readonly startMs: number;
  readonly stepMs: number;
}

/**
 * Times in seconds. Preparing, evaluating and sorting are one pass here, so all of it counts as evaluation. `steps`: counts
 * are told step by step.
 */
function renderStats({ stats, counts }: QueryResult, seconds: number, steps: Steps | undefined): string {
  const timings = {
    evalTotalTime: seconds,
    resultSortTime: 0,
    queryPreparationTime: 0,
    innerEvalTime: seconds,
    execQueueTime: 0,
    execTotalTime: seconds,
  };
  const sum = (list: Float64Array): number => list.reduce((total, n) => total + n, 0);
  const { total, read } = counts!;
  const perStep = (list: Float64Array) =>
    Array.from(list, (n, step) => [(steps!.startMs + step * steps!.stepMs) / 1000, n]);
  const samples = {
    ...(steps === undefined ? {} : { totalQueryableSamplesPerStep: perStep(total) }),
    totalQueryableSamples: sum(total),
    ...(steps === undefined ? {} : { samplesReadPerStep: perStep(read) }),
    samplesRead: sum(read),
    peakSamples: stats.peakPoints,
  };
  return JSON.stringify({ timings, samples });
}
