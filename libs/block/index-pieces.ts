// libs/block/index-pieces.ts: makes a block's pieces of the persistent index from its series pages: when it is new, and when they are lost.
import { PieceBuilder, type PieceValue, pieceKey, sealPiece } from "../index/index.ts";
import type { BlockReader } from "./reader.ts";

/** The values of all of a block's pieces, in steps of a page or a tenant. Errors: CorruptionError. */
export function* piecesInSteps(reader: BlockReader): Generator<void, PieceValue[]> {
  const { footer } = reader;
  const values: PieceValue[] = [];
  let page = 0;
  for (const { tenant, first, count } of footer.tenants) {
    const builder = new PieceBuilder();
    // A page may hold the end of one tenant and the beginning of the next.
    for (; page < footer.seriesPages.length && footer.seriesPages[page]!.first < first + count; page++) {
      const { first: pageFirst, count: pageCount } = footer.seriesPages[page]!;
      const from = Math.max(first, pageFirst);
      const to = Math.min(first + count, pageFirst + pageCount);
      builder.add(reader.rowsOfPage(page), from - pageFirst, to - pageFirst, from);
      yield;
      if (pageFirst + pageCount > first + count) break;
    }
    for (const [number, content] of builder.finish().entries()) {
      values.push(sealPiece(pieceKey(footer, tenant, number), content));
    }
    yield;
  }
  return values;
}

/** As piecesInSteps, at once. */
export function piecesOf(reader: BlockReader): PieceValue[] {
  const steps = piecesInSteps(reader);
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}
