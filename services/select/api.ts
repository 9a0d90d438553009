// services/select/api.ts: what the endpoints of Prometheus' HTTP API share: parameters in, one JSON envelope out.
// Every path exists twice: as it is (tenant by header), and below /select/<tenant>/prometheus.
import { InvalidError } from "../../libs/model/index.ts";
import { type Exchange, type Route, requestTenant } from "../../libs/runtime/index.ts";
import { Form } from "./form.ts";
import { renderError } from "./json.ts";

/** One request to the API. */
export interface ApiRequest {
  readonly exchange: Exchange;
  readonly tenant: string;
  readonly form: Form;
}

/** A successful answer: whole or in chunks, or "empty" for 204. */
export type ApiAnswer = Uint8Array | Iterable<Uint8Array> | "empty";

export interface Endpoint {
  /** Below /api/v1/. */
  readonly path: string;
  /** GET alone, or GET and POST with a form body. */
  readonly acceptsPost: boolean;
  /** Where it is neither of both. */
  readonly methods?: Route["methods"];
  /** False for what can be told while the engine opens. */
  readonly needsEngine?: boolean;
  readonly answer: (request: ApiRequest) => Promise<ApiAnswer> | ApiAnswer;
}

const JSON_TYPE = "application/json";
const FORM_TYPE = "application/x-www-form-urlencoded";
const MULTIPART_TYPE = "multipart/form-data";
const CORS_HEADERS = [
  "Access-Control-Allow-Headers",
  "Accept, Authorization, Content-Type, Origin",
  "Access-Control-Allow-Methods",
  "GET, POST, OPTIONS",
  "Access-Control-Expose-Headers",
  "Date",
  "Access-Control-Allow-Origin",
  "*",
];

/** The routes of an endpoint. */
export function apiRoutes(endpoints: readonly Endpoint[], bodyMaxBytes: number): Route[] {
  return endpoints.flatMap((endpoint) => {
    return ["/api/v1/", "/select/:tenant/prometheus/api/v1/"].map((prefix): Route => {
      return {
        methods: endpoint.methods ?? (endpoint.acceptsPost ? ["GET", "POST"] : ["GET"]),
        pattern: prefix + endpoint.path,
        needsEngine: endpoint.needsEngine ?? true,
        optionsHeaders: CORS_HEADERS,
        handle: (exchange) => handle(exchange, endpoint, bodyMaxBytes),
        fail: jsonFailure,
      };
    });
  });
}

/** An error as this API answers it. */
export function jsonFailure(
  exchange: Exchange,
  { status, type, message }: { readonly status: number; readonly type: string; readonly message: string },
  headers: readonly string[],
): void {
  void exchange.send(status, JSON_TYPE, renderError(type, message), [...corsHeaders(exchange), ...headers]);
}

async function handle(exchange: Exchange, endpoint: Endpoint, bodyMaxBytes: number): Promise<void> {
  const tenant = requestTenant(exchange);
  const form = new Form(await formBody(exchange, bodyMaxBytes), exchange.target.query);
  const answer = await endpoint.answer({ exchange, tenant, form });
  const headers = corsHeaders(exchange);
  if (answer === "empty") exchange.empty(204, headers);
  else if (answer instanceof Uint8Array) await exchange.send(200, JSON_TYPE, answer, headers);
  else await exchange.stream(200, JSON_TYPE, answer, headers);
}

/** The form of a POST or PUT, URL-encoded; other bodies carry no parameters and are not read. */
async function formBody(exchange: Exchange, bodyMaxBytes: number): Promise<string> {
  if (exchange.request.method !== "POST" && exchange.request.method !== "PUT") return "";
  const contentType = exchange.header("content-type") ?? "";
  const type = contentType.split(";")[0]!.trim().toLowerCase();
  if (type === FORM_TYPE) return exchange.readText(bodyMaxBytes, "--query-body-max");
  if (type !== MULTIPART_TYPE) return "";
  const body = Buffer.concat(await exchange.readParts(bodyMaxBytes, "--query-body-max"));
  return multipartForm(body, contentType);
}

/** The fields of a multipart form, as `curl -F` sends them, URL-encoded. Files carry no parameters. */
async function multipartForm(body: Uint8Array, contentType: string): Promise<string> {
  const encoded = new URLSearchParams();
  try {
    const form = await new Response(body, { headers: { "Content-Type": contentType } }).formData();
    for (const [name, value] of form) if (typeof value === "string") encoded.append(name, value);
  } catch {
    throw new InvalidError("cannot read multipart form: got a malformed body; want parts as its boundary cuts them");
  }
  return encoded.toString();
}

function corsHeaders(exchange: Exchange): readonly string[] {
  return exchange.header("origin") === undefined ? ["Vary", "Origin"] : ["Vary", "Origin", ...CORS_HEADERS];
}
