// services/select/routes.ts: the query API of a select, wired: engine, limits, endpoints, counters.
import type { Queryable } from "../../libs/model/index.ts";
import { ALL_OPTIONS, Engine, STOCK_OPTIONS } from "../../libs/promql/index.ts";
import type { Readings, Route } from "../../libs/runtime/index.ts";
import { apiRoutes } from "./api.ts";
import { blocksEndpoint } from "./blocks-endpoint.ts";
import { exemplarEndpoint } from "./exemplar-endpoint.ts";
import { featuresEndpoint } from "./features-endpoint.ts";
import { federateRoutes } from "./federate.ts";
import { languageEndpoints } from "./language-endpoints.ts";
import { metadataEndpoints } from "./metadata-endpoints.ts";
import { openApiRoute } from "./openapi-endpoint.ts";
import { NO_FACTS, type ProcessFacts, processEndpoints } from "./process-endpoints.ts";
import { queriesRoutes } from "./queries-endpoint.ts";
import { queryEndpoints } from "./query-endpoints.ts";
import { readRoutes } from "./remote-read.ts";
import { type QueryLimits, QueryRunner } from "./run-query.ts";
import { scrapeEndpoints } from "./scrape-endpoints.ts";
import { searchRoutes } from "./search-endpoints.ts";
import { statisticsEndpoint } from "./statistics-endpoint.ts";
import { buildInfo, statusEndpoints } from "./status-endpoints.ts";
import { webRoutes } from "./web-routes.ts";

export interface SelectOptions extends QueryLimits {
  /** Called per request, and only once the process is ready. */
  readonly queryable: () => Queryable;
  /** Wall-clock ms. */
  readonly nowMs: () => number;
  readonly version: string;
  readonly lookbackMs: number;
  /** Whether queries may use what Prometheus keeps behind feature flags. */
  readonly experimental: boolean;
  /** Whether counters' functions look at start times, and whether names are dropped at the end of a query only. */
  readonly useStartTimestamps?: boolean;
  readonly delayedNameRemoval?: boolean;
  readonly bodyMaxBytes: number;
  /** What is told about the process; left out: nothing that isn't known here. */
  readonly facts?: ProcessFacts;
  /** Steps of a range query after its first. */
  readonly stepsMax: number;
  /** Samples of one remote read, and bytes of its answer when that has to be whole. */
  readonly readSamplesMax: number;
  readonly readBytesMax: number;
}

export interface SelectApi {
  readonly routes: readonly Route[];
  /** For the metrics. */
  readonly readings: () => Readings;
}

/** The routes of the query API and its counters. */
export function createSelectApi(options: SelectOptions): SelectApi {
  const {
    queryable,
    nowMs,
    lookbackMs,
    facts = NO_FACTS,
    useStartTimestamps = false,
    delayedNameRemoval = false,
  } = options;
  const parser = options.experimental ? ALL_OPTIONS : STOCK_OPTIONS;
  const engine = new Engine({
    ...{ now: nowMs, monotonicMs: () => performance.now(), lookbackMs, parser },
    ...{ useStartTimestamps, delayedNameRemoval },
  });
  const runner = new QueryRunner(options, nowMs);
  const endpoints = [
    ...queryEndpoints({
      queryable,
      engine,
      runner,
      nowMs,
      perStepStats: options.experimental,
      stepsMax: options.stepsMax,
    }),
    ...languageEndpoints(parser),
    ...processEndpoints(facts, nowMs),
    ...scrapeEndpoints(),
    featuresEndpoint(parser, facts.acceptsWrites),
    statisticsEndpoint(queryable, runner),
    blocksEndpoint(queryable, runner),
    ...metadataEndpoints(queryable, runner),
    exemplarEndpoint(queryable, runner, parser),
    ...statusEndpoints(options.version),
  ];
  const { bodyMaxBytes, readSamplesMax: samplesMax, readBytesMax: bytesMax } = options;
  const routes = [
    ...apiRoutes(endpoints, bodyMaxBytes),
    ...searchRoutes(),
    ...webRoutes(buildInfo(options.version)),
    ...federateRoutes({ queryable, runner, nowMs, lookbackMs }),
    ...queriesRoutes(runner.queries, bodyMaxBytes),
    ...readRoutes(queryable, runner, { samplesMax, bytesMax, bodyMaxBytes }),
  ];
  return { routes: [...routes, openApiRoute(routes, options.version)], readings: () => readings(runner) };
}

function readings({ counters, gate, answers }: QueryRunner): Readings {
  return {
    tidemark_query_duration_seconds: Object.entries(counters.durations).map(([kind, value]) => ({
      labels: { kind },
      value,
    })),
    tidemark_queries_running: gate.running,
    tidemark_queries_waiting: gate.waiting,
    tidemark_query_answers_bytes: answers.bytes,
    tidemark_queries_refused_total: [...counters.refused].map(([reason, value]) => ({ labels: { reason }, value })),
    tidemark_query_limits_total: [...counters.limits].map(([limit, value]) => ({ labels: { limit }, value })),
    tidemark_queries_slow_total: counters.slow,
    tidemark_reads_total: Object.entries(counters.reads).map(([form, value]) => ({ labels: { form }, value })),
    tidemark_query_samples_total: counters.samplesRead,
  };
}
