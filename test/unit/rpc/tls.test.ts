// test/unit/rpc/tls.test.ts: TLS between services: encrypted, mutual when there is a CA, and strangers refused.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UnavailableError } from "../../../libs/model/index.ts";
import { connectIngest, connectQuery, serveStorage, type TlsMaterial } from "../../../libs/rpc/index.ts";
import { contextOf } from "../../contract/harness.ts";
import { writeBatch } from "../../contract/ingest-batch.ts";
import { MemoryEngine } from "../../contract/memory-engine.ts";
import { binary } from "../../needs.ts";

const folder = mkdtempSync(join(tmpdir(), "tidemark-tls-"));

function openssl(...args: string[]): void {
  const run = spawnSync("openssl", args, { cwd: folder, encoding: "utf8" });
  if (run.status !== 0) throw new Error(`openssl ${args.join(" ")}: ${run.stderr}`);
}

/** A CA and a certificate for 127.0.0.1 that it signed. */
function makeMaterial(name: string): TlsMaterial {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", `${name}-ca.key`, "-out", `${name}-ca.pem`, "-subj", `/CN=${name} ca`);
  openssl("req", ...key, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
  writeFileSync(join(folder, "san"), "subjectAltName=IP:127.0.0.1");
  const signer = ["-CA", `${name}-ca.pem`, "-CAkey", `${name}-ca.key`, "-CAcreateserial", "-extfile", "san"];
  openssl("x509", "-req", "-in", `${name}.csr`, ...signer, "-out", `${name}.pem`, "-days", "2");
  const read = (file: string): Buffer => readFileSync(join(folder, file));
  return { cert: read(`${name}.pem`), key: read(`${name}.key`), ca: read(`${name}-ca.pem`) };
}

describe.skipIf(binary("openssl") === undefined)("TLS between services (needs openssl)", () => {
  let ours: TlsMaterial;
  let theirs: TlsMaterial;
  let server: Awaited<ReturnType<typeof serveStorage>>;
  beforeAll(async () => {
    ours = makeMaterial("ours");
    theirs = makeMaterial("theirs");
    server = await serveStorage({ engine: new MemoryEngine(), listen: "127.0.0.1:0", tls: ours, stopTimeoutMs: 500 });
  });
  afterAll(async () => {
    await server?.close();
    rmSync(folder, { recursive: true });
  });

  test("a peer of the same CA writes and asks", async () => {
    const session = await connectIngest(server.address, { tls: ours }).connect();
    expect((await session.append(writeBatch({ seq: 1 }))).status).toBe("stored");
    await session.close();
    const client = connectQuery(server.address, { tls: ours });
    expect(await client.labelNames([], { minMs: 0, maxMs: 1 }, 0, contextOf())).toEqual([]);
    client.close();
  });

  test.each<readonly [string, () => TlsMaterial | undefined]>([
    ["a certificate of another CA", () => ({ ...theirs, ca: ours.ca! })],
    ["a server of another CA", () => ({ ...ours, ca: theirs.ca! })],
    ["no TLS at all", () => undefined],
  ])("%s is refused", async (_, tls) => {
    const material = tls();
    const target = connectIngest(server.address, { connectTimeoutMs: 1_000, ...(material && { tls: material }) });
    await expect(target.connect()).rejects.toThrow(UnavailableError);
  });
});
