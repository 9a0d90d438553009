// libs/env/random.ts: chance: a seeded generator that repeats itself for simulations, and the system's for seeds and ids.
import { randomFillSync } from "node:crypto";

export interface Random {
  /** Uniform in 0 … 2^32 − 1. */
  u32(): number;
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform integer in 0 … n − 1, for n from 1 to 2^32. */
  below(n: number): number;
  /** True with probability `p`. */
  chance(p: number): boolean;
  /** One of `choices`, which must not be empty. */
  pick<T>(choices: readonly T[]): T;
  /** `length` random bytes. */
  bytes(length: number): Uint8Array;
}

/** Everything derives from 32-bit words. */
abstract class WordRandom implements Random {
  abstract u32(): number;

  float(): number {
    return this.u32() / 2 ** 32;
  }

  below(n: number): number {
    return Math.floor(this.float() * n);
  }

  chance(p: number): boolean {
    return this.float() < p;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = this.u32() & 255;
    return out;
  }
}

/** sfc32 (Chris Doty-Humphrey, PractRand): the same seed gives the same sequence on every machine. Not for secrets. */
export class SeededRandom extends WordRandom {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(seed: number) {
    super();
    this.a = 0x9e3779b9;
    this.b = seed | 0;
    this.c = Math.floor(seed / 2 ** 32) | 0;
    // The first words still resemble the seed.
    for (let i = 0; i < 16; i++) this.u32();
  }

  u32(): number {
    const sum = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + sum;
    this.c |= 0;
    return sum >>> 0;
  }
}

class CryptoRandom extends WordRandom {
  u32(): number {
    return randomFillSync(new Uint32Array(1))[0]!;
  }

  override bytes(length: number): Uint8Array {
    return randomFillSync(new Uint8Array(length));
  }
}

/** The operating system's generator: for cluster ids and hash seeds. */
export const cryptoRandom: Random = new CryptoRandom();
