// test/bench/heap-ballast.ts: gives a bench process the heap of a service.
// Network buffers lie outside the heap, and V8 collects the whole of a very small heap for every few megabytes of
// them: a bench process of 9 MB pays 50 % more per byte than a service of 40 MB or 400 MB does.

/** Live objects of about 40 MB. Keep the result reachable. */
export function heapBallast(): readonly object[] {
  return Array.from({ length: 500_000 }, (_, i) => ({ i, name: `series ${i}` }));
}
