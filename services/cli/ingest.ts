// services/cli/ingest.ts: the ingest handler of this process from the flags, and how long to wait for its storages.
import { cryptoRandom, nodeClock } from "../../libs/env/index.ts";
import type { IngestTarget } from "../../libs/model/index.ts";
import type { FlagValues, Logger } from "../../libs/runtime/index.ts";
import { IngestHandler, type InsertLimits } from "../insert/index.ts";
import type { insertFlags } from "./flags.ts";

export type InsertValues = FlagValues<typeof insertFlags>;

/** The flags as the handler's limits. */
function insertLimits(values: InsertValues): InsertLimits {
  return {
    writeBodyMaxBytes: values.writeBodyMax,
    writeDecodedMaxBytes: values.writeDecodedMax,
    writeSeriesMax: values.writeSeriesMax,
    writeSideMax: values.writeSideMax,
    labelsMax: values.labelsMax,
    labelNameMaxBytes: values.labelNameMax,
    labelValueMaxBytes: values.labelValueMax,
    seriesKeyMaxBytes: values.seriesKeyMax,
    ownerQueueMaxBytes: values.ownerQueueMax,
    dictionaryMaxBytes: values.dictionaryMax,
    seriesCacheMax: values.seriesCacheMax,
    metadataCacheMaxBytes: values.metadataCacheMax,
  };
}

/**
 * Creates the handler; it begins to connect at once. Losing a storage is not worth a line while the process stops.
 * Errors: InvalidError for an impossible list of storages.
 */
export function createHandler(
  targets: readonly IngestTarget[],
  values: InsertValues,
  log: Logger,
  isStopping: () => boolean,
): IngestHandler {
  return new IngestHandler({
    targets,
    random: cryptoRandom,
    clock: nodeClock,
    limits: insertLimits(values),
    onOwnerState: (storage, state, reason) => {
      if (state === "connected") log.info({ storage }, "storage is connected");
      else if (!isStopping()) log.warn({ storage, reason }, "storage is away");
    },
  });
}

const READY_POLL_MS = 20;

/** Resolves to true once every storage is connected, or to false when `signal` aborts first. */
export async function untilConnected(handler: IngestHandler, signal: AbortSignal): Promise<boolean> {
  while (!handler.isReady) {
    if (signal.aborted) return false;
    await nodeClock.sleep(READY_POLL_MS);
  }
  return true;
}
