// test/unit/runtime/http.test.ts: the server against raw bytes: hostile requests, limits, graceful close.
import { connect, type Socket } from "node:net";
import { Writable } from "node:stream";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import {
  CorruptionError,
  InternalError,
  InvalidError,
  LimitError,
  UnavailableError,
} from "../../../libs/model/index.ts";
import {
  createLog,
  HttpError,
  type HttpServer,
  type HttpServerOptions,
  httpReadings,
  Lifecycle,
  listenHttp,
  Metrics,
  operationalRoutes,
  type Route,
} from "../../../libs/runtime/index.ts";

const LIMIT = 100_000;
const silent = createLog({
  format: "json",
  level: "error",
  service: "test",
  stream: new Writable({ write: (_chunk, _encoding, done) => done() }),
});

const ERRORS: Readonly<Record<string, Error>> = {
  invalid: new InvalidError("cannot x: got a; want b"),
  limit: new LimitError("--x", "too much"),
  concurrency: new LimitError("--x", "too many", true),
  unavailable: new UnavailableError("away", 7),
  internal: new InternalError("invariant broken: x"),
  corruption: new CorruptionError("bad page", "/secret/path", 5),
  teapot: new HttpError(418, "no coffee"),
  unknown: new TypeError("x is undefined at /secret/path"),
};

function testRoutes(): Route[] {
  const get = ["GET"] as const;
  return [
    {
      methods: ["POST"],
      pattern: "/echo",
      needsEngine: false,
      handle: async (x) => {
        const body = Buffer.concat(await x.readParts(LIMIT, "--test-max"));
        x.text(200, `${body.length}:${body.subarray(0, 20).toString()}`);
      },
    },
    { methods: get, pattern: "/plain", needsEngine: false, handle: (x) => x.text(200, "plain") },
    { methods: get, pattern: "/seg/:one/end", needsEngine: false, handle: (x) => x.text(200, x.params.one!) },
    {
      methods: get,
      pattern: "/fail/:kind",
      needsEngine: false,
      handle: (x) => Promise.reject(ERRORS[x.params.kind!]),
    },
    {
      methods: get,
      pattern: "/slow",
      needsEngine: false,
      handle: async (x) => {
        await new Promise((resolve) => setTimeout(resolve, 150));
        x.text(200, "slow");
      },
    },
    { methods: get, pattern: "/half", needsEngine: false, handle: (x) => x.stream(200, "text/plain", breaking()) },
    {
      methods: get,
      pattern: "/stream",
      needsEngine: false,
      handle: (x) => x.stream(200, "text/plain", chunks(200)),
    },
    { methods: get, pattern: "/empty", needsEngine: false, handle: (x) => x.stream(200, "text/plain", []) },
  ];
}

function* breaking(): Generator<Uint8Array> {
  yield Buffer.alloc(1000, "a");
  yield Buffer.alloc(1000, "b");
  throw new InternalError("cannot go on");
}

function* chunks(count: number): Generator<Uint8Array> {
  for (let i = 0; i < count; i++) yield Buffer.alloc(65_536, 97 + (i % 26));
}

const lifecycle = new Lifecycle();
const metrics = new Metrics();
let server: HttpServer;

beforeAll(async () => {
  server = await start(lifecycle);
  metrics.addSource(() => httpReadings(server.stats));
  lifecycle.becomeReady();
});

afterAll(() => server.close(100));

function start(state: Lifecycle, more: Partial<HttpServerOptions> = {}): Promise<HttpServer> {
  const routes = [...testRoutes(), ...operationalRoutes(state, metrics)];
  const listen = { host: "127.0.0.1", port: 0 };
  return listenHttp({ listen, routes, lifecycle: state, log: silent, version: "1.2.3", connectionsMax: 50, ...more });
}

