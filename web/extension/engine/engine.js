/** The engine within a call page: streams of pictures, each on a worker of its own. */

import { compileEngine, download } from "../keenframe/engine.js";
import { WorkerHost } from "../keenframe/host.js";
import { parseModel } from "../keenframe/model.js";

const MODELS = ["keen", "keen-nano"];
const folder = new URL("../keenframe/", import.meta.url);
const streams = new Map();

async function prepare() {
  const load = async (name) => parseModel(await download(new URL(`models/${name}.kfm`, folder)), name);
  const [module, ...models] = await Promise.all([compileEngine(folder), ...MODELS.map(load)]);
  return { engine: "wasm", module, models };
}

function serve(port, setup) {
  const actions = {
    begin({ stream, options }) {
      streams.set(stream, new WorkerHost(folder, setup, options));
    },
    set({ stream, options }) {
      streams.get(stream)?.set(options);
    },
    end({ stream }) {
      streams.get(stream)?.close();
      streams.delete(stream);
    },
    async sharpen({ stream, id, picture }) {
      try {
        const host = streams.get(stream);
        const result = await host.sharpenPicture(picture);
        port.postMessage({ type: "sharpened", id, picture: result, stats: host.stats() }, [result.data.buffer]);
      } catch (error) {
        port.postMessage({ type: "failed", id, message: error.message });
      }
    },
  };
  port.onmessage = ({ data }) => actions[data.type](data);
  port.postMessage({ type: "ready" });
}

addEventListener("message", async ({ data, ports: [port] }) => {
  if (data !== "keenframe" || !port) return;
  try {
    serve(port, await prepare());
  } catch (error) {
    port.postMessage({ type: "failed", message: error.message });
  }
});
