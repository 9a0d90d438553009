// test/unit/select/forms.test.ts: parameters in the bodies of POST requests, URL-encoded or in parts, beside those of the URL.
import { afterAll, beforeAll, expect, test } from "vitest";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { openSelect, type SelectServer } from "./select-server.ts";

let select: SelectServer;
beforeAll(async () => {
  const storage = new MemoryQueryable();
  select = await openSelect({ queryable: () => storage, bodyMaxBytes: 4096 });
});
afterAll(() => select.close());

const FORM = { "Content-Type": "application/x-www-form-urlencoded" };
const PARTS = { "Content-Type": "multipart/form-data; boundary=b" };
const part = (name: string, value: string) =>
  `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;

test.each<[string, string, Record<string, string>, number, unknown]>([
  ["query", "query=1%2B1&time=4", FORM, 200, [4, "2"]],
  ["query?query=2&time=5", "query=1%2B1&time=4", FORM, 200, [4, "2"]],
  ["query?query=3&time=5", "time=4", FORM, 200, [4, "3"]],
  ["query?query=3&time=5", "query=1", { "Content-Type": "text/plain" }, 200, [5, "3"]],
  ["query?query=3&time=5", "", {}, 200, [5, "3"]],
  ["query", "query=1&time=0", { "Content-Type": "Application/X-WWW-Form-Urlencoded; charset=utf-8" }, 200, [0, "1"]],
  ["query?time=5", `${part("query", "1+1")}${part("time", "4")}${part("query", "7")}--b--\r\n`, PARTS, 200, [4, "2"]],
  ["query", `${part("query", "1")}--c--`, PARTS, 400, undefined],
  ["query", "query=1", { "Content-Type": "multipart/form-data" }, 400, undefined],
  ["query", part("pad", "x".repeat(5000)), PARTS, 413, undefined],
  ["query", "", FORM, 400, undefined],
  ["query", `query=1&time=0&pad=${"x".repeat(5000)}`, FORM, 413, undefined],
  ["labels", "match%5B%5D=up", FORM, 200, undefined],
  ["series", "match%5B%5D=up&start=1700000000&end=1700000300", FORM, 200, undefined],
])("POST %s with %s", async (path, body, headers, status, result) => {
  const answer = await select.ask(`/api/v1/${path}`, { method: "POST", headers, body });
  expect(answer.status).toBe(status);
  if (result !== undefined) expect(JSON.parse(answer.body.toString()).data.result).toEqual(result);
});