/** Sends bytes and gathers what comes until the server closes, or goes quiet for a moment. */
function raw(bytes: string | Buffer, to = server, quietMs = 80): Promise<string> {
  return new Promise((resolve) => {
    const socket: Socket = connect(to.address.port, "127.0.0.1");
    let got = "";
    let quiet: NodeJS.Timeout | undefined;
    const end = (): void => {
      socket.destroy();
      resolve(got);
    };
    socket.on("data", (chunk) => {
      got += chunk.toString("latin1");
      clearTimeout(quiet);
      quiet = setTimeout(end, quietMs);
    });
    socket.on("close", end);
    socket.on("error", end);
    socket.write(bytes);
    setTimeout(end, 3000).unref();
  });
}

const HOST = "Host: x\r\n";
const post = (headers: string, body = ""): string => `POST /echo HTTP/1.1\r\n${HOST}${headers}\r\n${body}`;
const get = (target: string): string => `GET ${target} HTTP/1.1\r\n${HOST}\r\n`;

// What it is, the bytes, how the answer begins, what it contains.
const RAW: readonly (readonly [string, string, string, string])[] = [
  ["plain", get("/plain"), "HTTP/1.1 200", "plain\n"],
  ["server header", get("/plain"), "HTTP/1.1 200", "Server: Tidemark/1.2.3"],
  ["no sniffing", get("/plain"), "HTTP/1.1 200", "X-Content-Type-Options: nosniff"],
  ["body", post("Content-Length: 5\r\n", "hello"), "HTTP/1.1 200", "5:hello"],
  ["no body", post("Content-Length: 0\r\n"), "HTTP/1.1 200", "0:"],
  ["missing length", post(""), "HTTP/1.1 200", "0:"],
  ["chunked", post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "HTTP/1.1 200", "5:abcde"],
  [
    "chunked with trailers",
    post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"),
    "HTTP/1.1 200",
    "3:abc",
  ],
  ["chunk size that is none", post("Transfer-Encoding: chunked\r\n", "zz\r\nabc\r\n"), "HTTP/1.1 400", ""],
  ["length that is none", post("Content-Length: abc\r\n", "hello"), "HTTP/1.1 400", ""],
  ["negative length", post("Content-Length: -5\r\n", "hello"), "HTTP/1.1 400", ""],
  ["length beyond 64 bits", post("Content-Length: 99999999999999999999999\r\n"), "HTTP/1.1 400", ""],
  ["two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), "HTTP/1.1 400", ""],
  ["length and chunked", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "HTTP/1.1 400", ""],
  [
    "declared too large",
    post("Content-Length: 100001\r\n"),
    "HTTP/1.1 413",
    "got 100001 bytes; want at most 100000 (--test-max)",
  ],
  ["absurdly large", post("Content-Length: 9007199254740991\r\n"), "HTTP/1.1 413", "--test-max"],
  ["header of 1 MB", `GET /plain HTTP/1.1\r\n${HOST}X-Big: ${"x".repeat(1 << 20)}\r\n\r\n`, "HTTP/1.1 431", ""],
  ["path of 200 KB", get(`/plain?x=${"x".repeat(200_000)}`), "HTTP/1.1 200", "plain"],
  ["absolute form", get("http://other:9/plain"), "HTTP/1.1 200", "plain"],
  ["absolute form without path", get("http://other:9"), "HTTP/1.1 404", ""],
  ["absolute form, odd scheme", get("ftp://other/plain"), "HTTP/1.1 200", "plain"],
  ["no path", get("plain"), "HTTP/1.1 400", ""],
  ["double slashes", get("//plain"), "HTTP/1.1 200", "plain"],
  ["inner double slashes", get("//seg///x//end/"), "HTTP/1.1 200", "x\n"],
  ["dot segments", get("/seg/../plain"), "HTTP/1.1 400", "dot segment"],
  ["encoded dot segments", get("/seg/%2e%2e/end"), "HTTP/1.1 400", "dot segment"],
  ["half encoded dot segments", get("/seg/.%2E/end"), "HTTP/1.1 400", "dot segment"],
  ["three dots are a name", get("/seg/.../end"), "HTTP/1.1 200", "...\n"],
  ["encoded slash", get("/seg/a%2fb/end"), "HTTP/1.1 200", "a/b"],
  ["malformed escape", get("/seg/%zz/end"), "HTTP/1.1 400", "malformed escape"],
  ["escape that is not UTF-8", get("/seg/%ff/end"), "HTTP/1.1 400", "malformed escape"],
  [
    "method override is ignored",
    `GET /plain HTTP/1.1\r\n${HOST}X-HTTP-Method-Override: DELETE\r\n\r\n`,
    "HTTP/1.1 200",
    "plain",
  ],
  ["unknown method", `BREW /plain HTTP/1.1\r\n${HOST}\r\n`, "HTTP/1.1 400", ""],
  ["OPTIONS *", `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, "HTTP/1.1 204", "Allow: OPTIONS"],
  ["OPTIONS of an unknown path", `OPTIONS /nothing HTTP/1.1\r\n${HOST}\r\n`, "HTTP/1.1 404", "404 page not found\n"],
  ["letters that need no escape", get("/%70lain"), "HTTP/1.1 200", "plain"],
  ["letters that need no escape, beside names", get("/%73eg/x/en%64"), "HTTP/1.1 200", "x\n"],
  ["wrong method", `DELETE /plain HTTP/1.1\r\n${HOST}\r\n`, "HTTP/1.1 405", "Allow: GET, OPTIONS"],
  ["missing host", "GET /plain HTTP/1.1\r\n\r\n", "HTTP/1.1 400", ""],
  ["HTTP/1.0", "GET /plain HTTP/1.0\r\n\r\n", "HTTP/1.1 200", "plain"],
  ["not HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01", "HTTP/1.1 400", ""],
  ["GET with a body", `GET /plain HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\nabc`, "HTTP/1.1 200", "plain"],
  ["unknown path", get("/nothing"), "HTTP/1.1 404", "404 page not found\n"],
  ["prototype's names", get("/__proto__"), "HTTP/1.1 404", ""],
  ["invalid", get("/fail/invalid"), "HTTP/1.1 400", "cannot x: got a; want b\n"],
  ["limit", get("/fail/limit"), "HTTP/1.1 422", "too much"],
  ["concurrency", get("/fail/concurrency"), "HTTP/1.1 429", "Retry-After: 1"],
  ["unavailable", get("/fail/unavailable"), "HTTP/1.1 503", "Retry-After: 7"],
  ["internal", get("/fail/internal"), "HTTP/1.1 500", "invariant broken: x"],
  ["corruption", get("/fail/corruption"), "HTTP/1.1 500", "got damaged bytes"],
  ["status of its own", get("/fail/teapot"), "HTTP/1.1 418", "no coffee"],
  ["unexpected", get("/fail/unknown"), "HTTP/1.1 500", "got an internal error"],
  ["healthy", get("/-/healthy"), "HTTP/1.1 200", "Tidemark is healthy.\n"],
  ["ready", get("/-/ready"), "HTTP/1.1 200", "Tidemark is ready.\n"],
  ["HEAD", `HEAD /-/ready HTTP/1.1\r\n${HOST}\r\n`, "HTTP/1.1 200", "Content-Length: 19"],
  ["empty stream", get("/empty"), "HTTP/1.1 200", "Content-Length: 0"],
];

test.each(RAW)("%s", async (_, bytes, head, part) => {
  const answer = await raw(bytes);
  expect(answer.slice(0, head.length)).toBe(head);
  expect(answer).toContain(part);
  expect(answer).not.toContain("/secret/path");
});

test("two requests in one write get two answers in order", async () => {
  const answer = await raw(get("/slow") + get("/plain"), server, 400);
  expect(answer.indexOf("slow\n")).toBeGreaterThan(0);
  expect(answer.indexOf("plain\n")).toBeGreaterThan(answer.indexOf("slow\n"));
});

test("a refused body is read away, and the connection serves the next request", async () => {
  const chunked = post("Transfer-Encoding: chunked\r\n", `${"1000\r\n".padEnd(6) + "x".repeat(0x1000)}\r\n`.repeat(30));
  const answer = await raw(`${chunked}0\r\n\r\n${get("/plain")}`);
  expect(answer).toContain("HTTP/1.1 413");
  expect(answer).toContain("more than 100000");
  expect(answer).toContain("plain\n");
});

test.each([
  ["declared", "Content-Length: 99999999999\r\n", (piece: Buffer) => piece],
  [
    "in chunks",
    "Transfer-Encoding: chunked\r\n",
    (piece: Buffer) => Buffer.concat([Buffer.from("10000\r\n"), piece, Buffer.from("\r\n")]),
  ],
])("a refused body that does not end is cut off, %s; the client sees the answer", async (_, header, framed) => {
  const socket = connect(server.address.port, "127.0.0.1");
  let answer = "";
  socket.on("data", (data) => {
    answer += data.toString();
  });
  let sent = 0;
  const isClosed = new Promise<void>((resolve) => {
    socket.on("close", () => resolve());
    socket.on("error", () => undefined);
  });
  socket.write(post(header));
  const piece = framed(Buffer.alloc(0x10000, 120));
  const more = (): void => {
    while (!socket.destroyed && sent < 1 << 28) {
      sent += piece.length;
      if (!socket.write(piece)) return;
    }
  };
  socket.on("drain", more);
  more();
  await isClosed;
  expect(answer).toContain("HTTP/1.1 413");
  // What the systems on both sides take in beside the limit, and no more.
  expect(sent).toBeLessThan(1 << 26);
});

test("bodies that are being received are bounded together: the longest has to go, but one always stays", async () => {
  const crowded = await start(lifecycle, { bodiesMax: 50_000 });
  const { bodies } = crowded.stats;
  const echo = (length: number): string => post(`Content-Length: ${length}\r\n`, "a".repeat(length));
  const slow = connect(crowded.address.port, "127.0.0.1");
  let answer = "";
  slow.on("data", (data) => {
    answer += data.toString();
  });
  slow.write(echo(90_000).slice(0, -50_000));
  await vi.waitFor(() => expect(bodies.bytes).toBe(40_000));
  expect(await raw(echo(5000), crowded)).toContain("5000:aaa");
  expect([answer, bodies.refused]).toEqual(["", 0]);
  expect(await raw(echo(20_000), crowded)).toContain("20000:aaa");
  await vi.waitFor(() => expect(answer).toContain("--http-bodies-max"));
  expect(answer).toContain("HTTP/1.1 503");
  expect(answer).toContain("Retry-After: 1");
  expect([bodies.bytes, bodies.refused]).toEqual([0, 1]);
  // The rest is read away, and the connection goes on; alone, a body may be longer.
  slow.write(`${"a".repeat(50_000)}${echo(90_000)}`);
  await vi.waitFor(() => expect(answer).toContain("90000:aaa"));
  slow.write(echo(90_000).slice(0, -50_000));
  await vi.waitFor(() => expect(bodies.bytes).toBe(40_000));
  slow.destroy();
  await vi.waitFor(() => expect(bodies.bytes).toBe(0));
  await crowded.close(100);
});

test("a body in many pieces is whole", async () => {
  const body = Buffer.from(Array.from({ length: 90_000 }, (_, i) => 97 + (i % 26)));
  for (const headers of [{ "Content-Length": `${body.length}` }, undefined]) {
    const stream = new ReadableStream({
      start(controller) {
        for (let i = 0; i < body.length; i += 7001) controller.enqueue(body.subarray(i, i + 7001));
        controller.close();
      },
    });
    const init = { method: "POST", body: stream, duplex: "half", ...(headers === undefined ? {} : { headers }) };
    const answer = await fetch(`http://127.0.0.1:${server.address.port}/echo`, init as RequestInit);
    expect(await answer.text()).toBe(`90000:${body.subarray(0, 20).toString()}\n`);
  }
});

