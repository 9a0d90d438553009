// test/unit/runtime/log.test.ts: both forms of the log.
import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { createLog, defaultLogFormat, type LogFormat, type Logger } from "../../../libs/runtime/index.ts";

async function logged(format: LogFormat, write: (log: Logger) => void): Promise<string> {
  let text = "";
  const stream = new Writable({
    write: (line, _encoding, done) => {
      text += line;
      done();
    },
  });
  write(createLog({ format, level: "info", service: "all", stream }));
  await new Promise((resolve) => setTimeout(resolve, 20));
  return text;
}

test("json: one object per line with level, time, service and fields", async () => {
  const text = await logged("json", (log) => {
    log.info({ http: "127.0.0.1:1" }, "listening");
    log.debug("hidden");
    log.error({ err: new Error("boom") }, "failed");
  });
  const lines = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines[0]).toMatchObject({ level: "info", service: "all", http: "127.0.0.1:1", msg: "listening" });
  expect(new Date(lines[0].time).getTime()).toBeGreaterThan(0);
  expect(lines[1]).toMatchObject({ level: "error", err: { message: "boom" } });
  expect(lines.length).toBe(2);
});

test("human: one readable line", async () => {
  const text = await logged("human", (log) => log.info({ http: "127.0.0.1:1" }, "listening"));
  expect(text).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: listening \{"http":"127.0.0.1:1"\}\n$/);
});

test("people read terminals, programs read pipes", () => {
  expect([defaultLogFormat(true), defaultLogFormat(false)]).toEqual(["human", "json"]);
});
