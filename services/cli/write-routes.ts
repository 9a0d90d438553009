// services/cli/write-routes.ts: the write API over HTTP: bodies in, the ingest handler's replies out.
// Once per write request. Nothing is copied and nothing is parsed here.
import { type Exchange, type Route, requestTenant } from "../../libs/runtime/index.ts";
import type { IngestHandler } from "../insert/index.ts";

/** `/api/v1/write`, and the same below /insert/<tenant>/prometheus. `handler` is asked for once the process is ready. */
export function writeRoutes(handler: () => IngestHandler, bodyMaxBytes: number): Route[] {
  const write = async (exchange: Exchange): Promise<void> => {
    const tenant = requestTenant(exchange);
    const body = await exchange.readParts(bodyMaxBytes, "--write-body-max");
    const contentType = exchange.header("content-type");
    const contentEncoding = exchange.header("content-encoding");
    const { status, headers, text } = await handler().write({ tenant, contentType, contentEncoding, body });
    if (text === "") exchange.empty(status, headers);
    else exchange.text(status, text, headers);
  };
  return ["/api/v1/write", "/insert/:tenant/prometheus/api/v1/write"].map((pattern): Route => {
    return { methods: ["POST"], pattern, needsEngine: true, handle: write };
  });
}
