// libs/cluster/hashring.d.ts: the part of hashring 3.2 that we use; the package ships no types.
declare module "hashring" {
  export default class HashRing {
    constructor(servers: Readonly<Record<string, { vnodes: number }>>, algorithm: "md5");
    /** Up to `size` different servers, in the ring's order from the key on. */
    range(key: string, size: number): string[];
  }
}
