// services/cli/banner.ts: what an operator reads when everything runs: where to point Prometheus, Grafana and a browser.
import { formatHostPort, type HostPort, isLoopback } from "../../libs/runtime/index.ts";

/** The URL under which this machine reaches an address; a wildcard is reached by loopback. */
export function localUrl({ host, port }: HostPort): string {
  const isWildcard = host === "" || host === "0.0.0.0" || host === "::";
  return `http://${formatHostPort({ host: isWildcard ? "127.0.0.1" : host, port })}`;
}

/** The next steps for a service; several lines. */
export function renderBanner(service: string, version: string, http: HostPort): string {
  const url = localUrl(http);
  const lines = ["", `Tidemark ${version} (${service}) is ready.`, ""];
  if (service === "all" || service === "insert") {
    lines.push("  Prometheus   remote_write:", `                 - url: ${url}/api/v1/write`);
  }
  if (service === "all" || service === "select") {
    const docker = `http://host.docker.internal:${http.port}`;
    const reach = isLoopback(http.host) ? `, started with --http-listen 0.0.0.0:${http.port}` : "";
    lines.push(
      `  Grafana      data source of type Prometheus, URL ${url}`,
      `               from Docker ${docker}${reach}`,
      `  Browser      ${url}/`,
      `  An answer    curl '${url}/api/v1/query?query=up'`,
    );
  }
  if (service !== "all" && service !== "select") lines.push(`  Own metrics  ${url}/metrics`);
  lines.push("", "Ctrl-C stops it.", "");
  return lines.join("\n");
}
