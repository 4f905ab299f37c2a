/** Engines by name. */

import { WasmEngine } from "./engine.js";

/**
 * @typedef {object} Setup what engines are made of; it can be sent to a worker
 * @property {"wasm" | "onnxruntime"} engine
 * @property {WebAssembly.Module} module
 * @property {import("./model.js").Model[]} models largest first
 * @property {string} [onnxruntime] folder of onnxruntime-web's files
 * @property {string} [onnx] folder of the models' .onnx files
 */

/** One engine for each model. */
export async function makeEngines({ engine, module, models, onnxruntime, onnx }) {
  if (engine === "wasm") return models.map((model) => warm(new WasmEngine(model, module)));
  if (engine !== "onnxruntime") throw new TypeError(`engine is '${engine}'; expected 'wasm' or 'onnxruntime'`);
  const { OrtEngine } = await import("./ort.js");
  return Promise.all(models.map((model) => OrtEngine.create(model, module, onnxruntime, onnx)));
}

/** Run it a little, so that the browser compiles it well before the first frame. */
function warm(engine) {
  const [width, height] = [320, 192];
  const luma = new Uint8Array(width * height);
  for (let i = 0; i < 3; i++) engine.run(luma, width, height, 1, { still: true });
  engine.reset();
  return engine;
}
