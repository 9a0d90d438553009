// services/select/openapi-endpoint.ts: `openapi.yaml`: the API's paths, methods and path parameters, made from the routes themselves.
// Reference: OpenAPI 3.1. What parameters and answers mean is Prometheus' documentation.
import type { Route } from "../../libs/runtime/index.ts";

const PREFIX = "/api/v1";
const NO_CACHE = ["Cache-Control", "no-cache, no-store, must-revalidate"];

/** The route, for a document that tells of `routes`. */
export function openApiRoute(routes: readonly Route[], version: string): Route {
  const text = Buffer.from(openApiText(routes, version));
  return {
    methods: ["GET"],
    pattern: `${PREFIX}/openapi.yaml`,
    needsEngine: false,
    handle: (exchange) => exchange.send(200, "application/yaml; charset=utf-8", text, NO_CACHE),
  };
}

function openApiText(routes: readonly Route[], version: string): string {
  const lines = [
    "openapi: 3.1.0",
    "info:",
    "  title: Tidemark API",
    "  description: Prometheus' HTTP API.",
    `  version: ${JSON.stringify(version)}`,
    "servers:",
    `  - url: ${PREFIX}`,
    "paths:",
  ];
  const byPath = new Map<string, Set<string>>();
  for (const { pattern, methods } of routes) {
    if (!pattern.startsWith(`${PREFIX}/`)) continue;
    const path = pattern.slice(PREFIX.length);
    byPath.set(path, new Set([...(byPath.get(path) ?? []), ...methods.filter((method) => method !== "HEAD")]));
  }
  for (const path of [...byPath.keys()].sort()) {
    const names = [...path.matchAll(/:(\w+)/g)].map((match) => match[1]!);
    lines.push(`  ${JSON.stringify(path.replaceAll(/:(\w+)/g, "{$1}"))}:`);
    if (names.length > 0) lines.push("    parameters:", ...names.flatMap(parameterLines));
    for (const method of [...byPath.get(path)!].sort()) lines.push(...operationLines(path, method));
  }
  return `${lines.join("\n")}\n`;
}

function parameterLines(name: string): string[] {
  return [`      - name: ${name}`, "        in: path", "        required: true", "        schema: {type: string}"];
}

function operationLines(path: string, method: string): string[] {
  const id = `${method.toLowerCase()}${path.replaceAll(/[^a-z]+/gi, "-")}`;
  return [
    `    ${method.toLowerCase()}:`,
    `      operationId: ${id}`,
    "      responses:",
    "        '200': {description: success}",
    "        default: {description: error}",
  ];
}
