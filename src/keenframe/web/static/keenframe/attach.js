/**
 * A video track through a stream, by what the browser has: MediaStreamTrackProcessor and -Generator, whose frames never
 * touch the page's thread; or requestVideoFrameCallback and a canvas.
 */

// How soon a source that the page has stopped is noticed.
const END_MS = 250;

/** What this browser has, and what it lacks for either way. */
export function trackSupport() {
  const missing = (names) => Object.keys(names).filter((name) => !names[name]);
  const native = missing({
    MediaStreamTrackProcessor: typeof MediaStreamTrackProcessor === "function",
    MediaStreamTrackGenerator: typeof MediaStreamTrackGenerator === "function",
  });
  const canvas = missing({
    VideoFrame: typeof VideoFrame === "function",
    requestVideoFrameCallback: "requestVideoFrameCallback" in HTMLVideoElement.prototype,
    captureStream: "captureStream" in HTMLCanvasElement.prototype,
  });
  return { native, canvas };
}

/**
 * The video track behind what a caller hands over.
 * @param {HTMLVideoElement | MediaStreamTrack} source
 */
export function trackOf(source) {
  if (source instanceof MediaStreamTrack) {
    if (source.kind !== "video") throw new TypeError(`got a track of kind '${source.kind}'; expected 'video'`);
    if (source.readyState === "ended") throw new TypeError("got a track that has ended; attach to a live one");
    return source;
  }
  if (!(source instanceof HTMLVideoElement)) {
    throw new TypeError(`got ${source?.constructor?.name ?? source}; expected a video element or a MediaStreamTrack`);
  }
  const capture = source.captureStream ?? source.mozCaptureStream;
  const media = source.srcObject instanceof MediaStream ? source.srcObject : capture?.call(source);
  const track = media?.getVideoTracks()[0];
  if (!track) throw new TypeError("the video element shows no video yet; attach after its 'loadedmetadata'");
  return track;
}

/** @returns {{track: MediaStreamTrack, done: Promise<void>, stop: () => void}} */
export function attachNative(track, host) {
  const processor = new MediaStreamTrackProcessor({ track, maxBufferSize: 1 });
  const generator = new MediaStreamTrackGenerator({ kind: "video" });
  const done = host.pump(processor.readable, generator.writable).finally(() => generator.stop());
  return { track: generator, done, stop: () => host.stop() };
}

/** The same by drawing: one frame is worked on at a time, and the newest one is taken next. */
export function attachCanvas(track, host) {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.srcObject = new MediaStream([track]);
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { alpha: false });
  const [result] = canvas.captureStream().getVideoTracks();
  let stopped = false;
  // The page's own `stop` on the track fires no event.
  const watch = setInterval(() => track.readyState === "ended" && end(), END_MS);
  let end = () => {};
  const done = new Promise((resolve, reject) => {
    end = (error) => {
      stopped = true;
      clearInterval(watch);
      video.srcObject = null;
      result.stop();
      if (error) reject(error);
      else resolve();
    };
  });
  const work = async () => {
    if (stopped) return;
    const frame = new VideoFrame(video);
    try {
      const sharp = await host.sharpen(frame, true);
      if (canvas.width !== sharp.displayWidth || canvas.height !== sharp.displayHeight) {
        canvas.width = sharp.displayWidth;
        canvas.height = sharp.displayHeight;
      }
      context.drawImage(sharp, 0, 0);
      sharp.close();
    } finally {
      frame.close();
    }
    video.requestVideoFrameCallback(() => work().catch(end));
  };
  track.addEventListener("ended", () => end());
  host.closed.then(() => end());
  video.requestVideoFrameCallback(() => work().catch(end));
  video.play().catch(end);
  return { track: result, done, stop: () => end() };
}
