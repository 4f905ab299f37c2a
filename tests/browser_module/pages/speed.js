/** How fast engines are, and what a stream of 30 frames a second makes of it. */

import { compileEngine, download } from "/keenframe/engine.js";
import { makeEngines } from "/keenframe/engines.js";
import { parseModel } from "/keenframe/model.js";
import { softFrame } from "./frames.js";

/** Milliseconds of each of `runs` frames, after `runs / 4` that do not count. */
export async function engineTimes({ engine, model, build, width, height, runs }) {
  const base = `${location.origin}/keenframe/`;
  const module = build ? await WebAssembly.compile(await download(base + build)) : await compileEngine(base);
  const models = [parseModel(await download(`${base}models/${model}.kfm`))];
  const [onnxruntime, onnx] = [new URL("../ort/", import.meta.url).href, new URL("../onnx/", import.meta.url).href];
  const [made] = await makeEngines({ engine, module, models, onnxruntime, onnx });
  const planes = [];
  for (let seed = 0; seed < 4; seed++) {
    const frame = softFrame("I420", width, height, { seed });
    const data = new Uint8Array(width * height * 1.5);
    await frame.copyTo(data);
    frame.close();
    planes.push(data.subarray(0, width * height));
  }
  const out = new Uint8Array(width * height);
  const times = [];
  for (let run = -runs / 4; run < runs; run++) {
    const start = performance.now();
    await made.run(planes[(run + runs) % 4], width, height, 1, { out });
    if (run >= 0) times.push(performance.now() - start);
    // The page stays alive.
    if (run % 10 === 0) await new Promise((resolve) => setTimeout(resolve));
  }
  return times;
}

/** Play `fps` frames a second of one size through `attach` for `seconds`; keenframe's stats at the end, and of each second. */
export async function sustained(keenframe, { width, height, fps, seconds, size }) {
  const generator = new MediaStreamTrackGenerator({ kind: "video" });
  const writer = generator.writable.getWriter();
  const frames = [0, 1, 2, 3, 4, 5].map((seed) => softFrame("I420", width, height, { seed: seed / 8 }));
  const handle = keenframe.attach(generator, { size, targetFps: fps });
  const shown = new MediaStreamTrackProcessor({ track: handle.track }).readable.getReader();
  (async () => {
    for (let item = await shown.read(); !item.done; item = await shown.read()) item.value.close();
  })();
  const begun = performance.now();
  const history = [];
  for (let count = 0; performance.now() - begun < seconds * 1000; count++) {
    const timestamp = Math.round((count * 1e6) / fps);
    await writer.write(new VideoFrame(frames[count % frames.length], { timestamp }));
    if (count % fps === 0 && handle.stats()) history.push(handle.stats().levelName);
    const due = begun + ((count + 1) * 1000) / fps;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
  }
  const stats = handle.stats();
  handle.stop();
  generator.stop();
  await handle.done;
  return { ...stats, history };
}
