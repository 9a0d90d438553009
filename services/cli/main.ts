// services/cli/main.ts: the `tidemark` command: flags → service → signals → exit status.
// Exit status: 0 after a clean stop, 1 when something failed, 2 when the command line was refused.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../libs/env/index.ts";
import { AppError } from "../../libs/model/index.ts";
import {
  type CommandSpec,
  command,
  createLog,
  defaultLogFormat,
  exitOnSignals,
  type FlagTable,
  type FlagValues,
  type LogFormat,
  type Logger,
  type LogLevel,
  runCommandLine,
} from "../../libs/runtime/index.ts";
import { ALL_FLAGS, checkAll, startAll } from "./all.ts";
import { renderBanner } from "./banner.ts";
import { directoryCommands } from "./directory-commands.ts";
import { checkInsert, INSERT_FLAGS, startInsert } from "./insert.ts";
import { SELECT_FLAGS, startSelect } from "./select.ts";
import type { RunningService } from "./shell.ts";
import { checkStorage, STORAGE_FLAGS, startStorage } from "./storage.ts";

/** The version in package.json. */
export function packageVersion(): string {
  return JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")).version;
}

type Start<F extends FlagTable> = (values: FlagValues<F>, version: string, log: Logger) => Promise<RunningService>;

/** All subcommands. */
export function commands(version: string): CommandSpec[] {
  const service = <F extends FlagTable>(
    name: string,
    summary: string,
    flags: F,
    check: (values: FlagValues<F>) => void,
    start: Start<F>,
  ): CommandSpec => command(name, summary, flags, check, (values) => runService(name, values, start, version));
  return [
    service("all", "Run insert, storage and select in one process.", ALL_FLAGS, checkAll, startAll),
    service("insert", "Take remote writes and send them to storages.", INSERT_FLAGS, checkInsert, startInsert),
    service("storage", "Store samples and evaluate leaves of queries.", STORAGE_FLAGS, checkStorage, startStorage),
    service("select", "Answer PromQL queries from storages.", SELECT_FLAGS, () => {}, startSelect),
    ...directoryCommands(),
  ];
}

async function runService<F extends FlagTable>(
  name: string,
  values: FlagValues<F>,
  start: Start<F>,
  version: string,
): Promise<void> {
  const { logFormat, logLevel } = values as { logFormat: LogFormat | "auto"; logLevel: LogLevel };
  const isTerminal = process.stdout.isTTY === true;
  const format = logFormat === "auto" ? defaultLogFormat(isTerminal) : logFormat;
  const log = createLog({ format, level: logLevel, service: name, colour: isTerminal });
  if (!process.execArgv.some((flag) => flag.startsWith("--initial-heap-size"))) {
    log.warn(
      "node was started without the flags in the first line of bin/tidemark: writes take half as much CPU time again",
    );
  }
  let running: RunningService | undefined;
  exitOnSignals(async () => (await running?.close()) ?? true, log);
  const service = await start(values, version, log);
  running = service;
  void service.failed.then(async (err) => {
    log.fatal({ err }, "cannot go on: stopping");
    await service.close();
    process.exit(1);
  });
  await service.ready;
  if (format === "human") process.stdout.write(`${renderBanner(name, version, service.http)}\n`);
}

/** Runs a command line to the point where its service runs or its text is printed. */
export async function main(args: readonly string[]): Promise<void> {
  const version = packageVersion();
  try {
    await runCommandLine(
      {
        program: "tidemark",
        summary: "A horizontally sharded, durable time-series database for Prometheus metrics.",
        version,
        commands: commands(version),
        env: process.env,
        print: (text) => process.stdout.write(text),
      },
      args,
    );
  } catch (error) {
    const isOurs = error instanceof AppError;
    process.stderr.write(
      `tidemark: ${isOurs ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
    );
    process.exit(isOurs && error.reaction === "invalid" ? 2 : 1);
  }
}
