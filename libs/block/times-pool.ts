// libs/block/times-pool.ts: decoded times, one array for all columns that are equal. The series of a scrape are spread over all shards, each with a
// block of its own that has the times of the scrape's group: decoded once per block they would take as many times the memory, and
// everything that follows from times alone would be worked out as often.

/** Columns of as many times, with the same first and last, that are compared with a new one; what is beyond is not shared. */
const ALIKE_MAX = 16;

interface Shared {
  readonly times: Float64Array;
  readonly print: string;
  users: number;
}

/** The times of a node's blocks. */
export class TimesPool {
  private readonly byPrint = new Map<string, Shared[]>();
  private readonly byArray = new Map<Float64Array, Shared>();

  /** Arrays that somebody uses. */
  get size(): number {
    return this.byArray.size;
  }

  /** These times as an array that others may have, too: nobody may change it. Each call wants one of `give`. */
  take(times: Float64Array): Float64Array {
    const print = `${times.length} ${times[0]} ${times.at(-1)}`;
    const alike = this.byPrint.get(print) ?? [];
    let shared = alike.find((one) => areEqual(one.times, times));
    if (shared === undefined) {
      if (alike.length === ALIKE_MAX) return times;
      shared = { times, print, users: 0 };
      this.byArray.set(times, shared);
      alike.push(shared);
      this.byPrint.set(print, alike);
    }
    shared.users++;
    return shared.times;
  }

  /** Gives back what `take` returned. */
  give(times: Float64Array): void {
    const shared = this.byArray.get(times);
    if (shared === undefined || --shared.users > 0) return;
    this.byArray.delete(times);
    const alike = this.byPrint.get(shared.print)!;
    if (alike.length === 1) this.byPrint.delete(shared.print);
    else alike.splice(alike.indexOf(shared), 1);
  }

  /** One user's share of what an array takes, in whole bytes. */
  bytesOf(times: Float64Array): number {
    return Math.ceil(times.byteLength / (this.byArray.get(times)?.users ?? 1));
  }
}

function areEqual(a: Float64Array, b: Float64Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
