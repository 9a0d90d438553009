// libs/runtime/log.ts: the log of a process: one human line per event on a terminal, else one JSON object per line.
// Both forms go to one stream in the order of the events; nothing is buffered, so that a crash loses no line.
import type { Writable } from "node:stream";
import { type Logger, pino } from "pino";
import pretty from "pino-pretty";

export type { Logger } from "pino";
export type LogFormat = "human" | "json";
export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LogOptions {
  readonly format: LogFormat;
  readonly level: LogLevel;
  /** Named in every line of the JSON form: all, insert, storage or select. */
  readonly service: string;
  /** Where lines go; standard output when absent. */
  readonly stream?: Writable;
  /** Colours in the human form. */
  readonly colour?: boolean;
}

/** Creates the logger of a process. */
export function createLog(options: LogOptions): Logger {
  const base = { service: options.service, pid: process.pid };
  if (options.format === "json") {
    const settings = { level: options.level, base, timestamp: pino.stdTimeFunctions.isoTime };
    return pino(
      { ...settings, formatters: { level: (label) => ({ level: label }) } },
      options.stream ?? pino.destination({ fd: 1, sync: true }),
    );
  }
  const human = pretty({
    colorize: options.colour ?? false,
    translateTime: "SYS:HH:MM:ss.l",
    ignore: "pid,hostname,service",
    singleLine: true,
    sync: true,
    destination: options.stream ?? 1,
  });
  return pino({ level: options.level, base }, human);
}

/** The form for a stream: people read terminals, programs read pipes. */
export function defaultLogFormat(isTerminal: boolean): LogFormat {
  return isTerminal ? "human" : "json";
}
