// services/select/exemplar-endpoint.ts: `query_exemplars`: the exemplars of all series that the selectors of a query name.
import {
  compareLabels,
  InvalidError,
  type Matcher,
  type Queryable,
  type QueryContext,
  type SeriesExemplars,
} from "../../libs/model/index.ts";
import { type ParserOptions, parseExpr, walk } from "../../libs/promql/index.ts";
import type { ApiRequest, Endpoint } from "./api.ts";
import { renderExemplars } from "./exemplar-json.ts";
import { MAX_TIME_MS, MIN_TIME_MS, timeParameter } from "./params.ts";
import type { QueryRunner } from "./run-query.ts";

export function exemplarEndpoint(queryable: () => Queryable, runner: QueryRunner, parser: ParserOptions): Endpoint {
  const answer = async ({ exchange, tenant, form }: ApiRequest) => {
    const minMs = timeParameter(form, "start", MIN_TIME_MS);
    const maxMs = timeParameter(form, "end", MAX_TIME_MS);
    if (maxMs < minMs) throw new InvalidError("end timestamp must not be before start timestamp");
    const sets = selectorsOf(form.get("query"), parser);
    if (sets.length === 0) return "empty";
    const ask = (c: QueryContext): Promise<SeriesExemplars[]> => queryable().exemplars(sets, { minMs, maxMs }, c);
    const found = await runner.run("metadata", exchange, tenant, undefined, ask, form.get("query"));
    return renderExemplars(found.sort((a, b) => compareLabels(a.labels, b.labels)));
  };
  return { path: "query_exemplars", acceptsPost: true, answer };
}

/** The matchers of all selectors of a query. Errors: ParseError. */
function selectorsOf(query: string, parser: ParserOptions): (readonly Matcher[])[] {
  const sets: (readonly Matcher[])[] = [];
  walk(parseExpr(query, parser), (expr) => {
    if (expr.kind === "selector") sets.push(expr.matchers);
    return true;
  });
  return sets;
}
