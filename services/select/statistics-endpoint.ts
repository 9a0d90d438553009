// services/select/statistics-endpoint.ts: `status/tsdb`: the tenant's series by name, label and pair. Prometheus counts what
// its head holds; here series that are in blocks only count as well, chunks and times are those of the heads.
import { InvalidError, type NamedCount, type Queryable } from "../../libs/model/index.ts";
import type { ApiRequest, Endpoint } from "./api.ts";
import type { Form } from "./form.ts";
import { goJson } from "./json-text.ts";
import { parseGoInteger } from "./params.ts";
import type { QueryRunner } from "./run-query.ts";

const LIMIT_DEFAULT = 10;
const LIMIT_MAX = 10_000;
/** Without samples, as Prometheus writes it: the bounds of 64 bits, which are no numbers of ours. */
const NO_MIN_TIME = "9223372036854775807";
const NO_MAX_TIME = "-9223372036854775808";

export function statisticsEndpoint(queryable: () => Queryable, runner: QueryRunner): Endpoint {
  const answer = async ({ exchange, tenant, form }: ApiRequest): Promise<Uint8Array> => {
    const limit = statisticsLimit(form);
    const found = await runner.run("metadata", exchange, tenant, undefined, (c) => queryable().statistics(limit, c));
    const { seriesCount, labelPairs, chunkCount, minMs, maxMs } = found;
    const [minTime, maxTime] = minMs <= maxMs ? [minMs, maxMs] : [NO_MIN_TIME, NO_MAX_TIME];
    const counts = `"numSeries":${seriesCount},"numLabelPairs":${labelPairs.value},"chunkCount":${chunkCount}`;
    const lists = {
      seriesCountByMetricName: plain(found.seriesByMetric),
      labelValueCountByLabelName: plain(found.valuesByLabel),
      memoryInBytesByLabelName: plain(found.bytesByLabel),
      seriesCountByLabelValuePair: plain(found.seriesByPair),
    };
    const head = `{${counts},"minTime":${minTime},"maxTime":${maxTime}}`;
    return Buffer.from(`{"status":"success","data":{"headStats":${head},${goJson(lists).slice(1)}}`);
  };
  return { path: "status/tsdb", acceptsPost: false, answer };
}

function statisticsLimit(form: Form): number {
  const text = form.get("limit");
  const limit = text === "" ? LIMIT_DEFAULT : parseGoInteger(text);
  if (typeof limit === "string" || limit < 1) throw new InvalidError("limit must be a positive number");
  if (limit > LIMIT_MAX) throw new InvalidError(`limit must not exceed ${LIMIT_MAX}`);
  return limit;
}

function plain(counts: readonly NamedCount[]): NamedCount[] {
  return counts.map(({ name, value }) => ({ name, value }));
}
