// test/unit/rpc/tcp-proxy.ts: a TCP proxy whose connections can be cut, as a cable would.
import { connect, createServer, type Socket } from "node:net";

export interface Proxy {
  readonly address: string;
  /** Resets all connections; new ones are taken. */
  cut(): void;
  close(): void;
}

export async function openProxy(to: string): Promise<Proxy> {
  const [host, port] = to.split(":") as [string, string];
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port), host);
    for (const [one, other] of [[near, far], [far, near]] as const) {
      sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    } // biome-ignore format: both directions
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    address: `127.0.0.1:${(server.address() as { port: number }).port}`,
    cut,
    close: () => {
      cut();
      server.close();
    },
  };
}
