// test/unit/tsdb/batch-fuzz.test.ts: batches that are damaged in any way: refused as invalid, and then nothing has changed; or taken, and
// then all of it survives a restart. FUZZ_RUNS sets the number of batches; the seed is fixed.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimFileSystem } from "../../../libs/env/index.ts";
import { type IngestSession, InvalidError, UnavailableError } from "../../../libs/model/index.ts";
import { batchOf, contents, NOW, openDb, type Row, reopened, write } from "./db-fixture.ts";

const series = (i: number | string) => ({ __name__: "m", i: `${i}`, job: "j", instance: "h" });
const RUNS = Number(process.env.FUZZ_RUNS ?? 15_000);
const STALE = 0x7ff0000000000002n;

describe("malformed batches", () => {
  /** A batch of known and of new series, with runs of several lengths. */
  function sound(session: IngestSession, random: SeededRandom, n: number): Uint8Array {
    const list = Array.from({ length: 1 + random.below(6) }, (_, i): Row => {
      const value = random.chance(0.2) ? STALE : random.float();
      return [series(random.chance(0.5) ? i : `${n}.${i}`), NOW + (random.chance(0.7) ? n : random.below(1000)), value];
    });
    return batchOf(session, list, 1 + random.below(5));
  }

  function damaged(batch: Uint8Array, random: SeededRandom): Uint8Array {
    let bytes = batch.slice();
    const view = (): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let n = 1 + random.below(3); n > 0; n--) {
      const kind = random.below(6);
      if (kind === 0) bytes = bytes.slice(0, random.below(bytes.length + 1));
      else if (kind === 1) bytes = Uint8Array.from([...bytes, ...random.bytes(random.below(20))]);
      else if (kind === 2 && bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
      else if (kind === 3 && bytes.length > 0) bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      else if (kind === 4 && bytes.length >= 32)
        view().setUint32(4 * random.below(8), random.pick([0, 1, 2 ** 31, 2 ** 32 - 1, random.below(200)]), true);
      else if (bytes.length >= 80) view().setUint32(32 + random.below(bytes.length - 36), random.u32(), true);
      if (random.chance(0.7) && bytes.length >= 8) view().setUint32(4, bytes.length, true);
    }
    return bytes;
  }

  test(
    `${RUNS} of them: refused as invalid, and nothing has changed`,
    async () => {
      const random = new SeededRandom(11);
      let fs = new SimFileSystem();
      let db = await openDb(fs);
      let session = db.openSession();
      let refused = 0;
      let before = contents(db);
      let registered = db.report().seriesCount;
      for (let n = 0; n < RUNS; n++) {
        const bytes = damaged(sound(session, random, n % 1000), random);
        try {
          await session.append(bytes);
          before = contents(db);
          registered = db.report().seriesCount;
        } catch (error) {
          if (error instanceof UnavailableError) {
            // A reference too great for any dictionary.
            session = db.openSession();
            registered = db.report().seriesCount;
            continue;
          }
          if (!(error instanceof InvalidError)) throw error;
          refused++;
          expect([contents(db), db.report().seriesCount]).toEqual([before, registered]);
        }
        if (n % 500 !== 499) continue;
        // It goes on, and all of it survives.
        const ack = await write(db, [[series("last"), NOW, 1]]);
        expect([ack.status, ack.rejections]).toEqual(["stored", []]);
        const found = contents(db);
        expect(await reopened(db, fs)).toEqual(found);
        fs = new SimFileSystem();
        db = await openDb(fs);
        session = db.openSession();
        before = contents(db);
        registered = 0;
      }
      expect(refused).toBeGreaterThan(RUNS / 2);
      await db.close();
    },
    RUNS > 1e6 ? 0 : 120_000,
  );
});
