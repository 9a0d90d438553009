// test/e2e/real-prometheus.ts: a real Prometheus of the version whose API we equal, on a free loopback port, without data.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findPrometheus } from "../promql/peer.ts";
import { freePort, type Running, start, stop, untilOk } from "./processes.ts";

/** Everything of the language that is kept behind a flag. */
export const LANGUAGE_FEATURES = [
  "promql-experimental-functions",
  "promql-duration-expr",
  "promql-extended-range-selectors",
  "promql-binop-fill-modifiers",
];

/** PROM_BIN, else the one on the PATH; undefined when there is none, or an older one. */
export function findEqualPrometheus(): string | undefined {
  const found = findPrometheus();
  return found?.modern === true ? found.command : undefined;
}

export interface RealPrometheus {
  readonly url: string;
  stop(): Promise<void>;
}

/** Settles once it is ready. Remote write is on; it scrapes nothing. */
export async function startPrometheus(command: string, args: readonly string[] = []): Promise<RealPrometheus> {
  const dir = mkdtempSync(join(tmpdir(), "tidemark-prometheus-"));
  writeFileSync(join(dir, "prometheus.yml"), "global:\n  scrape_interval: 1m\n");
  const address = `127.0.0.1:${await freePort()}`;
  const running: Running = start("prometheus", command, [
    `--config.file=${join(dir, "prometheus.yml")}`,
    `--storage.tsdb.path=${join(dir, "data")}`,
    `--web.listen-address=${address}`,
    "--web.enable-remote-write-receiver",
    ...args,
  ]);
  const url = `http://${address}`;
  const end = async (): Promise<void> => {
    await stop(running);
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await untilOk(`${url}/-/ready`, 60_000, [running]);
  } catch (error) {
    await end();
    throw error;
  }
  return { url, stop: end };
}
