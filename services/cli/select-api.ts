// services/cli/select-api.ts: the query API of this process from the flags.
import { nodeClock } from "../../libs/env/index.ts";
import type { Queryable } from "../../libs/model/index.ts";
import { type FlagValues, flagTexts, type Logger } from "../../libs/runtime/index.ts";
import { createSelectApi, type ProcessFacts, type SelectApi } from "../select/index.ts";
import type { selectFlags } from "./flags.ts";

export type SelectValues = FlagValues<typeof selectFlags>;

/** The API over a storage, which is asked for per request. */
export function selectApi(
  queryable: () => Queryable,
  values: SelectValues,
  version: string,
  log: Logger,
  facts: Omit<ProcessFacts, "flags">,
): SelectApi {
  return createSelectApi({
    queryable,
    nowMs: nodeClock.nowMs,
    version,
    lookbackMs: values.lookback,
    experimental: values.promqlExperimental,
    useStartTimestamps: values.promqlStartTimestamps,
    delayedNameRemoval: values.promqlDelayedNameRemoval,
    bodyMaxBytes: values.queryBodyMax,
    readSamplesMax: values.readSamplesMax,
    readBytesMax: values.readBytesMax,
    timeoutMs: values.queryTimeout,
    concurrency: values.queryConcurrency,
    queueMax: values.queryQueueMax,
    samplesMax: values.querySamplesMax,
    facts: { ...facts, flags: flagTexts(values) },
    seriesMax: values.querySeriesMax,
    bytesMax: values.queryBytesMax,
    answersMax: values.queryAnswersMax,
    stepsMax: values.queryStepsMax,
    slowMs: values.slowQuery,
    onSlow: (record) => log.warn(record, "slow query"),
  });
}