test("an answer that breaks off does not look whole", async () => {
  const answer = await raw(get("/half"));
  expect(answer).toContain("HTTP/1.1 200");
  expect(answer).not.toContain("\r\n0\r\n\r\n");
  await expect(fetch(`http://127.0.0.1:${server.address.port}/half`).then((r) => r.text())).rejects.toThrow();
});

test("a long answer arrives whole, also compressed, and stops when the reader leaves", async () => {
  const url = `http://127.0.0.1:${server.address.port}/stream`;
  const wanted = 200 * 65_536;
  expect((await (await fetch(url, { headers: { "Accept-Encoding": "identity" } })).arrayBuffer()).byteLength).toBe(
    wanted,
  );
  const zipped = await fetch(url, { headers: { "Accept-Encoding": "gzip" } });
  expect(zipped.headers.get("content-encoding")).toBe("gzip");
  expect((await zipped.arrayBuffer()).byteLength).toBe(wanted);
  const before = server.stats.inFlight;
  const controller = new AbortController();
  await fetch(url, { signal: controller.signal });
  controller.abort();
  await expect.poll(() => server.stats.inFlight).toBe(before);
});

test("requests are counted by route and status", async () => {
  await raw(get("/fail/teapot"));
  const text = await (await fetch(`http://127.0.0.1:${server.address.port}/metrics`)).text();
  expect(text).toMatch(/tidemark_http_requests_total\{route="\/fail\/:kind",code="418"\} [1-9]/);
  expect(text).toMatch(/tidemark_http_request_duration_seconds_bucket\{route="\/echo",le="\+Inf"\} [1-9]/);
  expect(text).toMatch(/tidemark_http_requests_total\{route="none",code="404"\} [1-9]/);
});

