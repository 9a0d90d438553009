// services/cli/checks.ts: combinations of flags that cannot be, refused with one sentence, and files that flags name.
import { readFileSync } from "node:fs";
import { InvalidError } from "../../libs/model/index.ts";
import type { TlsMaterial } from "../../libs/rpc/index.ts";
import { formatHostPort, formatSizeBytes, type HostPort, isLoopback } from "../../libs/runtime/index.ts";

/** A request cannot get smaller by decompression, so a smaller limit for it would never be met first. */
export function checkWriteSizes(values: { readonly writeBodyMax: number; readonly writeDecodedMax: number }): void {
  if (values.writeDecodedMax >= values.writeBodyMax) return;
  const got = formatSizeBytes(values.writeDecodedMax);
  const body = formatSizeBytes(values.writeBodyMax);
  throw new InvalidError(`cannot use --write-decoded-max: got ${got}; want at least --write-body-max (${body})`);
}

/** HTTP and gRPC need ports of their own. */
export function checkListeners(values: { readonly httpListen: HostPort; readonly grpcListen: HostPort }): void {
  const { httpListen, grpcListen } = values;
  if (grpcListen.port === 0 || grpcListen.port !== httpListen.port || grpcListen.host !== httpListen.host) return;
  const got = formatHostPort(grpcListen);
  throw new InvalidError(`cannot use --grpc-listen: got ${got}, which is --http-listen; want another address`);
}

/** Peers are trusted; whoever is not on this machine must show a certificate, or the operator must say otherwise. */
export function checkExposure(values: { readonly grpcListen: HostPort; readonly insecure: boolean } & TlsFiles): void {
  const { grpcListen, insecure, grpcTlsCert } = values;
  if (isLoopback(grpcListen.host) || insecure || grpcTlsCert !== "") return;
  const got = formatHostPort(grpcListen);
  throw new InvalidError(
    `cannot use --grpc-listen: got ${got}, which other machines can reach; want --grpc-tls-cert and --grpc-tls-key, or --insecure`,
  );
}

export interface TlsFiles {
  readonly grpcTlsCert: string;
  readonly grpcTlsKey: string;
  readonly grpcTlsCa: string;
}

/** Reads the files of the TLS flags; undefined without them. Errors: InvalidError when one is missing or unreadable. */
export function readTls({ grpcTlsCert, grpcTlsKey, grpcTlsCa }: TlsFiles): TlsMaterial | undefined {
  if (grpcTlsCert === "" && grpcTlsKey === "" && grpcTlsCa === "") return undefined;
  if (grpcTlsCert === "" || grpcTlsKey === "") {
    const missing = grpcTlsCert === "" ? "--grpc-tls-cert" : "--grpc-tls-key";
    throw new InvalidError(`cannot use TLS: got no ${missing}; want --grpc-tls-cert and --grpc-tls-key together`);
  }
  const pair = { cert: readPem("--grpc-tls-cert", grpcTlsCert), key: readPem("--grpc-tls-key", grpcTlsKey) };
  return grpcTlsCa === "" ? pair : { ...pair, ca: readPem("--grpc-tls-ca", grpcTlsCa) };
}

function readPem(flag: string, path: string): Buffer {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "an error";
    throw new InvalidError(`cannot read ${flag}: got ${code} for ${path}; want a PEM file`, { cause });
  }
  if (bytes.includes("-----BEGIN ")) return bytes;
  throw new InvalidError(`cannot read ${flag}: got no PEM block in ${path}; want one`);
}
