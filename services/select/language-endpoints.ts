// services/select/language-endpoints.ts: `format_query` and `parse_query`: what can be said of a query without any data.
import { InvalidError } from "../../libs/model/index.ts";
import { type Expr, type ParserOptions, parseExpr, prettyExpr } from "../../libs/promql/index.ts";
import type { ApiRequest, Endpoint } from "./api.ts";
import type { Form } from "./form.ts";
import { renderData } from "./json.ts";
import { invalidParameter } from "./params.ts";
import { renderTree } from "./query-tree.ts";

/** `options` says which parts of the language queries may use. */
export function languageEndpoints(options: ParserOptions): Endpoint[] {
  const parse = (form: Form): Expr => parseExpr(form.get("query"), options);
  const format = ({ form }: ApiRequest): Uint8Array => renderData(naming(() => prettyExpr(parse(form))));
  const tree = ({ form }: ApiRequest): Iterable<Uint8Array> => treeAnswer(naming(() => parse(form)));
  return [
    { path: "format_query", acceptsPost: true, answer: format },
    { path: "parse_query", acceptsPost: true, answer: tree },
  ];
}

function* treeAnswer(expr: Expr): Generator<Uint8Array> {
  let opening = '{"status":"success","data":';
  for (const text of renderTree(expr)) {
    yield Buffer.from(opening + text);
    opening = "";
  }
  yield Buffer.from("}");
}

/** What is wrong with a query's text is told with the parameter's name. */
function naming<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof InvalidError ? invalidParameter("query", error.message) : error;
  }
}
