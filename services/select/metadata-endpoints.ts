// services/select/metadata-endpoints.ts: the endpoints about series rather than samples: names, values, families.
import {
  compareLabels,
  compareUtf8,
  InvalidError,
  type MetadataEntry,
  type Queryable,
  type TimeRange,
} from "../../libs/model/index.ts";
import { quote } from "../../libs/promql/index.ts";
import type { ApiRequest, Endpoint } from "./api.ts";
import { renderData, renderList } from "./json.ts";
import { matcherSets } from "./match-parameter.ts";
import {
  countParameter,
  invalidParameter,
  limitParameter,
  MAX_TIME_MS,
  MIN_TIME_MS,
  timeParameter,
  unescapeLabelName,
} from "./params.ts";
import type { QueryRunner } from "./run-query.ts";

const TRUNCATED = "results truncated due to limit";

/** `labels`, `label/…/values`, `series`, `metadata`. */
export function metadataEndpoints(queryable: () => Queryable, runner: QueryRunner): Endpoint[] {
  const lacking = (range: TimeRange): readonly string[] => queryable().lacking?.(range) ?? [];
  const names = async ({ exchange, tenant, form }: ApiRequest) => {
    const limit = limitParameter(form);
    const range = timeRange(form);
    const sets = matcherSets(form.getAll("match[]"));
    const found = await runner.run("metadata", exchange, tenant, undefined, (c) =>
      queryable().labelNames(sets, range, hint(limit), c),
    );
    return renderLimited(found, limit, lacking(range));
  };
  const values = async ({ exchange, tenant, form }: ApiRequest) => {
    const name = unescapeLabelName(exchange.params.name!);
    if (name === "") throw new InvalidError(`invalid label name: ${quote(name)}`);
    const limit = limitParameter(form);
    const range = timeRange(form);
    const sets = matcherSets(form.getAll("match[]"));
    const found = await runner.run("metadata", exchange, tenant, undefined, (c) =>
      queryable().labelValues(name, sets, range, hint(limit), c),
    );
    return renderLimited(found, limit, lacking(range));
  };
  const series = async ({ exchange, tenant, form }: ApiRequest) => {
    if (form.error !== "") throw new InvalidError(`error parsing form values: ${form.error}`);
    const selectors = form.getAll("match[]");
    if (selectors.length === 0) throw new InvalidError("no match[] parameter provided");
    const limit = limitParameter(form);
    const range = timeRange(form);
    const sets = namedMatcherSets(selectors);
    const found = await runner.run("metadata", exchange, tenant, undefined, (c) =>
      queryable().series(sets, range, hint(limit), c),
    );
    return renderLimited(found.sort(compareLabels), limit, lacking(range));
  };
  const metadata = async ({ exchange, tenant, form }: ApiRequest) => {
    const limit = countParameter(form.get("limit"), "limit");
    const perFamily = countParameter(form.get("limit_per_metric"), "limit_per_metric");
    const entries = await runner.run("metadata", exchange, tenant, undefined, (c) =>
      queryable().metadata(form.get("metric"), c),
    );
    return renderData(familyRecord(entries, limit, perFamily));
  };
  return [
    { path: "labels", acceptsPost: true, answer: names },
    { path: "label/:name/values", acceptsPost: false, answer: values },
    { path: "series", acceptsPost: true, answer: series },
    { path: "metadata", acceptsPost: false, answer: metadata },
  ];
}

function timeRange(form: ApiRequest["form"]): TimeRange {
  return { minMs: timeParameter(form, "start", MIN_TIME_MS), maxMs: timeParameter(form, "end", MAX_TIME_MS) };
}

/** Storages are asked for one more than the limit, so that it is known whether something was left out. */
function hint(limit: number): number {
  return limit > 0 ? limit + 1 : 0;
}

function renderLimited(
  items: Parameters<typeof renderList>[0],
  limit: number,
  lacking: readonly string[],
): Iterable<Uint8Array> {
  const isCut = limit > 0 && items.length > limit;
  const warnings = isCut ? [TRUNCATED, ...lacking] : lacking;
  return renderList(isCut ? items.slice(0, limit) : items, { warnings, infos: [] });
}

/** `series` alone names the parameter in the error. */
function namedMatcherSets(selectors: readonly string[]): ReturnType<typeof matcherSets> {
  try {
    return matcherSets(selectors);
  } catch (error) {
    throw error instanceof InvalidError ? invalidParameter("match[]", error.message) : error;
  }
}

/** `{family: [{type, help, unit}]}`, families by name, entries without repeats. */
function familyRecord(entries: readonly MetadataEntry[], limit: number, perFamily: number): object {
  const families = new Map<string, Map<string, object>>();
  for (const { family, type, help, unit } of entries) {
    let known = families.get(family);
    if (known === undefined) {
      known = new Map();
      families.set(family, known);
    }
    if (perFamily === 0 || known.size < perFamily) known.set(JSON.stringify([type, help, unit]), { type, help, unit });
  }
  const names = [...families.keys()].sort(compareUtf8);
  const record: Record<string, object[]> = Object.create(null);
  for (const name of limit > 0 ? names.slice(0, limit) : names) record[name] = [...families.get(name)!.values()];
  return record;
}
