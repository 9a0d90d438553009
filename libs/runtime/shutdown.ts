// libs/runtime/shutdown.ts: what SIGTERM and SIGINT do: stop once, in order, and exit 0; a second signal exits at once.
import type { Logger } from "./log.ts";

/** Something to stop, named for the log. */
export interface Stop {
  readonly name: string;
  readonly stop: () => Promise<void>;
}

/**
 * Runs the stops one after another. A stop that fails does not keep the others from running.
 * Returns whether all succeeded.
 */
export async function stopInOrder(stops: readonly Stop[], log: Logger): Promise<boolean> {
  let clean = true;
  for (const { name, stop } of stops) {
    try {
      await stop();
    } catch (err) {
      clean = false;
      log.error({ err }, `cannot stop ${name}`);
    }
  }
  return clean;
}

/**
 * Installs the signal handlers of a process. `stop` answers whether it went cleanly; the exit status is 0 or 1 by that.
 */
export function exitOnSignals(stop: () => Promise<boolean>, log: Logger): void {
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) {
      log.warn(`${signal} again: exiting at once`);
      process.exit(1);
    }
    stopping = true;
    log.info(`${signal}: finishing requests, then stopping`);
    stop().then(
      (clean) => process.exit(clean ? 0 : 1),
      (err: unknown) => {
        log.error({ err }, "cannot stop");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}