test("closing: unready first, running requests finish, idle connections end, new ones are refused", async () => {
  const state = new Lifecycle();
  const closing = await start(state);
  expect(await raw(get("/-/ready"), closing)).toContain("HTTP/1.1 503");
  state.becomeReady();
  const idle = connect(closing.address.port, "127.0.0.1");
  idle.write(get("/plain"));
  await new Promise((resolve) => idle.once("data", resolve));
  const idleClosed = new Promise((resolve) => idle.once("close", resolve));
  const slow = raw(get("/slow"), closing, 1000);
  await new Promise((resolve) => setTimeout(resolve, 50));
  state.beginStopping();
  expect(await raw(get("/-/ready"), closing)).toContain("X-Prometheus-Stopping: true");
  const { port } = closing.address;
  const closed = closing.close(5000);
  await idleClosed;
  expect(await slow).toMatch(/HTTP\/1.1 200.*Connection: close.*slow\n$/s);
  await closed;
  await expect(fetch(`http://127.0.0.1:${port}/plain`)).rejects.toThrow();
});

test("what does not finish in the time given is cut off", async () => {
  const state = new Lifecycle();
  const closing = await start(state);
  const stuck = raw(post("Content-Length: 10\r\n", "abc"), closing, 5000);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const begun = performance.now();
  await closing.close(100);
  expect(performance.now() - begun).toBeLessThan(1000);
  expect(await stuck).toBe("");
});

test("an address in use is refused with the flag's name", async () => {
  const options = { lifecycle, log: silent, version: "1", connectionsMax: 10, routes: [] };
  await expect(listenHttp({ ...options, listen: server.address })).rejects.toThrow(
    /cannot listen on 127.0.0.1:\d+: got EADDRINUSE; want a free address \(--http-listen\)/,
  );
});
