// test/unit/cli/banner.test.ts: where the banner points, for each service and kind of address.
import { expect, test } from "vitest";
import { localUrl, renderBanner } from "../../../services/cli/banner.ts";

test.each([
  ["127.0.0.1", "http://127.0.0.1:8428"],
  ["0.0.0.0", "http://127.0.0.1:8428"],
  ["", "http://127.0.0.1:8428"],
  ["::", "http://127.0.0.1:8428"],
  ["::1", "http://[::1]:8428"],
  ["tidemark.local", "http://tidemark.local:8428"],
])("host %j is reached at %s", (host, url) => {
  expect(localUrl({ host, port: 8428 })).toBe(url);
});

test("all tells Prometheus, Grafana, Docker and a browser", () => {
  const text = renderBanner("all", "1.2.3", { host: "127.0.0.1", port: 8428 });
  for (const part of [
    "Tidemark 1.2.3 (all) is ready.",
    "remote_write:\n                 - url: http://127.0.0.1:8428/api/v1/write",
    "URL http://127.0.0.1:8428\n",
    "http://host.docker.internal:8428, started with --http-listen 0.0.0.0:8428",
    "Browser      http://127.0.0.1:8428/",
  ]) {
    expect(text).toContain(part);
  }
});

test("an address that others reach needs no hint, and each service tells its own part", () => {
  expect(renderBanner("all", "1", { host: "0.0.0.0", port: 8428 })).not.toContain("started with");
  const insert = renderBanner("insert", "1", { host: "127.0.0.1", port: 8480 });
  expect([insert.includes("remote_write"), insert.includes("Grafana")]).toEqual([true, false]);
  const select = renderBanner("select", "1", { host: "127.0.0.1", port: 8481 });
  expect([select.includes("remote_write"), select.includes("Grafana")]).toEqual([false, true]);
  expect(renderBanner("storage", "1", { host: "127.0.0.1", port: 8482 })).toContain("http://127.0.0.1:8482/metrics");
});
