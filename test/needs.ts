// test/needs.ts: what a test may lack on an outsider's machine: a peer's binary or the shared test data.
// A test that lacks something is skipped by name and counted; with CI=true test/run.mjs turns a skip into a failure.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
export const SHARED = fileURLToPath(new URL("../../shared/", import.meta.url));

/** A path below the shared folder, or undefined when it isn't there. */
export function shared(path: string): string | undefined {
  const full = SHARED + path;
  return existsSync(full) ? full : undefined;
}

/** The binary that `variable` names, else `command` when it is on the PATH, else undefined. */
export function binary(command: string, variable?: string): string | undefined {
  const named = variable === undefined ? undefined : process.env[variable];
  if (named) return named;
  const found = spawnSync("sh", ["-c", `command -v ${command}`], { encoding: "utf8" });
  return found.status === 0 ? found.stdout.trim() : undefined;
}
